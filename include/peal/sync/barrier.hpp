// SPDX-License-Identifier: MIT
#pragma once

// barrier: a number of tasks that wait for each other, again and again.
//
// Everything is guarded by `lock_`.

#include <cstddef>

#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// Lets its parties through together, when the last of them has arrived. Then the next round begins.
///
/// Threads:  any.   Lifetime: outlives those who wait (asserted).
class PEAL_EXPORT barrier {
  public:
    class [[nodiscard("await it")]] wait_operation;

    /// Requires: parties > 0 (asserted).
    explicit barrier(std::size_t parties) noexcept : parties_(parties), missing_(parties) {
        PEAL_ASSERT(parties != 0, "barrier of no parties");
    }
    barrier(const barrier&) = delete;
    barrier& operator=(const barrier&) = delete;
    ~barrier() { lock_.wait_until_free(); }

    /// Arrives, and waits for the others of this round.
    /// Cancellation: takes the arrival back and ends with operation_canceled; a round that was complete first wins.
    /// Allocates:    never.   Kernel: none.
    wait_operation arrive_and_wait() noexcept;
    /// Arrives for the last time: this round and all that follow have one party less.
    void arrive_and_drop() noexcept;

  private:
    /// True: it waits. False: it was the last, and `passing` are to be woken.
    bool wait_or_pass(detail::wait_operation& waiter, detail::wake_chain& passing) noexcept;
    bool forget(detail::wait_operation& waiter) noexcept;

    detail::spin_lock lock_;
    std::size_t parties_;
    std::size_t missing_;  // in this round
    detail::wait_list waiting_;
};

class barrier::wait_operation : detail::wait_operation {
  public:
    explicit wait_operation(barrier& awaited) noexcept : detail::wait_operation(&wait_operation::stop_waiting), awaited_(awaited) {}

    bool await_ready() const noexcept { return false; }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        // Woken when nothing of this is locked any more: without a pool they run here, and may stop this task.
        detail::wake_chain passing;
        bool suspended = suspend(awaiting, awaiting.promise().owner(), [&] { return awaited_.wait_or_pass(*this, passing); });
        passing.wake_all();
        return suspended;
    }
    void await_resume() {
        if (was_canceled()) detail::throw_canceled("barrier wait");
    }

  private:
    static void stop_waiting(detail::cancelable& self) noexcept {
        auto& me = static_cast<wait_operation&>(self);
        me.stop([&me] { return me.awaited_.forget(me); });
    }

    barrier& awaited_;
};

inline barrier::wait_operation barrier::arrive_and_wait() noexcept { return wait_operation(*this); }

}  // namespace peal
