// SPDX-License-Identifier: MIT
#pragma once

// join, parallel_invoke: functions that may run at the same time, on the stack of whoever calls.

#include <concepts>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/fork.hpp>

namespace peal {

namespace detail {

/// A function that others may run, with what it gives.
template <class Function>
class call_of final : public forked_call {
    using value = std::invoke_result_t<Function&>;
  public:
    explicit call_of(Function& function) noexcept : forked_call(&call_of::run), function_(function) { push(); }
    /// Whoever leaves early leaves nothing behind.
    ~call_of() {
        if (!ended_ && !take_back()) wait();
    }

    /// Runs it, or gives what others made of it.
    value finish() {
        ended_ = true;
        if (take_back()) [[likely]] return std::invoke(function_);
        wait();
        if (failure()) std::rethrow_exception(failure());
        if constexpr (std::is_reference_v<value>) {
            return static_cast<value>(**value_);
        } else if constexpr (!std::is_void_v<value>) {
            return std::move(*value_);
        }
    }

  private:
    static void run(forked_call& self) {
        auto& me = static_cast<call_of&>(self);
        if constexpr (std::is_void_v<value>) {
            std::invoke(me.function_);
        } else if constexpr (std::is_reference_v<value>) {
            me.value_.emplace(std::addressof(std::invoke(me.function_)));
        } else {
            me.value_.emplace(std::invoke(me.function_));
        }
    }

    Function& function_;
    bool ended_ = false;
    std::optional<stored_value<value>> value_;
};

/// What a call gives as a part of a pair: references stay references.
template <class Function>
using given_by = value_or_nothing<std::remove_cv_t<std::invoke_result_t<Function&>>>;

template <class Function>
inline constexpr bool gives_task = is_task<std::remove_cvref_t<std::invoke_result_t<Function&>>>;

template <class Function>
given_by<Function> value_of_call(Function& function) {
    if constexpr (std::is_void_v<std::invoke_result_t<Function&>>) {
        std::invoke(function);
        return std::monostate();
    } else {
        return std::invoke(function);
    }
}

}  // namespace detail

/// Calls both; another worker that has nothing to do may take the second. Gives a pair of what they give (std::monostate for void), or
/// nothing if both give nothing. For computations that divide, without a coroutine:
///
///     long fib(int n) {
///         if (n < 2) return n;
///         auto [a, b] = peal::join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
///         return a + b;
///     }
///
/// If the second was taken, the caller runs what others have forked by join() until it has ended: the functions must not wait for
/// each other, should not block, and must not hold a lock that another one takes. On a thread that is no worker both run one after the other.
///
/// Errors:       the first one's exception, else the second one's. If the first throws, the second does not begin any more.
/// Cancellation: this_task::stop_requested() tells both.
/// Fairness:     every 100 us completions of the worker's ring are passed to the queue, where other workers find them. A coroutine that
///               must let others run on this worker, too, uses fork_join().
/// Allocates:    never.   Kernel: none, but for waking a worker or waiting for one.
template <std::invocable First, std::invocable Second>
auto join(First&& first, Second&& second) {
    static_assert(!detail::gives_task<First> && !detail::gives_task<Second>,
                  "join(): a function is a coroutine, calling it would only make its task; use co_await fork_join(fn(...), ...)");
    constexpr bool gives_nothing =
        std::is_void_v<std::invoke_result_t<First&>> && std::is_void_v<std::invoke_result_t<Second&>>;
    detail::call_of<std::remove_reference_t<Second>> forked(second);
    if constexpr (gives_nothing) {
        std::invoke(first);
        forked.finish();
    } else {
        auto finish = [&forked]() -> decltype(auto) { return forked.finish(); };
        using first_given = detail::given_by<First>;
        first_given a = detail::value_of_call(first);
        return std::pair<first_given, detail::given_by<Second>>(std::forward<first_given>(a), detail::value_of_call(finish));
    }
}

/// Calls all of them as join() calls two. What they give is dropped.
template <std::invocable First, std::invocable... More>
void parallel_invoke(First&& first, More&&... more) {
    static_assert(!detail::gives_task<First>, "parallel_invoke(): a function is a coroutine; use co_await fork_join(fn(...), ...)");
    if constexpr (sizeof...(More) == 0) {
        std::invoke(first);
    } else {
        join([&first] { std::invoke(first); }, [&] { parallel_invoke(more...); });
    }
}

}  // namespace peal
