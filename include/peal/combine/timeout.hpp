// SPDX-License-Identifier: MIT
#pragma once

// timeout, timeout_at: a limit in time for whatever is awaited. shield: what must finish although the task was asked to stop.

#include <chrono>
#include <optional>
#include <source_location>

#include <peal/detail/atomic.hpp>
#include <peal/detail/awaitable.hpp>
#include <peal/detail/branch.hpp>
#include <peal/detail/timer.hpp>
#include <peal/error.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

namespace peal {

namespace detail {

/// Until when, and which limit it was.
class PEAL_EXPORT time_limit {
  public:
    time_limit(std::optional<clock::duration> length, clock::time_point until, const std::source_location& where) noexcept
        : length_(length), until_(until), where_(where) {}

    /// Begins now, on the calling worker.
    clock::time_point begin() noexcept;
    clock::time_point until() const noexcept { return until_; }
    error passed() const;

  private:
    std::optional<clock::duration> length_;  // absent: until_ was given
    clock::time_point until_;
    std::source_location where_;
};

/// A limit on one operation, which is named in the cancel slot of its task while it is suspended: when the time is over, the timer takes it
/// from there, as a stopper does, and leaves the task itself alone. No branch is needed.
///
/// fired_   written by the timer   [T1] release store / acquire load by the resumed task: the timer touches nothing of this after it
class PEAL_EXPORT timed_leaf : timer {
  protected:
    explicit timed_leaf(const time_limit& limit) noexcept : timer(&timed_leaf::time_is_over), limit_(limit) {}
    timed_leaf(const timed_leaf&) = delete;
    timed_leaf& operator=(const timed_leaf&) = delete;
    ~timed_leaf() = default;

    /// Before the operation is suspended.
    void arm(context& task) noexcept;
    /// When the task goes on. True if the timer has stopped the operation.
    bool disarm() noexcept;
    error passed() const { return limit_.passed(); }

  private:
    enum class fired : unsigned char { no, too_late, stopped };
    static void time_is_over(timer& self) noexcept;

    time_limit limit_;
    context* task_ = nullptr;
    detail::atomic<fired> fired_{fired::no};
    bool armed_ = false;
};

template <awaitable Awaited>
class [[nodiscard("a timeout does nothing until it is awaited")]] timed_operation final : timed_leaf {
    using awaiter = decltype(awaiter_of(std::declval<Awaited>()));  // an object, or a reference to what is awaited

  public:
    timed_operation(Awaited&& limited, const time_limit& limit)
        : timed_leaf(limit), awaiter_(awaiter_of(std::forward<Awaited>(limited))) {}

    bool await_ready() { return awaiter_.await_ready(); }
    template <peal_promise Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiting) {
        arm(awaiting.promise().owner());
        return awaiter_.await_suspend(awaiting);
    }
    await_result<Awaited> await_resume() {
        if (!disarm()) return awaiter_.await_resume();
        try {
            return awaiter_.await_resume();  // what it gave after all
        } catch (const std::system_error& failure) {
            if (is_canceled(failure)) passed().raise();
            throw;
        }
    }
    peal::result<await_result<Awaited>> result() {
        if constexpr (reports_result<std::remove_reference_t<awaiter>>) {
            bool stopped = disarm();
            auto ended = awaiter_.result();
            if (stopped && !ended && ended.error().is_canceled()) return passed();
            return ended;
        } else {
            return result_of([this]() -> await_result<Awaited> { return await_resume(); });
        }
    }

  private:
    awaiter awaiter_;
};

/// One that is named in the cancel slot itself, and begins nothing else in its task.
template <class Awaited>
inline constexpr bool is_single_leaf = [] {
    using awaiter = std::remove_reference_t<decltype(awaiter_of(std::declval<Awaited>()))>;
    return std::is_base_of_v<cancelable, awaiter> && !std::is_base_of_v<branch_group, awaiter>;
}();

/// A limit on anything else, in a branch of its own. The part that does not depend on what is awaited.
///
/// fired_   written by the timer   relaxed: read after the last holder has left ([B1]). Not set if a stop from outside was first.
class PEAL_EXPORT timeout_group : public branch_group, timer {
  protected:
    explicit timeout_group(const time_limit& limit) noexcept : timer(&timeout_group::time_is_over), limit_(limit) {}
    ~timeout_group() = default;

    /// Before the branch starts. `limited` is not running yet.
    void begin_limited(std::coroutine_handle<> awaiting, context& parent, branch& limited) noexcept;
    /// Whether this limit, and not one further out, ended what was awaited.
    bool ended_by_timer(const std::exception_ptr& failure) const noexcept;
    error passed() const { return limit_.passed(); }

  private:
    void stop_branches() noexcept override { limited_->request_stop(); }
    std::uint32_t note_end(branch& which) noexcept override;
    static void time_is_over(timer& self) noexcept;
    void stop_limited() noexcept;

    time_limit limit_;
    branch* limited_ = nullptr;
    detail::atomic<bool> fired_{false};
    bool timer_armed_ = false;               // fixed before the branch starts
};

template <class T>
class [[nodiscard("a timeout does nothing until it is awaited")]] timeout_operation final : timeout_group {
  public:
    timeout_operation(task<T> limited, const time_limit& limit) noexcept : timeout_group(limit), branch_(std::move(limited)) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        begin_limited(awaiting, awaiting.promise().owner(), branch_);
        branch_.start();
        return all_started();
    }
    T await_resume() {
        if (std::exception_ptr failure = branch_.failure(); failure && ended_by_timer(failure)) passed().raise();
        return branch_.take();
    }
    peal::result<T> result() {
        return result_of([this]() -> T { return await_resume(); });
    }

  private:
    branch_of<T> branch_;
};

template <class T>
class [[nodiscard("shield() does nothing until it is awaited")]] shield_operation final : branch_group {
  public:
    explicit shield_operation(task<T> shielded) noexcept : branch_group(stops::stay_out), branch_(std::move(shielded)) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        branch_.prepare(*this, awaiting.promise().owner());
        branch_.shut_out_deadlines();
        begin(awaiting, awaiting.promise().owner(), 1);
        branch_.start();
        return all_started();
    }
    T await_resume() { return branch_.take(); }

  private:
    void stop_branches() noexcept override {}
    std::uint32_t note_end(branch& which) noexcept override {
        parent().set_scheduler(which.scheduler());  // the task goes on where this has led
        return 1;
    }

    branch_of<T> branch_;
};

template <class Awaited>
auto limited(Awaited&& op, const time_limit& limit) {
    if constexpr (is_single_leaf<Awaited>) {
        return timed_operation<Awaited>(std::forward<Awaited>(op), limit);
    } else {
        return timeout_operation<await_result<Awaited>>(as_task(std::forward<Awaited>(op)), limit);
    }
}

}  // namespace detail

/// Awaits `op` for at most `length`: what has not ended by then is asked to stop, and awaited to its end.
///
/// Gives what `op` gives; that too if it won after all. If the time was up: throws std::system_error with std::errc::timed_out, and a
/// text that says which timeout it was. Of several around each other the earliest counts.
///
/// Threads:      on a worker (asserted).
/// Cancellation: passes it on to `op`.
/// Lifetime:     a task is taken over. Anything else is referred to: await it in the full expression that made it, as in
///               `co_await timeout(2s, stream.read(buffer))`. (`auto limited = timeout(2s, stream.read(buffer));` would refer to what is gone.)
/// Allocates:    never for a task or a single operation; else a frame from the free lists of the thread.   Kernel: none.
template <class Rep, class Period, awaitable Awaited>
auto timeout(std::chrono::duration<Rep, Period> length, Awaited&& op, std::source_location where = std::source_location::current()) {
    return detail::limited(std::forward<Awaited>(op), detail::time_limit(detail::bounded(length), clock::time_point(), where));
}

/// The same, until a point of peal::clock.
template <awaitable Awaited>
auto timeout_at(clock::time_point until, Awaited&& op, std::source_location where = std::source_location::current()) {
    return detail::limited(std::forward<Awaited>(op), detail::time_limit(std::nullopt, until, where));
}

/// Awaits `op` whatever happens: stops and deadlines from outside do not reach it, and are seen by what the task awaits next.
/// For clean-up that must finish; keep it short, or limit it: `co_await shield(timeout(1s, say_goodbye()))`.
/// Lifetime: as timeout().
template <awaitable Awaited>
auto shield(Awaited&& op) {
    return detail::shield_operation<await_result<Awaited>>(detail::as_task(std::forward<Awaited>(op)));
}

}  // namespace peal
