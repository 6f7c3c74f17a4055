// SPDX-License-Identifier: MIT
#pragma once

// Closing and half-closing descriptors without blocking, from any thread. Goes through the driver of the calling worker, so that
// simulated sockets work as real ones.
//
// The number of a descriptor belongs to its file until the last operation that names it has ended. An operation lies in a queue
// until its round ends; if its descriptor were closed meanwhile, the number could go to another connection, and the operation
// would read the other's bytes. So operations are counted per number, and a file that is closed while some are underway is closed
// by the end of the last of them. Sockets are shut down at once: that ends their operations soon.

#include <cstddef>
#include <new>

namespace peal::rt {

/// Ends what waits on the socket, on whatever ring, and closes it.
void close_socket(int fd) noexcept;

/// Closes a file. On a worker the ring does it: the last close of a file on a network may wait for its server.
void close_file(int fd) noexcept;

/// 0, or -1 with errno.
int shutdown_socket_writing(int fd) noexcept;
int shutdown_socket_reading(int fd) noexcept;  // of a simulated one: EOPNOTSUPP

/// setsockopt(). Simulated sockets take every option and do nothing.
int set_socket_option(int fd, int level, int option, const void* value, std::size_t bytes) noexcept;

/// Ends a connection by a reset, and what waits on it with connection_reset.
void disconnect_socket(int fd) noexcept;

/// An operation that names `fd` begins. Before the descriptor is closed, by the order of the program. False: there is no memory to count it; then it
/// must not begin.
[[nodiscard]] bool begin_use(int fd) noexcept;

enum class left_to_close : unsigned char { nothing, socket, file };
/// It has ended. Not `nothing`: the descriptor was closed meanwhile, and this was the last operation: the caller closes it now.
[[nodiscard]] left_to_close end_use(int fd) noexcept;

/// end_use(), and closes it if it is to be closed.
void release_use(int fd) noexcept;

/// A sync of this descriptor has failed: what was written may be lost, and the system reports that once. Remembered until the number is given to
/// another file, which says so by forget_failed_sync(). Numbers from 2^20 on are not remembered.
void note_failed_sync(int fd) noexcept;
bool has_failed_sync(int fd) noexcept;
void forget_failed_sync(int fd) noexcept;

/// Keeps the number of `fd` from being given to another file while one exists.
class descriptor_use {
  public:
    /// Throws std::bad_alloc.
    explicit descriptor_use(int fd) : fd_(fd) {
        if (!begin_use(fd)) throw std::bad_alloc();
    }
    descriptor_use(const descriptor_use&) = delete;
    descriptor_use& operator=(const descriptor_use&) = delete;
    ~descriptor_use() { release_use(fd_); }

  private:
    int fd_;
};

}  // namespace peal::rt
