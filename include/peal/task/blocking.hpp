// SPDX-License-Identifier: MIT
#pragma once

// blocking: call a function that blocks its thread (a database client, a compressor of large files, flock) without blocking a worker.

#include <functional>
#include <stop_token>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <peal/detail/blocking_call.hpp>
#include <peal/task/spawn.hpp>

namespace peal {

namespace detail {

template <class Function, class... Arguments>
inline constexpr bool takes_stop_token = std::invocable<std::decay_t<Function>, std::stop_token, kept_argument<Arguments>...>;

template <class Function, class... Arguments>
struct blocking_result {
    using type = std::invoke_result_t<std::decay_t<Function>, kept_argument<Arguments>...>;
};
template <class Function, class... Arguments>
    requires takes_stop_token<Function, Arguments...>
struct blocking_result<Function, Arguments...> {
    using type = std::invoke_result_t<std::decay_t<Function>, std::stop_token, kept_argument<Arguments>...>;
};

template <class Result, class Function, class... Arguments>
task<Result> blocking_task(Function function, std::tuple<Arguments...> arguments) {
    std::stop_source stopped;
    auto invoke = [&]() -> Result {
        return std::apply(
            [&](Arguments&... unpacked) -> Result {
                if constexpr (std::invocable<Function, std::stop_token, Arguments...>) {
                    return std::invoke(std::move(function), stopped.get_token(), static_cast<Arguments&&>(unpacked)...);
                } else {
                    return std::invoke(std::move(function), static_cast<Arguments&&>(unpacked)...);
                }
            },
            arguments);
    };
    if constexpr (std::is_void_v<Result>) {
        auto call = [&invoke] {
            invoke();
            return std::monostate();
        };
        blocking_call waiting(call, blocking_class::calls, &stopped);
        co_await waiting;
    } else {
        blocking_call waiting(invoke, blocking_class::calls, &stopped);
        co_return co_await waiting;
    }
}

}  // namespace detail

/// `co_await blocking(fn, args...)` calls a plain function on a thread that may block, and gives its result or throws its exception.
///
/// Each pool has up to pool_options::blocking_threads of such threads, made when they are needed and ended when they have had nothing to
/// do for a while; more calls wait in line. Computations belong on the workers, divided (fork_join), or on those of
/// another pool (pool::offload): more threads than CPUs make them slower.
///
/// Threads:      on a worker (asserted). Resumes on a worker of the same pool.
/// Cancellation: a call that waits for its thread ends with operation_canceled and never begins. One that runs is waited for; if `fn` takes
///               a std::stop_token as its first parameter, that is told to stop.
/// Lifetime:     function and arguments are kept, as by spawn().
template <class Function, class... Arguments>
auto blocking(Function&& function, Arguments&&... arguments) {
    static_assert(detail::can_be_kept<Function, Arguments...>,
                  "blocking(fn, args...): an argument can only be moved: write std::move(x), or std::ref(x) to lend it");
    static_assert(detail::takes_stop_token<Function, Arguments...> || detail::spawnable<Function, Arguments...>,
                  "blocking(fn, args...): fn cannot be called with copies of the arguments as rvalues; use std::ref for a parameter that "
                  "is a non-const reference");
    using result = typename detail::blocking_result<Function, Arguments...>::type;
    static_assert(!detail::is_task<result>, "blocking(fn, args...): fn is a coroutine, calling it would only make its task");
    static_assert(!std::is_reference_v<result>, "blocking(fn, args...): fn gives a reference; let it give a value or a pointer");
    return detail::blocking_task<result, std::decay_t<Function>, detail::kept_argument<Arguments>...>(
        std::forward<Function>(function), std::tuple<detail::kept_argument<Arguments>...>(std::forward<Arguments>(arguments)...));
}

}  // namespace peal
