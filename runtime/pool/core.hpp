// SPDX-License-Identifier: MIT
#pragma once

// core: what a pool is made of. Blocking threads outlive the scheduler: its drivers hand them work until they end.

#include <peal/pool/pool.hpp>

#include "../sched/scheduler.hpp"
#include "../task/blocking_threads.hpp"

namespace peal {

class pool::core {
  public:
    core(pool& owner, const pool_options& options);

    /// Of the calling worker; null elsewhere.
    static core* current() noexcept;

    pool& owner;
    const std::chrono::milliseconds drain_timeout;
    const std::chrono::milliseconds stop_timeout;
    rt::blocking_pool blocking;
    rt::scheduler scheduler;
};

}  // namespace peal
