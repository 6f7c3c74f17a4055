// SPDX-License-Identifier: MIT
#pragma once

// What a task tells the pool when it ends. Declared here, defined by the layer that knows pools (runtime/sched/scheduler.cpp).

#include <exception>

#include <peal/task/context.hpp>

namespace peal::rt {

/// A task that `pool` accepted has ended on the calling thread, and nothing of it is left. `began`: of a task that is timed.
void count_ended(scheduler& pool, detail::outcome outcome, detail::time_mark began) noexcept;

/// Nobody awaited `task`, and it failed. To the handler of `pool`; to standard error if that is null.
void report_unhandled(std::exception_ptr failure, const context& task, scheduler* pool) noexcept;

/// The same, for a task that ended earlier: `perhaps_gone` accepted it, and is asked only if it still exists.
void report_unhandled_late(std::exception_ptr failure, const context& task, scheduler* perhaps_gone) noexcept;

}  // namespace peal::rt
