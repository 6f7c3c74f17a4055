// SPDX-License-Identifier: MIT
#pragma once

// lock: advisory locks on whole files, between programs and between open files of one program.

#include <cstdint>
#include <optional>
#include <utility>

#include <peal/fs/file.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

enum class lock_mode : std::uint8_t { shared, exclusive };

/// A lock that is held until the object goes. (The lock of flock(2): only programs that ask for it are kept out.)
///
/// It belongs to the open file, not to the task: who locks the same fs::file again changes the one lock between shared and exclusive, and
/// gives it up for both. To lock against each other, tasks open the file each for itself, or use peal::mutex.
///
/// Threads: any.   Lifetime: may outlive the fs::file.
class PEAL_EXPORT file_lock {
  public:
    file_lock() noexcept = default;
    file_lock(file_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    file_lock& operator=(file_lock&& other) noexcept {
        if (this != &other) {
            unlock();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~file_lock() { unlock(); }

    bool is_held() const noexcept { return fd_ >= 0; }
    void unlock() noexcept;

  private:
    friend task<std::optional<file_lock>> try_lock(const file& of, lock_mode mode);
    explicit file_lock(int fd) noexcept : fd_(fd) {}
    int fd_ = -1;  // a descriptor of its own for the same open file
};

/// Takes the lock if that is possible now.
///
/// Errors: std::system_error with the errno and "flock".   Kernel: flock(2) by a blocking thread of the pool: a file system on a network asks its server.
PEAL_EXPORT task<std::optional<file_lock>> try_lock(const file& of, lock_mode mode = lock_mode::exclusive);

/// Waits until the lock can be taken.
///
/// The kernel would only let a thread wait, which could not be stopped, and few threads would be left for others. So this asks again and again, at
/// first after a millisecond, later every 50 ms: no thread is held, and nobody is told to be next.
///
/// Cancellation: takes nothing.   Errors: as try_lock().
PEAL_EXPORT task<file_lock> lock(const file& of, lock_mode mode = lock_mode::exclusive);

}  // namespace peal::fs
