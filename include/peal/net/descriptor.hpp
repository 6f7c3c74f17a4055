// SPDX-License-Identifier: MIT
#pragma once

// descriptor: owns a file descriptor that came from another process.

#include <utility>

#include <peal/detail/config.hpp>

namespace peal::net {

/// A descriptor that nobody has made something of yet: `tcp_stream(received.release())`, `fs::file(received.release())`.
/// Closes it at its end. Threads: any, one at a time.
class PEAL_EXPORT descriptor {
  public:
    descriptor() noexcept = default;
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = other.release();
        }
        return *this;
    }
    ~descriptor() { close(); }

    int get() const noexcept { return fd_; }
    bool is_open() const noexcept { return fd_ >= 0; }
    /// The caller owns it from now on.
    int release() noexcept { return std::exchange(fd_, -1); }
    void close() noexcept;

  private:
    int fd_ = -1;
};

}  // namespace peal::net
