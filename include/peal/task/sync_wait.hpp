// SPDX-License-Identifier: MIT
#pragma once

// sync_wait: run a task from ordinary code and wait for it.

#include <peal/task/spawn.hpp>

namespace peal {

namespace detail {

/// Starts `task` on the calling thread, or on a worker of `scheduler`, and blocks until it has ended. Asserts that the calling thread
/// is no worker. Throws simulation_deadlock, having let go of the task's handle.
[[nodiscard]] PEAL_EXPORT acceptance run_to_end(spawned_context& task, rt::scheduler* scheduler);

template <class T>
T run_and_take(spawned<T>* task, rt::scheduler* scheduler) {
    if (acceptance answer = run_to_end(*task, scheduler); answer != acceptance::accepted) {
        task->abandon();
        throw_refused(answer);
    }
    join_handle<T> holder(task);  // lets go when the value has been taken
    return task->take();
}

}  // namespace detail

/// Runs `outermost` and blocks until it ends; gives its value or throws its exception.
///
/// The task starts on the calling thread and goes on wherever it moves itself: `co_await pool.schedule()` takes it to a pool.
/// Operations that need a worker (sockets, files, timers) say so with an assertion when awaited before that.
///
/// Threads: any that is no worker of a pool (asserted: a blocked worker could wait for itself).
template <class T>
T sync_wait(task<T> outermost) {
    return detail::run_and_take<T>(detail::make_spawned<T>(spawn_options("sync_wait"), nullptr, std::move(outermost)), nullptr);
}

}  // namespace peal
