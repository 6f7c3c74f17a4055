// SPDX-License-Identifier: MIT

// Who may send without a copy. Measured on loopback, the only way out of the machine it was written on: a plain ring, one connection, one write at a time, 64 MiB
// per round; CPU us per MiB of the sender as medians of 9 rounds, MiB/s; two runs, on cores that others used:
//
//               with a copy                  without
//    16 KiB     232, 1777 / 220, 1769       388,  632 / 256,  734
//    64 KiB     381, 1263 / 260, 1841       180, 2200 / 130, 3925
//   256 KiB     294, 1433 / 138, 2321       608,  821 / 704, 1200
//     1 MiB     238, 1778 / 293, 1797       304, 1016 / 324, 1135
//
// It loses but for 64 KiB, where waiting for the peer keeps the piece in the cache of both: an accident of that size, not a rule to build on.

#include "zero_copy.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include <peal/net/tcp.hpp>

namespace peal::net {

namespace {

bool same_host(const sockaddr_storage& one, const sockaddr_storage& other) noexcept {
    if (one.ss_family != other.ss_family) return false;
    if (one.ss_family == AF_INET) {
        return reinterpret_cast<const sockaddr_in&>(one).sin_addr.s_addr == reinterpret_cast<const sockaddr_in&>(other).sin_addr.s_addr;
    }
    return std::memcmp(&reinterpret_cast<const sockaddr_in6&>(one).sin6_addr, &reinterpret_cast<const sockaddr_in6&>(other).sin6_addr, sizeof(in6_addr)) == 0;
}

bool is_loopback(const sockaddr_storage& of) noexcept {
    if (of.ss_family == AF_INET) return (ntohl(reinterpret_cast<const sockaddr_in&>(of).sin_addr.s_addr) >> 24) == 127;
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(of).sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

/// TCP, to another machine as far as addresses tell.
bool leaves_this_machine(int fd) noexcept {
    sockaddr_storage own{};
    sockaddr_storage peer{};
    socklen_t own_bytes = sizeof own;
    socklen_t peer_bytes = sizeof peer;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_bytes) != 0) return false;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_bytes) != 0) return false;
    if (peer.ss_family != AF_INET && peer.ss_family != AF_INET6) return false;
    return !is_loopback(peer) && !same_host(own, peer);
}

}  // namespace

void tcp_stream::set_zero_copy(std::size_t from_bytes) noexcept {
    bool can_pay = rt::zero_copy_on_this_machine || leaves_this_machine(socket_.get());
    zero_copy_from_ = can_pay ? static_cast<std::uint32_t>(std::min<std::size_t>(from_bytes, std::numeric_limits<std::uint32_t>::max())) : 0;
}

}  // namespace peal::net
