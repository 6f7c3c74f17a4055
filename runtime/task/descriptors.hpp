// SPDX-License-Identifier: MIT
#pragma once

// Closing and half-closing descriptors without blocking, from any thread. Goes through the driver of the calling worker, so that
// simulated sockets work as real ones.

namespace peal::rt {

/// Ends what waits on the socket, on whatever ring, then closes it.
void close_socket(int fd) noexcept;

/// Closes a file. On a worker the ring does it: the last close of a file on a network may wait for its server.
void close_file(int fd) noexcept;

/// 0, or -1 with errno.
int shutdown_socket_writing(int fd) noexcept;

}  // namespace peal::rt
