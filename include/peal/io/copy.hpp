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

// Held by each copy. examples/tcp_proxy on two workers, loopback, iperf3 -P 1 / -P 4 (medians of 6 interleaved rounds on a busy machine), CPU us per MiB, MiB/s:
//    16 KiB  947, 393 / 908, 275     64 KiB  690, 434 / 815, 234     256 KiB  549, 476 / 529, 276
//    32 KiB  696, 505 / 766, 318    128 KiB  663, 407 / 591, 366
// Pages that no message has reached take no memory: 200 connections of the proxy with one message of 100 bytes each took 14 to 19 KiB each, with 32 KiB 12 to 14.
//
// Why not splice(). A proxy on one plain ring (medians of 8 rounds), CPU us per MiB, MiB/s:
//    by 32 KiB of memory   563, 248 / 678, 244     by a pipe of 64 KiB  722, 366 / 742, 403
//    by 256 KiB of memory  513, 337 / 480, 337     by a pipe of 1 MiB   412, 370 / 237, 426
// It pays with pipes of 1 MiB only. A user gets 16 of those (fs.pipe-user-pages-soft), two for each connection, and each send that waits for its peer holds
// one of 16 kernel threads of the ring.
inline constexpr std::size_t copy_bytes = 256 * 1024;

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
/// Bound:        256 KiB on the way, in its coroutine frame.   Allocates: that frame.
/// Kernel:       by memory, also from socket to socket: splice() would need pipes and threads that are rationed.
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
