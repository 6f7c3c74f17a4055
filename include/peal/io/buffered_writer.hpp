// SPDX-License-Identifier: MIT
#pragma once

// buffered_writer: collects small writes and hands them to a stream in large ones.

#include <cstddef>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include <peal/detail/ready_or_task.hpp>
#include <peal/io/buffer.hpp>
#include <peal/io/stream.hpp>
#include <peal/task/task.hpp>

namespace peal::io {

/// Writes to a stream by way of a buffer. Refers to the stream, so that a buffered_reader can stand beside it; the stream outlives it.
///
/// flush() before you wait for an answer, and at the end. What has not been flushed when the writer is destroyed is dropped: a destructor
/// cannot wait, and an assertion would turn each session that ends early (an exception, a stop, a peer that is gone, an answer that
/// nobody wants any more) into the end of the program.
///
/// Threads:      one task at a time.
/// Cancellation: a canceled flush() keeps what was not written, and can be tried again. A canceled write() has taken nothing, if it was of less
///               than the capacity; of a larger one a part may have been written.
/// Lifetime:     the writer stays where it is, and so do the bytes, until the operation ends.
/// Errors:       those of the stream; what remains is as after a cancellation.
/// Allocates:    its buffer, when it is made. A write that fits costs no coroutine frame.   Kernel: what the stream needs.
template <writable Stream>
class buffered_writer {
    class write_request;
    class flush_request;

  public:
    static constexpr std::size_t default_capacity = 8 * 1024;

    /// Requires: capacity_bytes != 0 (asserted).
    explicit buffered_writer(Stream& to, std::size_t capacity_bytes = default_capacity)
        : to_(to), capacity_(capacity_bytes), bytes_(std::make_unique_for_overwrite<std::byte[]>(capacity_bytes)) {
        PEAL_ASSERT(capacity_bytes != 0, "a buffered_writer needs a capacity");
    }
    buffered_writer(const buffered_writer&) = delete;
    buffered_writer& operator=(const buffered_writer&) = delete;

    /// Takes all of `bytes`; gives their number, a std::size_t. Flushes first what is in their way. As many as the capacity or more are
    /// written from where they are.
    auto write(std::span<const std::byte> bytes) noexcept { return peal::detail::ready_or_task<std::size_t, write_request>(*this, bytes); }
    auto write(std::string_view text) noexcept { return write(bytes_of(text)); }
    /// The same: so a buffered_writer is io::writable.
    auto write_all(std::span<const std::byte> bytes) noexcept { return write(bytes); }
    auto write_all(std::string_view text) noexcept { return write(text); }

    /// Never waits: takes all of `bytes` if they fit, or nothing.
    [[nodiscard]] bool try_write(std::span<const std::byte> bytes) noexcept {
        if (bytes.size() > room()) return false;
        if (begin_ == end_) begin_ = end_ = 0;
        if (bytes.size() > capacity_ - end_) {
            // Behind a flush that was canceled.
            std::memmove(bytes_.get(), bytes_.get() + begin_, unflushed());
            end_ = unflushed();
            begin_ = 0;
        }
        if (!bytes.empty()) std::memcpy(bytes_.get() + end_, bytes.data(), bytes.size());
        end_ += bytes.size();
        return true;
    }

    /// Writes to the stream what is in the buffer. Gives nothing.
    auto flush() noexcept { return peal::detail::ready_or_task<void, flush_request>(*this); }

    std::size_t unflushed() const noexcept { return end_ - begin_; }
    std::size_t room() const noexcept { return capacity_ - unflushed(); }
    std::size_t capacity() const noexcept { return capacity_; }

  private:
    task<> write_out() {
        while (begin_ != end_) {
            std::span<const std::byte> left(bytes_.get() + begin_, unflushed());
            std::size_t written = co_await to_.write(left);
            begin_ += written;
        }
    }
    task<std::size_t> write_behind(std::span<const std::byte> bytes) {
        co_await write_out();
        if (!try_write_buffered(bytes)) co_await to_.write_all(bytes);
        co_return bytes.size();
    }
    /// A full buffer would be copied to be written at once.
    bool try_write_buffered(std::span<const std::byte> bytes) noexcept { return bytes.size() < capacity_ && try_write(bytes); }

    Stream& to_;
    const std::size_t capacity_;
    const std::unique_ptr<std::byte[]> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

template <writable Stream>
class buffered_writer<Stream>::write_request {
  public:
    write_request(buffered_writer& to, std::span<const std::byte> bytes) noexcept : to_(to), bytes_(bytes) {}
    std::optional<std::size_t> at_once() noexcept {
        if (!to_.try_write_buffered(bytes_)) return std::nullopt;
        return bytes_.size();
    }
    task<std::size_t> rest() { return to_.write_behind(bytes_); }

  private:
    buffered_writer& to_;
    std::span<const std::byte> bytes_;
};

template <writable Stream>
class buffered_writer<Stream>::flush_request {
  public:
    explicit flush_request(buffered_writer& of) noexcept : of_(of) {}
    std::optional<std::monostate> at_once() noexcept {
        if (of_.unflushed() != 0) return std::nullopt;
        return std::monostate();
    }
    task<> rest() { return of_.write_out(); }

  private:
    buffered_writer& of_;
};

}  // namespace peal::io
