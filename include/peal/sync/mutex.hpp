// SPDX-License-Identifier: MIT
#pragma once

// mutex: one task at a time. A task that waits suspends; no thread does.
//
// state_     [M1] acquire CAS by lock / release CAS by unlock: the next owner sees what the last one did
//            free -> held by a CAS alone; with waiters everything else happens under `lock_`
// waiting_   guarded by lock_; while it is not empty, state_ is `contended`
// unlock() hands the mutex to the one who waited longest: it stays held meanwhile, nobody can slip in.

#include <optional>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// Mutual exclusion of tasks, on any workers and pools. May be held over a `co_await`. Not recursive.
///
/// Threads:  any; blocking_lock() for threads of the program.
/// Fairness: in order of arrival.
/// Lifetime: outlives whoever holds it or waits (asserted).
class PEAL_EXPORT mutex {
  public:
    /// Holds the mutex while it lives.
    class [[nodiscard("the mutex is unlocked again at once")]] guard {
      public:
        explicit guard(mutex& held) noexcept : held_(&held) {}
        guard(guard&& other) noexcept : held_(std::exchange(other.held_, nullptr)) {}
        guard& operator=(guard&& other) noexcept {
            if (this != &other) {
                unlock();
                held_ = std::exchange(other.held_, nullptr);
            }
            return *this;
        }
        ~guard() { unlock(); }

        /// Before the end of its life. Idempotent.
        void unlock() noexcept {
            if (held_ != nullptr) std::exchange(held_, nullptr)->unlock();
        }
        /// Null if it holds none.
        mutex* held() const noexcept { return held_; }

      private:
        mutex* held_;
    };

    class [[nodiscard("await it")]] lock_operation;

    mutex() noexcept = default;
    mutex(const mutex&) = delete;
    mutex& operator=(const mutex&) = delete;
    ~mutex() { lock_.wait_until_free(); }

    /// Waits until nobody holds it, then holds it: `auto guard = co_await mutex.lock();`
    ///
    /// Cancellation: leaves the line with operation_canceled. A mutex that was handed over first wins; then it returns a guard.
    /// Allocates:    never.   Kernel: none.
    lock_operation lock() noexcept;
    /// Never waits.
    std::optional<guard> try_lock() noexcept {
        if (!try_take()) return std::nullopt;
        return guard(*this);
    }
    /// Blocks the calling thread, which must not be a worker (asserted).
    guard blocking_lock();

  private:
    enum class state : unsigned char { free, held, contended };

    bool try_take() noexcept {
        state expected = state::free;
        return state_.compare_exchange_strong(expected, state::held, std::memory_order_acquire, std::memory_order_relaxed);  // [M1]
    }
    void unlock() noexcept {
        state expected = state::held;
        if (!state_.compare_exchange_strong(expected, state::free, std::memory_order_release, std::memory_order_relaxed)) {  // [M1]
            hand_over();
        }
    }
    /// True: it waits. False: it holds the mutex.
    bool wait_or_take(detail::wait_operation& waiter) noexcept;
    bool forget(detail::wait_operation& waiter) noexcept;
    void hand_over() noexcept;

    detail::atomic<state> state_{state::free};
    detail::spin_lock lock_;
    detail::wait_list waiting_;
};

class mutex::lock_operation : detail::wait_operation {
  public:
    explicit lock_operation(mutex& wanted) noexcept : wait_operation(&lock_operation::stop_waiting), wanted_(wanted) {}

    bool await_ready() noexcept { return wanted_.try_take(); }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return wait(awaiting, awaiting.promise().owner(), [this] { return wanted_.wait_or_take(*this); });
    }
    guard await_resume() {
        if (was_canceled()) detail::throw_canceled("mutex lock");
        return guard(wanted_);
    }
    peal::result<guard> result() {
        if (was_canceled()) return error(std::make_error_code(std::errc::operation_canceled), "mutex lock");
        return guard(wanted_);
    }

  private:
    static void stop_waiting(detail::cancelable& self) noexcept {
        auto& me = static_cast<lock_operation&>(self);
        me.stop([&me] { return me.wanted_.forget(me); });
    }

    mutex& wanted_;
};

inline mutex::lock_operation mutex::lock() noexcept { return lock_operation(*this); }

}  // namespace peal
