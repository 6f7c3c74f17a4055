// SPDX-License-Identifier: MIT
#pragma once

// sockets: the other side of a connection by plain system calls, so that what is tested is not tested by itself; and bytes whose
// value follows from their position.

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <peal/net/address.hpp>
#include <peal/net/tcp.hpp>

namespace support {

/// A descriptor that is closed at the end of its block.
class raw_socket {
  public:
    raw_socket() = default;
    explicit raw_socket(int fd) : fd_(fd) {}
    raw_socket(raw_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    raw_socket& operator=(raw_socket&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~raw_socket() { close(); }

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    /// Closes it with a reset instead of an orderly end.
    void reset() {
        linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }

  private:
    int fd_ = -1;
};

/// Connects and blocks until that is done.
inline raw_socket connect_raw(const peal::net::address& peer) {
    raw_socket made(::socket(peer.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(made.get(), static_cast<const sockaddr*>(peer.data()), static_cast<socklen_t>(peer.size())) != 0) {
        throw std::system_error(errno, std::system_category(), "connect_raw " + peer.to_string());
    }
    return made;
}

/// The smallest buffer for sending that the system gives: transfers come in small parts. (A tiny buffer for receiving closes the
/// window of TCP, and each opening takes 0.2 s.)
inline void make_buffer_tiny(int fd) {
    int bytes = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

/// Two connected streams without a network.
inline std::pair<peal::net::tcp_stream, peal::net::tcp_stream> local_pair() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
        throw std::system_error(errno, std::system_category(), "socketpair");
    }
    return {peal::net::tcp_stream(ends[0]), peal::net::tcp_stream(ends[1])};
}

/// The byte at `position` of every stream of these tests: a byte that was lost, doubled or moved does not fit.
inline std::byte byte_at(std::uint64_t position) {
    return static_cast<std::byte>((position * 0x9e3779b97f4a7c15u) >> 56);
}
inline void fill(std::span<std::byte> bytes, std::uint64_t position) {
    for (std::byte& each : bytes) each = byte_at(position++);
}
inline std::vector<std::byte> pattern(std::size_t size_bytes, std::uint64_t position = 0) {
    std::vector<std::byte> made(size_bytes);
    fill(made, position);
    return made;
}
inline bool fits(std::span<const std::byte> bytes, std::uint64_t position) {
    for (std::byte each : bytes) {
        if (each != byte_at(position++)) return false;
    }
    return true;
}

}  // namespace support
