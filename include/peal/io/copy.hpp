// SPDX-License-Identifier: MIT
#pragma once

// copy, copy_bidirectional: pass on what comes from a stream.

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include <peal/combine/when_all.hpp>
#include <peal/io/stream.hpp>
#include <peal/task/task.hpp>

namespace peal::io {

namespace detail {

inline constexpr std::size_t copy_bytes = 32 * 1024;  // held by each copy; guess, not measured

class no_progress {
  public:
    void operator()(std::size_t) const noexcept {}
};

}  // namespace detail

/// Reads and writes until the end of `from`; gives the number of bytes, a std::uint64_t. Neither flushes `to` nor ends it.
///
/// `progress(bytes)` is called for each piece when it has been written; std::ref it if it is to be seen from outside.
///
/// Cancellation: throws; what was read and not yet written is lost.
/// Lifetime:     both streams until it ends.
/// Errors:       those of the streams.
/// Bound:        32 KiB on the way, in its coroutine frame.   Allocates: that frame.
template <readable From, writable To, std::invocable<std::size_t> Progress = detail::no_progress>
task<std::uint64_t> copy(From& from, To& to, Progress progress = {}) {
    std::array<std::byte, detail::copy_bytes> buffer;
    std::uint64_t total = 0;
    for (;;) {
        std::size_t count = co_await from.read(buffer);
        if (count == 0) co_return total;
        co_await to.write_all(std::span<const std::byte>(buffer).first(count));
        total += count;
        progress(count);
    }
}

/// What went which way.
class copied_bytes {
  public:
    copied_bytes(std::uint64_t from_first, std::uint64_t from_second) noexcept : from_first(from_first), from_second(from_second) {}
    std::uint64_t from_first;
    std::uint64_t from_second;
};

namespace detail {

template <stream From, stream To, class Progress>
task<std::uint64_t> copy_to_the_end(From& from, To& to, Progress& progress) {
    std::uint64_t total = co_await io::copy(from, to, std::ref(progress));
    to.shutdown_write();
    co_return total;
}

}  // namespace detail

/// Passes on what comes from either stream to the other one, until both have ended; gives a copied_bytes. The end of one direction is passed
/// on by shutdown_write(), and the other direction goes on.
///
/// An error in one direction stops the other one and is thrown when both have ended; the streams are left as they are: close them.
///
/// Threads:      both directions belong to the calling task, but may go on on two workers at once, and so may calls of `progress`.
/// Cancellation: stops both.
/// Lifetime:     both streams until it ends.
/// Bound, Allocates: as copy(), for each direction.
template <stream First, stream Second, std::invocable<std::size_t> Progress = detail::no_progress>
task<copied_bytes> copy_bidirectional(First& first, Second& second, Progress progress = {}) {
    auto [there, back] =
        co_await when_all(detail::copy_to_the_end(first, second, progress), detail::copy_to_the_end(second, first, progress));
    co_return copied_bytes(there, back);
}

}  // namespace peal::io
