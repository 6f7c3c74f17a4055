// SPDX-License-Identifier: MIT
#pragma once

// Frames: messages on a stream, each behind its length.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include <peal/detail/ready_or_task.hpp>
#include <peal/io/buffered_reader.hpp>
#include <peal/io/buffered_writer.hpp>
#include <peal/task/task.hpp>

namespace peal::io {

/// How the length of a frame is written in front of it. It counts the bytes behind itself.
class frame_prefix {
  public:
    static constexpr std::size_t largest_size = 8;

    /// Four bytes, the most significant one first.
    constexpr frame_prefix() noexcept = default;
    /// Requires: 1 <= size_bytes <= 8 (asserted).
    constexpr explicit frame_prefix(std::size_t size_bytes, std::endian order = std::endian::big) noexcept
        : size_(static_cast<std::uint8_t>(size_bytes)), order_(order) {
        PEAL_ASSERT(size_bytes >= 1 && size_bytes <= largest_size, "a frame_prefix has 1 to 8 bytes");
    }

    constexpr std::size_t size() const noexcept { return size_; }
    /// The largest length that it can say.
    constexpr std::uint64_t largest_length() const noexcept { return ~std::uint64_t{0} >> (64 - 8 * size_); }

    /// Requires: size() bytes.
    constexpr std::uint64_t decode(std::span<const std::byte> bytes) const noexcept {
        std::uint64_t length = 0;
        for (std::size_t i = 0; i < size_; ++i) length = length << 8 | std::to_integer<std::uint64_t>(bytes[place_of(i)]);
        return length;
    }
    constexpr void encode(std::uint64_t length, std::span<std::byte> bytes) const noexcept {
        for (std::size_t i = size_; i != 0; length >>= 8) bytes[place_of(--i)] = static_cast<std::byte>(length & 0xff);
    }

  private:
    /// Where the byte is that is the i-th most significant one.
    constexpr std::size_t place_of(std::size_t i) const noexcept { return order_ == std::endian::big ? i : size_ - 1 - i; }

    std::uint8_t size_ = 4;
    std::endian order_ = std::endian::big;
};

namespace detail {

template <readable Stream>
class read_frame_request {
    using view = std::span<const std::byte>;

  public:
    read_frame_request(buffered_reader<Stream>& from, std::size_t limit, frame_prefix prefix) noexcept
        : from_(from), limit_(limit), prefix_(prefix) {}

    std::optional<std::optional<view>> at_once() noexcept {
        view there = from_.buffered();
        if (there.size() < prefix_.size()) return std::nullopt;
        std::uint64_t length = prefix_.decode(there);
        if (length > limit_ || length > there.size() - prefix_.size()) return std::nullopt;
        return std::optional<view>(take(static_cast<std::size_t>(length)));
    }
    task<std::optional<view>> rest() { return gather(from_, limit_, prefix_); }

  private:
    view take(std::size_t length) noexcept {
        view frame = from_.buffered().subspan(prefix_.size(), length);
        from_.consume(prefix_.size() + length);
        return frame;
    }
    static task<std::optional<view>> gather(buffered_reader<Stream>& from, std::size_t limit, frame_prefix prefix) {
        view begin = co_await from.peek(prefix.size());
        if (begin.empty()) co_return std::nullopt;
        if (begin.size() < prefix.size()) throw_cut_off("read_frame", begin.size(), "the end of the length");
        std::uint64_t length = prefix.decode(begin);
        if (length > limit) throw_too_long("read_frame", limit);
        std::size_t whole = prefix.size() + static_cast<std::size_t>(length);
        view all = co_await from.peek(whole);
        if (all.size() < whole) throw_cut_off("read_frame", all.size(), "the end of the frame");
        from.consume(whole);
        co_return all.subspan(prefix.size());
    }

    buffered_reader<Stream>& from_;
    std::size_t limit_;
    frame_prefix prefix_;
};

template <writable Stream>
class write_frame_request {
  public:
    write_frame_request(buffered_writer<Stream>& to, std::span<const std::byte> frame, std::size_t limit, frame_prefix prefix) noexcept
        : to_(to), frame_(frame), limit_(limit), prefix_(prefix) {}

    std::optional<std::size_t> at_once() noexcept {
        if (frame_.size() > limit_ || prefix_.size() + frame_.size() > to_.room()) return std::nullopt;
        put(to_, frame_, prefix_);
        return frame_.size();
    }
    task<std::size_t> rest() { return flush_and_put(to_, frame_, limit_, prefix_); }

  private:
    /// There is room for all of it.
    static void put(buffered_writer<Stream>& to, std::span<const std::byte> frame, frame_prefix prefix) noexcept {
        std::byte length[frame_prefix::largest_size];
        std::span<std::byte> begin = std::span(length).first(prefix.size());
        prefix.encode(frame.size(), begin);
        static_cast<void>(to.try_write(begin));
        static_cast<void>(to.try_write(frame));
    }
    static task<std::size_t> flush_and_put(buffered_writer<Stream>& to, std::span<const std::byte> frame, std::size_t limit,
                                           frame_prefix prefix) {
        if (frame.size() > limit) throw_too_long("write_frame", limit);
        co_await to.flush();
        put(to, frame, prefix);
        co_return frame.size();
    }

    buffered_writer<Stream>& to_;
    std::span<const std::byte> frame_;
    std::size_t limit_;
    frame_prefix prefix_;
};

}  // namespace detail

/// The next frame, of `limit` bytes at most: gives a std::optional<std::span<const std::byte>>, a view that is valid until the reader reads
/// again. Nothing at the end of the stream.
///
/// Cancellation: what has been read stays buffered; the next call goes on with the same frame.
/// Errors:       those of the stream; message_size if the frame is longer, as soon as its length is there; connection_aborted if the stream ends
///               within a frame. Nothing is consumed then.
/// Requires:     the size of the prefix + limit <= from.capacity() (asserted).
/// Allocates:    never, but for a coroutine frame from the free lists of the thread if the frame is not buffered yet.
template <readable Stream>
auto read_frame(buffered_reader<Stream>& from, std::size_t limit, frame_prefix prefix = {}) noexcept {
    PEAL_ASSERT(prefix.size() <= from.capacity() && limit <= from.capacity() - prefix.size(),
                "read_frame(): a frame of the limit is more than the buffered_reader has room for: give it that capacity");
    using view = std::span<const std::byte>;
    return peal::detail::ready_or_task<std::optional<view>, detail::read_frame_request<Stream>>(from, limit, prefix);
}

/// Puts a frame into the writer, which is to be flushed; gives the number of bytes without the prefix. Flushes first if it does not fit.
///
/// Cancellation: nothing of the frame has been written then: the writer can go on.
/// Errors:       those of the stream; message_size if the frame is longer than `limit`. Nothing of it has been written then.
/// Requires:     the size of the prefix + limit <= to.capacity(); a prefix that can say the limit (asserted).
template <writable Stream>
auto write_frame(buffered_writer<Stream>& to, std::span<const std::byte> frame, std::size_t limit, frame_prefix prefix = {}) noexcept {
    PEAL_ASSERT(prefix.size() <= to.capacity() && limit <= to.capacity() - prefix.size(),
                "write_frame(): a frame of the limit is more than the buffered_writer has room for: give it that capacity");
    PEAL_ASSERT(limit <= prefix.largest_length(), "write_frame(): the prefix is too small for the limit");
    return peal::detail::ready_or_task<std::size_t, detail::write_frame_request<Stream>>(to, frame, limit, prefix);
}

}  // namespace peal::io
