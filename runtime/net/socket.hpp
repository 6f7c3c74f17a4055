// SPDX-License-Identifier: MIT
#pragma once

// What the sockets of this folder share. Options go through task/descriptors.hpp: a simulated socket takes every one and does nothing.

#include <sys/socket.h>

#include <cstddef>
#include <string>

#include <peal/net/address.hpp>

namespace peal::rt {

/// std::system_error of errno.
[[noreturn]] void throw_errno(const std::string& what);

/// Throws if the system refuses; `what` names the option: "setsockopt TCP_NODELAY".
void set_option(int fd, int level, int option, const void* value, std::size_t bytes, const char* what);
void set_option(int fd, int level, int option, int value, const char* what);

void set_receive_buffer(int fd, std::size_t bytes);
void set_send_buffer(int fd, std::size_t bytes);

/// `ask`: getsockname or getpeername, and its name.
net::address name_of(int fd, int (*ask)(int, sockaddr*, socklen_t*), const char* what);

}  // namespace peal::rt
