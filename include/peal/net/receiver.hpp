// SPDX-License-Identifier: MIT
#pragma once

// receiver: what a connection sends, for as long as it sends.

#include <utility>

#include <peal/detail/arrival_wait.hpp>
#include <peal/detail/config.hpp>
#include <peal/io/lease.hpp>
#include <peal/net/stream_socket.hpp>

namespace peal::net {

namespace detail {

/// Gives what has come, in a buffer of a worker.
class [[nodiscard("await it")]] PEAL_EXPORT arrival_operation : public peal::detail::arrival_wait {
  public:
    explicit arrival_operation(rt::arrivals& from) noexcept : arrival_wait(from) {}
    ~arrival_operation();
    io::lease await_resume();
    peal::result<io::lease> result();

  private:
    io::lease take() noexcept;
};

}  // namespace detail

/// Receives from a stream again and again by one request to the kernel, which stays there between two waits (multishot, from Linux 6.17 on):
///
///     peal::net::receiver incoming(peer);
///     while (auto received = co_await incoming.receive()) co_await peer.write_all(received.bytes());
///
/// For sessions that are a loop like this one. Beside stream_socket::receive() it saves a request for each message, and its registration in the kernel; and a
/// wait that is stopped, by a timeout say, costs no system call. For large messages read() is faster: it has no bound of 4 KiB.
///
/// Threads:      one task waits at a time; it goes on on the worker where the kernel has the request: where the first wait was, or the first after the
///               receiver has been drained. So a task follows its stream.
/// Cancellation: loses nothing: what comes later is for the next wait.
/// Lifetime:     a stream that has one is not read otherwise, also later: destroying it loses what has come and was not taken, and what comes until the
///               kernel has let go of the stream, for which it does not wait. The stream may be moved, closed and destroyed; closing ends the wait, as it ends
///               a read, but the descriptor goes with the receiver, and a peer that writes may not hear of it before. A receiver may outlive its pool, and go
///               on in another: a wait that is caught there ends as canceled.
/// Bound:        a few buffers lie here when nobody takes them; then the kernel is asked to stop, and the peer's window fills. See io::lease for how many
///               there are.
/// Errors:       those of receive(). not_enough_memory, for good, if bytes had to be dropped.
/// Allocates:    256 bytes, once.
class PEAL_EXPORT receiver {
  public:
    /// Throws std::bad_alloc.
    explicit receiver(const stream_socket& from);
    receiver(receiver&& other) noexcept : state_(std::exchange(other.state_, nullptr)) {}
    receiver& operator=(receiver&& other) noexcept {
        std::swap(state_, other.state_);
        return *this;
    }
    ~receiver();

    /// At least one byte, at most 4 KiB; an empty lease at the end of the stream. Requires: not moved from.
    [[nodiscard]] detail::arrival_operation receive() noexcept { return detail::arrival_operation(*state_); }

  private:
    rt::arrivals* state_;
};

}  // namespace peal::net
