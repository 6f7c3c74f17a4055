// SPDX-License-Identifier: MIT
#pragma once

// event, auto_reset_event, latch: wait until something has happened.
//
// set_, count_   [E1] release store / acquire load: who waits sees what was done before. Written under `lock_`.
// waiting_       guarded by lock_

#include <cstddef>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal {

namespace detail {

/// Waits for anything that has `bool wait_or_pass(wait_operation&)` and `bool forget(wait_operation&)`.
template <class Event>
class [[nodiscard("await it")]] event_wait_operation : wait_operation {
  public:
    event_wait_operation(Event& awaited, const char* name) noexcept
        : wait_operation(&event_wait_operation::stop_waiting), awaited_(awaited), name_(name) {}

    bool await_ready() noexcept { return awaited_.pass(); }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return wait(awaiting, awaiting.promise().owner(), [this] { return awaited_.wait_or_pass(*this); });
    }
    void await_resume() {
        if (was_canceled()) throw_canceled(name_);
    }
    peal::result<void> result() {
        if (was_canceled()) return error(std::make_error_code(std::errc::operation_canceled), name_);
        return {};
    }

  private:
    static void stop_waiting(cancelable& self) noexcept {
        auto& me = static_cast<event_wait_operation&>(self);
        me.stop([&me] { return me.awaited_.forget(me); });
    }

    Event& awaited_;
    const char* name_;
};

}  // namespace detail

/// Happens once, until it is reset: then everybody passes who waits, or comes later.
/// To let one through per set(), use auto_reset_event; to wait for several things to happen, latch.
///
/// Threads:  any.   Lifetime: outlives those who wait (asserted).
class PEAL_EXPORT event {
  public:
    event() noexcept = default;
    event(const event&) = delete;
    event& operator=(const event&) = delete;
    ~event() { lock_.wait_until_free(); }

    void set() noexcept;
    void reset() noexcept;
    bool is_set() const noexcept { return set_.load(std::memory_order_acquire); }  // [E1]

    /// Cancellation: ends with operation_canceled.   Allocates: never.   Kernel: none.
    detail::event_wait_operation<event> wait() noexcept { return detail::event_wait_operation<event>(*this, "event wait"); }

  private:
    friend class detail::event_wait_operation<event>;
    bool pass() noexcept { return is_set(); }
    bool wait_or_pass(detail::wait_operation& waiter) noexcept;
    bool forget(detail::wait_operation& waiter) noexcept;

    detail::atomic<bool> set_{false};
    detail::spin_lock lock_;
    detail::wait_list waiting_;
};

/// Each set() lets one through: the one who waited longest, or else the next who comes. Set twice with nobody waiting is set once.
///
/// Threads:  any.   Lifetime: outlives those who wait (asserted).
class PEAL_EXPORT auto_reset_event {
  public:
    auto_reset_event() noexcept = default;
    auto_reset_event(const auto_reset_event&) = delete;
    auto_reset_event& operator=(const auto_reset_event&) = delete;
    ~auto_reset_event() { lock_.wait_until_free(); }

    void set() noexcept;

    /// Cancellation: ends with operation_canceled; a set() that was spent on it already wins.   Allocates: never.   Kernel: none.
    detail::event_wait_operation<auto_reset_event> wait() noexcept {
        return detail::event_wait_operation<auto_reset_event>(*this, "event wait");
    }

  private:
    friend class detail::event_wait_operation<auto_reset_event>;
    bool pass() noexcept {
        bool expected = true;
        return set_.compare_exchange_strong(expected, false, std::memory_order_acquire, std::memory_order_relaxed);  // [E1]
    }
    bool wait_or_pass(detail::wait_operation& waiter) noexcept;
    bool forget(detail::wait_operation& waiter) noexcept;

    detail::atomic<bool> set_{false};  // set only while nobody waits
    detail::spin_lock lock_;
    detail::wait_list waiting_;
};

/// Happens when it was counted down to zero, for good.
///
/// Threads:  any.   Lifetime: outlives those who wait (asserted).
class PEAL_EXPORT latch {
  public:
    explicit latch(std::size_t count) noexcept : count_(count) {}
    latch(const latch&) = delete;
    latch& operator=(const latch&) = delete;
    ~latch() { lock_.wait_until_free(); }

    /// Requires: not below zero (asserted).
    void count_down(std::size_t by = 1) noexcept;
    bool is_open() const noexcept { return count_.load(std::memory_order_acquire) == 0; }  // [E1]

    /// Cancellation: ends with operation_canceled.   Allocates: never.   Kernel: none.
    detail::event_wait_operation<latch> wait() noexcept { return detail::event_wait_operation<latch>(*this, "latch wait"); }
    detail::event_wait_operation<latch> arrive_and_wait(std::size_t by = 1) noexcept {
        count_down(by);
        return wait();
    }

  private:
    friend class detail::event_wait_operation<latch>;
    bool pass() noexcept { return is_open(); }
    bool wait_or_pass(detail::wait_operation& waiter) noexcept;
    bool forget(detail::wait_operation& waiter) noexcept;

    detail::atomic<std::size_t> count_;
    detail::spin_lock lock_;
    detail::wait_list waiting_;
};

}  // namespace peal
