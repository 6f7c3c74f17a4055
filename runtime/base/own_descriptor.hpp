// SPDX-License-Identifier: MIT
#pragma once

// own_descriptor: the library's own descriptors keep off the numbers 0 to 2. In a program that was started without standard streams they are free,
// and whoever writes to standard error then must not reach a ring.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace peal::rt {

/// `fd`, or the same under another number; -1 with errno, and `fd` is closed. Takes -1 (with errno), too.
inline int own_descriptor(int fd) noexcept {
    if (fd < 0 || fd > 2) return fd;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    const int error_number = errno;
    ::close(fd);
    errno = error_number;
    return moved;
}

}  // namespace peal::rt
