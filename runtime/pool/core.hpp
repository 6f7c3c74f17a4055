// SPDX-License-Identifier: MIT
#pragma once

// core: what a pool is made of. Blocking threads outlive the scheduler: its drivers hand them work until they end.

#include <peal/pool/pool.hpp>

#include "../sched/scheduler.hpp"
#include "../task/blocking_threads.hpp"
#include "watchdog.hpp"

namespace peal {

class pool::core {
  public:
    core(pool& owner, const pool_options& options);

    /// Before the workers begin. Throws std::system_error, std::invalid_argument.
    void watch(const pool_options& options);

    /// Of the calling worker; null elsewhere.
    static core* current() noexcept;

    pool& owner;
    const std::chrono::milliseconds drain_timeout;
    const std::chrono::milliseconds stop_timeout;
    rt::blocking_pool blocking;
    rt::scheduler scheduler;
    std::unique_ptr<rt::watchdog> watchdog;  // ends before the workers; null: nobody watches
};

}  // namespace peal
