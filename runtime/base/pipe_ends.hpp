// SPDX-License-Identifier: MIT
#pragma once

// make_pipe_ends: pipe2() by the plain system call. ThreadSanitizer keeps a block of memory for each pipe that it saw made and frees it when the
// number comes again; as it does not see what rings close, it would call that a race of the two threads that made the pipes.

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace peal::rt {

/// 0 and the reading and the writing end, both close-on-exec; or -1 with errno.
inline int make_pipe_ends(int (&ends)[2]) noexcept { return static_cast<int>(::syscall(SYS_pipe2, ends, O_CLOEXEC)); }

}  // namespace peal::rt
