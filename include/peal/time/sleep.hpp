// SPDX-License-Identifier: MIT
#pragma once

// sleep_for, sleep_until: suspend the calling task for a time. No thread waits.

#include <chrono>

#include <peal/detail/leaf_operation.hpp>
#include <peal/detail/timer.hpp>
#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// The clock of deadlines. On a simulated pool now() is the virtual time.
class PEAL_EXPORT clock {
  public:
    using duration = std::chrono::steady_clock::duration;
    using time_point = std::chrono::steady_clock::time_point;
    static time_point now() noexcept;
};

namespace detail {

class [[nodiscard("an operation does nothing until it is awaited")]] PEAL_EXPORT sleep_operation : registering_operation, timer {
  public:
    explicit sleep_operation(clock::duration length) noexcept
        : registering_operation(&sleep_operation::stop_sleeping), timer(&sleep_operation::deadline_passed), length_(length) {}
    explicit sleep_operation(clock::time_point until) noexcept
        : registering_operation(&sleep_operation::stop_sleeping), timer(&sleep_operation::deadline_passed), until_(until), absolute_(true) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting, awaiting.promise().owner());
    }
    void await_resume() const {
        if (was_canceled()) throw_canceled("sleep");
    }
    peal::result<void> result() const {
        if (was_canceled()) return peal::error(std::make_error_code(std::errc::operation_canceled), "sleep");
        return {};
    }

  private:
    bool start(std::coroutine_handle<> awaiting, context& task) noexcept;
    static void deadline_passed(timer& self) noexcept;
    static void stop_sleeping(cancelable& self) noexcept;

    union {
        clock::duration length_;
        clock::time_point until_;
    };
    bool absolute_ = false;
};

/// Not a number and less than nothing are nothing; longer than the clock can say is for ever.
template <class Rep, class Period>
clock::duration bounded(std::chrono::duration<Rep, Period> length) noexcept {
    if (!(length > length.zero())) return clock::duration::zero();
    auto longest = std::chrono::duration_cast<std::chrono::duration<double>>(clock::duration::max() / 4);
    if (std::chrono::duration_cast<std::chrono::duration<double>>(length) > longest) return clock::duration::max() / 4;
    return std::chrono::ceil<clock::duration>(length);
}

}  // namespace detail

/// Suspends the calling task for at least `length`; a length of zero or less does not suspend.
///
/// Threads:      on a worker (asserted). Late by at most 17 us and the time until its worker is free.
/// Cancellation: ends at once with operation_canceled.
/// Allocates:    never.   Kernel: none; the worker's next wait ends in time.
template <class Rep, class Period>
detail::sleep_operation sleep_for(std::chrono::duration<Rep, Period> length) noexcept {
    return detail::sleep_operation(detail::bounded(length));
}
template <class Number>
    requires std::is_arithmetic_v<Number>
void sleep_for(Number) = delete;  // a length of time has a unit: sleep_for(5ms)

/// The same, until a point of peal::clock (std::chrono::steady_clock).
inline detail::sleep_operation sleep_until(clock::time_point until) noexcept { return detail::sleep_operation(until); }

}  // namespace peal
