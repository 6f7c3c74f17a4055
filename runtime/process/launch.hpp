// SPDX-License-Identifier: MIT
#pragma once

// launch: starts a program.

#include <utility>

#include <peal/process/command.hpp>

namespace peal::rt {

/// Owns a descriptor; for threads that may block.
class descriptor {
  public:
    descriptor() noexcept = default;
    explicit descriptor(int fd) noexcept : fd_(fd) {}
    descriptor(descriptor&& other) noexcept : fd_(other.release()) {}
    descriptor& operator=(descriptor&& other) noexcept {
        descriptor before(std::exchange(fd_, other.release()));
        return *this;
    }
    ~descriptor();

    int get() const noexcept { return fd_; }
    int release() noexcept { return std::exchange(fd_, -1); }

  private:
    int fd_ = -1;
};

/// A program that runs, and this process's ends of its pipes. One that nobody took over (there was no memory for what would own it) is killed, and no
/// zombie is left: whoever takes it, takes `pidfd`.
class launched {
  public:
    launched() noexcept = default;
    launched(launched&&) noexcept = default;
    launched& operator=(launched&&) = delete;
    ~launched();
    int pid = 0;
    descriptor pidfd;
    descriptor pipes[3];
};

/// Blocks until the program runs. Throws std::system_error that names what could not be had.
launched launch(const process::command& what);

}  // namespace peal::rt
