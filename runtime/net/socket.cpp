// SPDX-License-Identifier: MIT

#include "socket.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <system_error>

#include <peal/net/socket.hpp>

#include "../task/descriptors.hpp"

namespace peal {

namespace rt {

void throw_errno(const std::string& what) { throw std::system_error(errno, std::system_category(), what); }

void set_option(int fd, int level, int option, const void* value, std::size_t bytes, const char* what) {
    if (set_socket_option(fd, level, option, value, bytes) != 0) throw_errno(what);
}

void set_option(int fd, int level, int option, int value, const char* what) {
    set_option(fd, level, option, &value, sizeof value, what);
}

namespace {

int as_size(std::size_t bytes) noexcept { return static_cast<int>(std::min<std::size_t>(bytes, INT_MAX / 2)); }

}  // namespace

void set_receive_buffer(int fd, std::size_t bytes) { set_option(fd, SOL_SOCKET, SO_RCVBUF, as_size(bytes), "setsockopt SO_RCVBUF"); }
void set_send_buffer(int fd, std::size_t bytes) { set_option(fd, SOL_SOCKET, SO_SNDBUF, as_size(bytes), "setsockopt SO_SNDBUF"); }

net::address name_of(int fd, int (*ask)(int, sockaddr*, socklen_t*), const char* what) {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (ask(fd, reinterpret_cast<sockaddr*>(&name), &bytes) != 0) throw_errno(what);
    return net::address::from_system(&name, bytes);
}

}  // namespace rt

namespace net::detail {

void socket_handle::close() noexcept {
    if (fd_ < 0) return;
    // close() alone ends no request that waits in the kernel; a shutdown does, whatever ring it waits on.
    rt::close_socket(release());
}

}  // namespace net::detail

}  // namespace peal
