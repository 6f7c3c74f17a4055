// SPDX-License-Identifier: MIT
#pragma once

// accept_on: the loop of every listener.
//
// One connection for each accept(), and no request that goes on by itself (multishot). That would save about 1 us of the server's CPU time, of 6 to 8 that
// the kernel takes for an accept and a close (Linux 6.18, a plain loop on liburing, one caller at a time or 200). But the kernel then accepts all that
// waits, whether a task wants it or not: a server that takes no more callers for a while, or closes its listener, would hold their descriptors and drop
// them, where the backlog keeps them, or another process of the same port serves them.

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <system_error>

#include <peal/detail/operation.hpp>
#include <peal/net/socket.hpp>
#include <peal/task/task.hpp>
#include <peal/time/sleep.hpp>

#include "../task/descriptors.hpp"

namespace peal::rt {

// Without descriptors or memory, which come back unseen: anybody may close something. Looking so often takes 0.3 to 0.7 % of
// a CPU, and whoever waits is accepted 20 ms after that at the latest (bench/run.py starve; with 50 ms, 0.2 to 0.4 % and up to 120 ms on a busy machine).
constexpr auto exhausted_pause = std::chrono::milliseconds(20);

inline bool is_listening(int fd) noexcept {
    int listening = 0;
    socklen_t bytes = sizeof listening;
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening != 0;
}

class accept_operation : public detail::operation {
  public:
    explicit accept_operation(int fd) noexcept : operation(detail::operation_kind::accept) { this->fd = fd; }
    int await_resume() const noexcept { return outcome; }  // a descriptor or -errno
};

/// The next connection of `listener`, which is looked at when the task begins, and not later.
template <class Stream>
task<Stream> accept_on(net::detail::socket_handle& listener) {
    // The listener may be closed or destroyed during the pause below: from here on it is not touched.
    const int fd = listener.get();
    rt::descriptor_use in_use(fd);
    for (;;) {
        accept_operation accepting(fd);
        int accepted = co_await accepting;
        if (accepted >= 0) co_return Stream(accepted);
        switch (-accepted) {
            case ECONNABORTED:  // the peer gave up in the backlog
            case EINTR:
            case EAGAIN:
            case EPROTO:        // errors of the network below, already pending on the new connection (man 2 accept)
            case ENETDOWN:
            case ENOPROTOOPT:
            case EHOSTDOWN:
            case ENONET:
            case EHOSTUNREACH:
            case ENETUNREACH:
                break;
            case EMFILE:        // out of descriptors or memory: it passes when connections end
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                co_await sleep_for(exhausted_pause);
                // Without a free descriptor the system does not even look whether the listener still listens.
                if (!is_listening(fd)) throw std::system_error(EINVAL, std::system_category(), "accept");
                break;
            default:
                throw std::system_error(-accepted, std::system_category(), "accept");
        }
    }
}

}  // namespace peal::rt
