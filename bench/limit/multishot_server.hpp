// SPDX-License-Identifier: MIT
#pragma once

// Echo by multishot receives into buffers that all connections share: an idle connection has none.
//
// A chunk is a buffer that was received and is on its way back. Those of a connection form a line, because only one send at a time may be
// under way: a second could overtake the rest of a short one. While a peer does not read, its chunks hold buffers; when all are held,
// receives end with ENOBUFS and are armed again as buffers come back.

#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <vector>

#include "server.hpp"
#include "support/buffer_ring.hpp"

namespace limit {

enum class send_report : std::uint8_t {
    failures,  // a send is tried once, at submission; success gives no completion
    all,       // each send has a completion
};

struct multishot_connection {
    static constexpr std::uint16_t none = 0xffff;
    std::uint16_t first = none;  // its line of chunks
    std::uint16_t last = none;
    bool receiving = true;
    bool broken = false;  // sends nothing more
};

class multishot_server : server<multishot_connection> {
  public:
    multishot_server(ring& own, int listener, descriptors kind, send_report report, unsigned buffer_count, unsigned buffer_bytes)
        : server(own, listener, kind), report_(report), buffers_(own.native(), group, buffer_count, buffer_bytes),
          chunks_(buffer_count), free_(buffer_count) {}

    [[noreturn]] void run() {
        for (;;) {
            ring_.turn(may_wait() ? wait::yes : wait::no, [this](const io_uring_cqe& completion) { handle(completion); });
            if (ring_.is_settled()) finish_silent_sends();
            silent_.insert(silent_.end(), prepared_.begin(), prepared_.end());
            prepared_.clear();
            arm_starving();
        }
    }

  private:
    static constexpr std::uint16_t group = 1;
    static constexpr std::uint16_t none = multishot_connection::none;

    struct chunk {
        std::uint32_t slot = 0;
        std::uint32_t offset = 0;  // of what is not sent yet
        std::uint32_t bytes = 0;
        std::uint16_t next = none;
    };

    void handle(const io_uring_cqe& completion) {
        const tag own = tag::from(completion.user_data);
        switch (own.what) {
            case event::accept: receive(accepted(completion), IORING_RECVSEND_POLL_FIRST); break;
            case event::receive: received(own.slot, completion.res, completion.flags); break;
            case event::send: sent(own.buffer, completion.res); break;
            case event::close: break;
        }
    }

    void receive(std::uint32_t slot, unsigned more_flags) {
        io_uring_sqe& entry = ring_.entry();
        ::io_uring_prep_recv_multishot(&entry, static_cast<int>(slot), nullptr, 0, 0);
        entry.ioprio |= static_cast<std::uint16_t>(more_flags);
        entry.flags |= static_cast<std::uint8_t>(IOSQE_BUFFER_SELECT | file_flags());
        entry.buf_group = group;
        entry.user_data = tag{event::receive, 0, slot}.word();
    }

    void received(std::uint32_t slot, int result, std::uint32_t flags) {
        multishot_connection& own = connections_[slot];
        if (bench::buffer_ring::names_buffer(flags)) {
            --free_;
            const auto id = static_cast<std::uint16_t>(bench::buffer_ring::id(flags));
            if (result > 0 && !own.broken) {
                append(slot, own, id, static_cast<std::uint32_t>(result));
            } else {
                give_back(id);
            }
        }
        if ((flags & IORING_CQE_F_MORE) != 0) return;
        if (result > 0) {
            receive(slot, 0);
        } else if (result == -ENOBUFS) {
            starving_.push_back(slot);
        } else {  // 0: the peer is done, and gets the rest of its echo; else: it broke
            own.receiving = false;
            own.broken |= result < 0;
            close_if_done(slot);
        }
    }

    void append(std::uint32_t slot, multishot_connection& own, std::uint16_t id, std::uint32_t bytes) {
        chunks_[id] = {slot, 0, bytes, none};
        if (own.first == none) {
            own.first = own.last = id;
            send(id, report_);
        } else {
            chunks_[own.last].next = id;
            own.last = id;
        }
    }

    void send(std::uint16_t id, send_report report) {
        const chunk& own = chunks_[id];
        io_uring_sqe& entry = ring_.entry();
        const bool silent = report == send_report::failures;
        ::io_uring_prep_send(&entry, static_cast<int>(own.slot), buffers_.data(id) + own.offset, own.bytes - own.offset,
                             MSG_NOSIGNAL | MSG_WAITALL | (silent ? MSG_DONTWAIT : 0));
        entry.flags |= static_cast<std::uint8_t>(file_flags() | (silent ? IOSQE_CQE_SKIP_SUCCESS : 0));
        entry.user_data = tag{event::send, id, own.slot}.word();
        if (silent) prepared_.push_back(id);
    }

    void sent(std::uint16_t id, int result) {
        // What a silent send reports is that it was not for the first attempt: it goes on with a completion.
        std::erase(silent_, id);
        std::erase(prepared_, id);
        chunk& own = chunks_[id];
        if (result > 0) own.offset += static_cast<std::uint32_t>(result);
        if (result < 0 && result != -EAGAIN) connections_[own.slot].broken = true;
        if (own.offset < own.bytes && !connections_[own.slot].broken) {
            send(id, send_report::all);
        } else {
            finish(id);
        }
    }

    /// Not if something follows a silent send, which may end without a completion.
    bool may_wait() const {
        const auto has_follower = [this](std::uint16_t id) {
            return chunks_[id].next != none || !connections_[chunks_[id].slot].receiving;
        };
        return silent_.empty() || (starving_.empty() && std::none_of(silent_.begin(), silent_.end(), has_follower));
    }

    void finish_silent_sends() {
        for (const std::uint16_t id : silent_) finish(id);
        silent_.clear();
    }

    void finish(std::uint16_t id) {
        const chunk own = chunks_[id];
        multishot_connection& connection = connections_[own.slot];
        give_back(id);
        connection.first = own.next;
        while (connection.broken && connection.first != none) {
            give_back(connection.first);
            connection.first = chunks_[connection.first].next;
        }
        if (connection.first != none) {
            send(connection.first, report_);
        } else {
            close_if_done(own.slot);
        }
    }

    void close_if_done(std::uint32_t slot) {
        if (!connections_[slot].receiving && connections_[slot].first == none) close(slot);
    }

    void give_back(std::uint16_t id) {
        buffers_.give_back(id);
        ++free_;
    }

    /// As many as there are buffers: the others would only end with ENOBUFS again.
    void arm_starving() {
        for (unsigned room = free_; room != 0 && !starving_.empty(); --room) {
            receive(starving_.front(), 0);
            starving_.pop_front();
        }
    }

    send_report report_;
    bench::buffer_ring buffers_;
    std::vector<chunk> chunks_;  // by buffer
    unsigned free_;              // buffers
    std::vector<std::uint16_t> prepared_;  // silent sends since the last submission
    std::vector<std::uint16_t> silent_;    // submitted: done unless they report
    std::deque<std::uint32_t> starving_;   // slots whose receive ended with ENOBUFS, longest first
};

}  // namespace limit
