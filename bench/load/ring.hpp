// SPDX-License-Identifier: MIT
//
// The io_uring of echo_load: receives with one multishot request per socket into shared buffers, sends in batches, waits.
// It spends less per message than any server, so that the server is what is measured.

#pragma once

#include <cstddef>
#include <cstdint>
#include <liburing.h>
#include <optional>
#include <utility>

#include "support/buffer_ring.hpp"

namespace load {

class ring {
public:
    enum class event_kind : unsigned { receive, send, poll };
    struct event {
        event_kind kind;
        std::size_t index;                 // of the connection, as given
        int result;                        // bytes, or -errno
        const unsigned char* data;         // received bytes; until the handler returns
        bool goes_on;                      // receive: armed still
    };

    /// `message_bytes` chooses the size of the receive buffers. Throws failure.
    explicit ring(std::size_t message_bytes);
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring();

    /// Receives until the peer closes, an error comes, or no buffer is free (-ENOBUFS: arm again).
    void arm_receive(int socket, std::size_t index);
    /// One event when the idle socket becomes readable.
    void arm_poll(int socket, std::size_t index);
    /// Sends all. `data` stays untouched until the event; with `silent` only a failure gives one.
    void send(int socket, std::size_t index, const unsigned char* data, std::size_t bytes, bool silent);

    /// Submits what was prepared, waits at most so long for an event (0: does not wait), and hands all events to `handle`.
    template <class Handle>
    void run(std::int64_t wait_nanoseconds, Handle&& handle)
    {
        enter(wait_nanoseconds);
        event next;
        while (take(next)) {
            handle(next);
            if (lent_)
                buffers_->give_back(*std::exchange(lent_, std::nullopt));
        }
    }

private:
    io_uring_sqe& entry();
    void enter(std::int64_t wait_nanoseconds);
    bool take(event& next);

    io_uring ring_{};
    std::optional<bench::buffer_ring> buffers_; // made when the ring is
    std::optional<unsigned> lent_;         // the buffer of the event that is handled
};

} // namespace load
