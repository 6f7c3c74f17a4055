// SPDX-License-Identifier: MIT
#pragma once

// task_list: the live tasks of one owner (a scope, or one worker's share of a pool), so that they can be asked to stop, named in
// a report and waited for. Intrusive: the links are in the context, inserting allocates nothing.
//
// Threads: any. `lock_` guards every field. The list may be destroyed as soon as a wait for "empty" has ended: remove() touches
// nothing of it after it released the lock.
//
// Late failures: a task that failed while somebody holds its handle leaves its failure there. A handle that is dropped without having been
// asked gives it to the list after all, if that still exists: scope.spawn() gives a handle even to those who want none, and the task may
// have ended on another worker before that is dropped. Such a task is kept on the list's chain of late ones, which is guarded by one lock
// for the whole process (failures only), until its handle goes (end_late) or the list does (let_go_of_late). A list is not destroyed while
// somebody hands it a failure:
//
// handing_over_   end_late() adds under that lock   [T1] release sub by end_late / acquire load by let_go_of_late: the failure is in the list

#include <atomic>
#include <cstddef>
#include <exception>
#include <string>
#include <vector>

#include <peal/detail/spin_lock.hpp>

namespace peal {
class context;
}

namespace peal::detail {

class spawned_context;

/// Told once, from any thread, that what it waits for has happened.
struct waiter {
    using notify_function = void (*)(waiter&) noexcept;
    explicit waiter(notify_function notify) noexcept : notify(notify) {}
    notify_function notify;
};

class PEAL_EXPORT task_list {
  public:
    /// Takes the failure of a task that nobody else takes. Called by the thread on which the task ended, before it leaves the list.
    using failure_function = void (*)(task_list&, std::exception_ptr failure, const context& task) noexcept;

    /// `owner` is the task in whose frame the list lies; null for the lists of a pool. Without `take_failure` the pool's handler gets them.
    explicit task_list(const context* owner = nullptr, failure_function take_failure = nullptr) noexcept
        : owner_(owner), take_failure_(take_failure) {}
    task_list(const task_list&) = delete;
    task_list& operator=(const task_list&) = delete;
    ~task_list();

    /// A task that enters a list on which request_stop_all() was called is asked to stop at once.
    void insert(spawned_context& task) noexcept;
    /// The task has ended: it leaves, and when it was the last, the waiter is told.
    void remove(spawned_context& task) noexcept;

    /// Asks every task to stop, those that come later too.
    void request_stop_all() noexcept;
    std::size_t size() const noexcept;
    const context* owner() const noexcept { return owner_; }
    bool takes_failures() const noexcept { return take_failure_ != nullptr; }

    /// Instead of remove(), in two steps, for a task that failed. First: it is not named here any more, but still counted, and is a late one.
    void begin_late(spawned_context& task) noexcept;
    /// Second: it is not counted any more; may end the list.
    void leave() noexcept;
    /// The handle of a task that failed goes, or there is none any more. If the list of the task exists and would still take its failure, and
    /// `deliver`, it gets it. False: it did not.
    static bool end_late(spawned_context& task, bool deliver) noexcept;
    /// Before the list is destroyed: handles that are dropped from now on find no list. No task is left in it.
    void let_go_of_late() noexcept;

    void append_names(std::vector<std::string>& names) const;

    /// `waiter` is told when the list becomes empty. False, and nothing stored, if it is empty already.
    /// Requires: nobody else waits (asserted).
    [[nodiscard]] bool wait_for_empty(waiter& waiter) noexcept;
    /// Takes the waiter back. False if it has been told or is about to be.
    [[nodiscard]] bool forget(waiter& waiter) noexcept;

  private:
    void unlink(spawned_context& task) noexcept;

    const context* const owner_;
    const failure_function take_failure_;
    mutable spin_lock lock_;
    spawned_context* first_ = nullptr;
    spawned_context* last_ = nullptr;
    std::size_t size_ = 0;
    bool stopping_ = false;
    bool had_late_ = false;
    waiter* waiter_ = nullptr;
    spawned_context* first_late_ = nullptr;  // guarded by the lock of all late ones
    std::atomic<unsigned> handing_over_{0};
};

}  // namespace peal::detail
