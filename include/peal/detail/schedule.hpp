// SPDX-License-Identifier: MIT
#pragma once

// How coroutines get onto a worker: the calls that public headers need of the scheduler (runtime/sched/scheduler.hpp).

#include <peal/detail/config.hpp>
#include <peal/detail/work_item.hpp>

namespace peal::rt {
class scheduler;
}

namespace peal::detail {

class door_waiter;
class spawned_context;
class task_list;

/// To the back of the calling worker's queue, or to the injection queue from any other thread. Any thread.
PEAL_EXPORT void enqueue(rt::scheduler& target, work_item& item) noexcept;

/// For worker `index` alone. Any thread. Requires: index < worker count (asserted).
PEAL_EXPORT void enqueue_on(rt::scheduler& target, unsigned index, work_item& item) noexcept;

enum class acceptance : unsigned char {
    accepted,
    stopped,  // nothing was done: the pool has stopped accepting
    full,     // nothing was done: too many wait for their turn (pool_options::max_pending)
};
/// A task that was spawned just now: runs soon on the calling worker if it is one of `target`. Any thread. One that is none of them may have to wait at the door, and may be
/// blocked there: pool_options::when_full. Counts the task as accepted.
/// `let_in`: who has been let in for it already; gives its place back.
[[nodiscard]] PEAL_EXPORT acceptance accept_task(rt::scheduler& target, spawned_context& task, task_list* list, door_waiter* let_in = nullptr) noexcept;

/// The same without queueing it: the caller collects several in a list, which enqueue_all() publishes together, with one wake-up.
[[nodiscard]] PEAL_EXPORT bool accept_only(rt::scheduler& target, spawned_context& task, task_list* list) noexcept;
PEAL_EXPORT void enqueue_all(rt::scheduler& target, work_list& items) noexcept;

/// What a coroutine waited for has happened: it goes on, on the calling worker if that belongs to its pool. Any thread.
PEAL_EXPORT void enqueue_woken(work_item& item) noexcept;

/// The same for the last act of a coroutine: gives the one that goes on with this thread, if the item's task runs in this pool; else the
/// item is queued there, and none does.
PEAL_EXPORT std::coroutine_handle<> go_on_with(work_item& item) noexcept;

/// The pool of the calling worker or task; null elsewhere.
PEAL_EXPORT rt::scheduler* current_scheduler() noexcept;

/// Throws what a task that was not accepted is refused with. Requires: not accepted.
[[noreturn]] PEAL_EXPORT void throw_refused(acceptance why);

}  // namespace peal::detail
