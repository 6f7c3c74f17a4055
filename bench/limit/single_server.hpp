// SPDX-License-Identifier: MIT
#pragma once

// Echo by single receives into a buffer per connection: the send and the next receive are submitted as one chain, and only the receive
// has a completion.

#include <sys/socket.h>

#include <memory>

#include "server.hpp"

namespace limit {

struct single_connection {
    std::unique_ptr<unsigned char[]> buffer;
    std::uint32_t bytes = 0;  // received
    std::uint32_t sent = 0;
};

class single_server : server<single_connection> {
  public:
    single_server(ring& own, int listener, descriptors kind, unsigned buffer_bytes)
        : server(own, listener, kind), buffer_bytes_(buffer_bytes) {}

    [[noreturn]] void run() {
        for (;;) ring_.turn(wait::yes, [this](const io_uring_cqe& completion) { handle(completion); });
    }

  private:
    void handle(const io_uring_cqe& completion) {
        const tag own = tag::from(completion.user_data);
        switch (own.what) {
            case event::accept: {
                const std::uint32_t slot = accepted(completion);
                connections_[slot].buffer.reset(new unsigned char[buffer_bytes_]);  // not touched, so not resident yet
                receive(slot);
                break;
            }
            case event::receive:
                if (completion.res > 0) {
                    connections_[own.slot].bytes = static_cast<std::uint32_t>(completion.res);
                    connections_[own.slot].sent = 0;
                    send_and_receive(own.slot);
                } else {
                    end(own.slot);
                }
                break;
            case event::send: {  // short or failed: the receive behind it is canceled without a completion
                single_connection& connection = connections_[own.slot];
                if (completion.res <= 0) {
                    end(own.slot);
                } else {
                    connection.sent += static_cast<std::uint32_t>(completion.res);
                    send_and_receive(own.slot);
                }
                break;
            }
            case event::close: break;
        }
    }

    void send_and_receive(std::uint32_t slot) {
        const single_connection& own = connections_[slot];
        ring_.reserve(2);  // a chain does not reach from one submission into the next
        io_uring_sqe& entry = ring_.entry();
        ::io_uring_prep_send(&entry, static_cast<int>(slot), own.buffer.get() + own.sent, own.bytes - own.sent,
                             MSG_NOSIGNAL | MSG_WAITALL);
        entry.flags |= static_cast<std::uint8_t>(file_flags() | IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
        entry.user_data = tag{event::send, 0, slot}.word();
        receive(slot);
    }

    void receive(std::uint32_t slot) {
        io_uring_sqe& entry = ring_.entry();
        ::io_uring_prep_recv(&entry, static_cast<int>(slot), connections_[slot].buffer.get(), buffer_bytes_, 0);
        entry.ioprio |= IORING_RECVSEND_POLL_FIRST;  // the next message is seldom there already
        entry.flags |= static_cast<std::uint8_t>(file_flags());
        entry.user_data = tag{event::receive, 0, slot}.word();
    }

    void end(std::uint32_t slot) {
        connections_[slot].buffer.reset();
        close(slot);
    }

    unsigned buffer_bytes_;
};

}  // namespace limit
