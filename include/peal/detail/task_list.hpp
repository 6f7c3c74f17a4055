// SPDX-License-Identifier: MIT
#pragma once

// task_list: the live tasks of one owner (a scope, or one worker's share of a pool), so that they can be asked to stop, named in
// a report and waited for. Intrusive: the links are in the context, inserting allocates nothing.
//
// Threads: any. `lock_` guards every field. The list may be destroyed as soon as a wait for "empty" has ended: remove() touches
// nothing of it after it released the lock.

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
    /// False: the pool's handler is to have it.
    bool take_failure(const std::exception_ptr& failure, const context& task) noexcept {
        if (take_failure_ == nullptr) return false;
        take_failure_(*this, failure, task);
        return true;
    }
    void append_names(std::vector<std::string>& names) const;

    /// `waiter` is told when the list becomes empty. False, and nothing stored, if it is empty already.
    /// Requires: nobody else waits (asserted).
    [[nodiscard]] bool wait_for_empty(waiter& waiter) noexcept;
    /// Takes the waiter back. False if it has been told or is about to be.
    [[nodiscard]] bool forget(waiter& waiter) noexcept;

  private:
    const context* const owner_;
    const failure_function take_failure_;
    mutable spin_lock lock_;
    spawned_context* first_ = nullptr;
    spawned_context* last_ = nullptr;
    std::size_t size_ = 0;
    bool stopping_ = false;
    waiter* waiter_ = nullptr;
};

}  // namespace peal::detail
