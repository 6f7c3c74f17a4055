// SPDX-License-Identifier: MIT
#pragma once

// condition_variable: wait, under a mutex, for a condition that other tasks bring about.
//
// waiting_ is guarded by `lock_`. A waiter is on the list before it lets go of the mutex, so a notification after that finds it.

#include <concepts>

#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/sync/mutex.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// Threads:  any.   Fairness: in order of arrival.   Lifetime: outlives those who wait (asserted).
class PEAL_EXPORT condition_variable {
  public:
    condition_variable() noexcept = default;
    condition_variable(const condition_variable&) = delete;
    condition_variable& operator=(const condition_variable&) = delete;
    ~condition_variable() { lock_.wait_until_free(); }

    /// Lets go of the mutex until `condition()` holds: `co_await changed.wait(guard, [&] { return !queue.empty(); });`
    ///
    /// Cancellation: ends with operation_canceled, holding the mutex again.
    /// Lifetime:     `guard` and what the condition refers to outlive the wait.
    /// Requires:     the guard holds a mutex (asserted). `condition` is called while it does.
    template <std::predicate Condition>
    task<> wait(mutex::guard& guard, Condition condition) {
        while (!condition()) co_await wait(guard);
    }
    /// The same for one notification.
    task<> wait(mutex::guard& guard);

    void notify_one() noexcept;
    void notify_all() noexcept;

  private:
    class wait_operation;

    detail::spin_lock lock_;
    detail::wait_list waiting_;
};

}  // namespace peal
