// SPDX-License-Identifier: MIT
#pragma once

// What both forms of the echo server of limit_echo do alike: accept, end connections, tell completions apart.
//
// One server per thread; nothing is shared between threads. Connections are direct descriptors, slots in the ring's table, or plain ones;
// either number is the index of the per-connection state. Option TCP_NODELAY is inherited from the listener.

#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "ring.hpp"

namespace limit {

enum class event : std::uint8_t { accept, receive, send, close };

/// user_data of a request.
struct tag {
    event what;
    std::uint16_t buffer;
    std::uint32_t slot;

    std::uint64_t word() const noexcept {
        return std::uint64_t{slot} << 32 | std::uint64_t{buffer} << 8 | static_cast<std::uint8_t>(what);
    }
    static tag from(std::uint64_t word) noexcept {
        return {static_cast<event>(word & 0xff), static_cast<std::uint16_t>(word >> 8), static_cast<std::uint32_t>(word >> 32)};
    }
};

enum class descriptors : std::uint8_t { direct, plain };

template <class Connection>
class server {
  public:
    server(ring& own, int listener, descriptors kind) : ring_(own), listener_(listener), kind_(kind) {
        if (kind == descriptors::direct) {
            rlimit limit{};
            ::getrlimit(RLIMIT_NOFILE, &limit);
            const auto slots = static_cast<unsigned>(std::min<rlim_t>(limit.rlim_cur, 65536));
            ring::check(::io_uring_register_files_sparse(&ring_.native(), slots), "io_uring_register_files");
        }
        accept();
    }

  protected:
    void accept() {
        io_uring_sqe& entry = ring_.entry();
        if (kind_ == descriptors::direct) {
            ::io_uring_prep_multishot_accept_direct(&entry, listener_, nullptr, nullptr, 0);
        } else {
            ::io_uring_prep_multishot_accept(&entry, listener_, nullptr, nullptr, 0);
        }
        entry.user_data = tag{event::accept, 0, 0}.word();
    }

    /// The new connection.
    std::uint32_t accepted(const io_uring_cqe& completion) {
        if (completion.res < 0) {  // out of descriptors, most likely: the comparison is void
            std::fprintf(stderr, "limit_echo: accept: %s\n", std::strerror(-completion.res));
            std::exit(1);
        }
        if ((completion.flags & IORING_CQE_F_MORE) == 0) accept();
        const auto slot = static_cast<std::uint32_t>(completion.res);
        if (slot >= connections_.size()) connections_.resize(slot + 1);
        connections_[slot] = Connection();
        return slot;
    }

    /// Nothing may be in flight on it: the kernel gives the slot to the next connection at once.
    void close(std::uint32_t slot) {
        io_uring_sqe& entry = ring_.entry();
        if (kind_ == descriptors::direct) {
            ::io_uring_prep_close_direct(&entry, slot);
        } else {
            ::io_uring_prep_close(&entry, static_cast<int>(slot));
        }
        entry.flags |= IOSQE_CQE_SKIP_SUCCESS;
        entry.user_data = tag{event::close, 0, slot}.word();
    }

    /// Of each request on a connection.
    unsigned file_flags() const noexcept { return kind_ == descriptors::direct ? IOSQE_FIXED_FILE : 0; }

    ring& ring_;
    std::vector<Connection> connections_;  // by slot

  private:
    int listener_;
    descriptors kind_;
};

}  // namespace limit
