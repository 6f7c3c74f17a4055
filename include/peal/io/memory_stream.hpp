// SPDX-License-Identifier: MIT
#pragma once

// memory_stream: one end of a connection inside the process, for tests and for parts of a program that talk to each other in bytes.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal::io {

namespace detail {

/// One direction of a connection (runtime/io/memory_stream.cpp).
class memory_pipe;

/// A read or a write. Gives the number of bytes.
class PEAL_EXPORT memory_operation : peal::detail::wait_operation {
  public:
    enum class direction : bool { read, write };
    /// `pipe` is null for a stream that is not open; it lives until the operation waits, which then holds it.
    memory_operation(memory_pipe* pipe, direction way, std::byte* data, std::size_t size) noexcept
        : wait_operation(&memory_operation::stop_waiting), pipe_(pipe), data_(data), size_(size), way_(way) {}

    bool await_ready() const noexcept { return false; }
    template <peal::detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting, awaiting.promise().owner());
    }
    std::size_t await_resume();
    peal::result<std::size_t> result();

  private:
    friend class memory_pipe;
    bool start(std::coroutine_handle<> awaiting, context& task) noexcept;
    static void stop_waiting(peal::detail::cancelable& self) noexcept;
    peal::error failed(std::errc why) const;

    memory_pipe* pipe_;
    std::shared_ptr<memory_pipe> held_;  // while it waits, both ends may go
    std::byte* data_;
    std::size_t size_;
    std::size_t at_hand_ = 0;  // bytes that can be moved; written under the pipe's lock, by whoever lets it go on
    direction way_;
};

}  // namespace detail

class memory_stream;

/// Two ends of a connection: `auto [here, there] = peal::io::memory_stream_pair(64 * 1024);`
/// Requires: capacity_bytes != 0 (asserted).
PEAL_EXPORT std::pair<memory_stream, memory_stream> memory_stream_pair(std::size_t capacity_bytes);

/// One end of a connection inside the process. Made in pairs, by memory_stream_pair().
///
/// Threads:      one task reads and one writes at a time (asserted of those that wait); different workers and pools are fine, and no worker
///               at all (sync_wait).
/// Cancellation: a canceled read or write has moved nothing; one that was served first reports its bytes. A canceled read_exactly()
///               reports what it has moved; a canceled write_all() throws, and has moved anything between nothing and all.
/// Lifetime:     buffers until the operation ends. Destroying or closing an end ends what waits on it, reads with 0, writes with
///               broken_pipe, as an own write after shutdown_write(). The other end reads what was written before, then 0; its writes
///               throw broken_pipe.
/// Errors:       std::system_error: broken_pipe, operation_canceled; bad_file_descriptor on an end that is not open.
/// Bound:        the capacity, for each direction. A write waits while the other end has so much to read.
/// Allocates:    two buffers when it is made; a frame each from the free lists of the thread for read_exactly() and write_all().
///               Kernel: none.
class PEAL_EXPORT memory_stream {
  public:
    /// Not open.
    memory_stream() noexcept = default;
    memory_stream(memory_stream&&) noexcept = default;
    memory_stream& operator=(memory_stream&& other) noexcept {
        if (this != &other) {
            close();
            in_ = std::move(other.in_);
            out_ = std::move(other.out_);
        }
        return *this;
    }
    ~memory_stream() { close(); }

    /// Reads at most `buffer.size()` bytes, at least one; 0 at the end of the stream (and for an empty buffer).
    [[nodiscard]] detail::memory_operation read(std::span<std::byte> buffer) noexcept;
    /// Reads until `buffer` is full; less at the end of the stream.
    task<std::size_t> read_exactly(std::span<std::byte> buffer);
    /// Writes at least one byte; gives the number.
    [[nodiscard]] detail::memory_operation write(std::span<const std::byte> bytes) noexcept;
    /// Writes everything; gives the number of bytes.
    task<std::size_t> write_all(std::span<const std::byte> bytes);

    /// Sends the end of the stream; reading goes on. Throws bad_file_descriptor if it is not open.
    void shutdown_write();

    bool is_open() const noexcept { return in_ != nullptr; }
    void close() noexcept;

  private:
    memory_stream(std::shared_ptr<detail::memory_pipe> in, std::shared_ptr<detail::memory_pipe> out) noexcept
        : in_(std::move(in)), out_(std::move(out)) {}
    friend std::pair<memory_stream, memory_stream> memory_stream_pair(std::size_t capacity_bytes);

    std::shared_ptr<detail::memory_pipe> in_;
    std::shared_ptr<detail::memory_pipe> out_;
};

}  // namespace peal::io
