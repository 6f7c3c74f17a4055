// SPDX-License-Identifier: MIT
#pragma once

// socket_handle: what every socket of peal holds its descriptor by.

#include <utility>

#include <peal/detail/config.hpp>

namespace peal::net::detail {

/// Owns a socket. Closing never blocks, and ends what still waits on the socket.
class PEAL_EXPORT socket_handle {
  public:
    socket_handle() noexcept = default;
    explicit socket_handle(int fd) noexcept : fd_(fd) {}
    socket_handle(socket_handle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    socket_handle& operator=(socket_handle&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~socket_handle() { close(); }

    void close() noexcept;
    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }
    bool is_open() const noexcept { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

}  // namespace peal::net::detail
