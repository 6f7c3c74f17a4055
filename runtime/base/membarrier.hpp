// SPDX-License-Identifier: MIT
#pragma once

// interrupt_all_threads: makes each thread of this process that runs pass through the kernel once, unseen: no signal, no EINTR. A ring with
// COOP_TASKRUN brings completions to the thread that submitted when that passes through the kernel; one that computes does so at the next tick of the
// system's clock (2 ms, seen at 250 Hz), after this at once (55 us).

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace peal::rt {

/// Once per process before the first interrupt. False: this kernel cannot, or a filter forbids it; then the tick must do.
inline bool prepare_interrupts() noexcept {
    return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;  // again and again: no harm
}

/// Some microseconds, and some on each CPU that runs a thread of this process.
inline void interrupt_all_threads() noexcept { ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0); }

}  // namespace peal::rt
