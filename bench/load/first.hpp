// SPDX-License-Identifier: MIT
//
// Before all others: what a client measures should be the server, and not how long the client waited for its own CPU.

#pragma once

#include <cstdio>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

namespace load {

/// The calling thread, and those that it makes, at a real-time priority if that is allowed; says so if not.
inline void be_first(const char* program)
{
    sched_param first{};
    first.sched_priority = 1;
    if (sched_setscheduler(0, SCHED_FIFO, &first) != 0)
        std::fprintf(stderr, "%s: no real-time priority for the honest client: latencies are in part those of this machine\n", program);
}

/// The calling thread: after all others.
inline void be_last() noexcept
{
    const sched_param normal{};
    sched_setscheduler(0, SCHED_OTHER, &normal);
    setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 19);
}

} // namespace load
