// SPDX-License-Identifier: MIT
#pragma once

// fork_join: computations that may run at the same time. How: detail/fork.hpp.

#include <array>
#include <cstddef>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/fork.hpp>

namespace peal {

namespace detail {

template <class... T>
class [[nodiscard("fork_join() does nothing until it is awaited")]] fork_operation {
    using all_values = detail::all_values<T...>;
    static constexpr std::size_t count = sizeof...(T);

  public:
    explicit fork_operation(task<T>&&... tasks) noexcept : coroutines_(tasks.release()...) {
        std::apply([](auto... each) { PEAL_ASSERT((static_cast<bool>(each) && ...), "an empty task was forked: it was moved from"); },
                   coroutines_);
    }
    fork_operation(const fork_operation&) = delete;
    fork_operation& operator=(const fork_operation&) = delete;
    ~fork_operation() {
        std::apply([](auto... each) { (each.destroy(), ...); }, coroutines_);
    }

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    transfer await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        context& task = awaiting.promise().owner();
        group_.begin(awaiting, task, count);
        auto first = std::get<0>(coroutines_);
        first.promise().set_owner(task);
        first_.group = &group_;
        first_.following = &others_[0];
        first.promise().set_fork(first_);
        link(std::make_index_sequence<count - 1>());
        // The one that runs next is the newest. When the queue is full, all that are left stay: nobody may take one of those before them,
        // whose line they would then wait for in vain.
        for (std::size_t i = count - 1; i-- != 0 && others_[i].push(this_thread.forks);) {
        }
        if (--this_thread.forks_until_look == 0) [[unlikely]] {
            if (group_.pause(first)) return transfer_to_nobody();
        }
        return transfer_to(first);
    }
    all_values await_resume() {
        if (std::apply([](auto... each) { return (each.promise().has_failed() || ...); }, coroutines_)) [[unlikely]] {
            auto failures = std::apply([](auto... each) { return std::array{each.promise().failure()...}; }, coroutines_);
            rethrow_one_of(failures);
        }
        if constexpr (!std::is_void_v<all_values>) {
            return take_all(std::index_sequence_for<T...>());
        }
    }

  private:
    template <std::size_t... I>
    void link(std::index_sequence<I...>) noexcept {
        ((others_[I].set(std::get<I + 1>(coroutines_).promise(), std::get<I + 1>(coroutines_)), others_[I].group = &group_,
          others_[I].position = I + 1, others_[I].following = I + 2 < count ? &others_[I + 1] : nullptr),
         ...);
    }
    template <class U>
    static decltype(auto) take(std::coroutine_handle<typename task<U>::promise_type> child) {
        if constexpr (std::is_void_v<U>) {
            return std::monostate();
        } else {
            return static_cast<U>(child.promise().take());
        }
    }
    template <std::size_t... I>
    all_values take_all(std::index_sequence<I...>) {
        return all_values(take<T>(std::get<I>(coroutines_))...);
    }

    std::tuple<std::coroutine_handle<typename task<T>::promise_type>...> coroutines_;
    fork_group group_;
    fork_link first_;
    forked_task others_[count - 1];
};

}  // namespace detail

/// Awaits all of `ops`, which may run at the same time, on several workers; gives a tuple of what they give (std::monostate for void), or
/// nothing if all give nothing. For computations that divide:
///
///     peal::task<long> fib(int n) {
///         if (n < 2) co_return n;
///         auto [a, b] = co_await peal::fork_join(fib(n - 1), fib(n - 2));
///         co_return a + b;
///     }
///
/// They run one after the other where they are awaited, and other workers that have nothing to do take the last ones. What nobody takes
/// costs little more than awaiting it: so fork as fine as is convenient. What was forked while all others were busy is offered to them when
/// this worker forks or ends something the next time: a few long computations are better spawned. when_all() is for things that wait.
///
/// Errors:       the first in order that failed; those that have not begun then never begin, those on other workers are asked to stop. One
///               that only ended as canceled gives way to one that failed otherwise.
/// Cancellation: passes it on to all.
/// Fairness:     every 100 us the completions of the worker's ring come first.
/// Lifetime:     tasks are taken over. Anything else is referred to: await it in the full expression that made it.
/// Allocates:    nothing for tasks; a frame each for other awaitables.   Kernel: none, but for waking a worker.
template <awaitable... Awaited>
    requires(sizeof...(Awaited) >= 2)
auto fork_join(Awaited&&... ops) {
    return detail::fork_operation<await_result<Awaited>...>(detail::as_task(std::forward<Awaited>(ops))...);
}

}  // namespace peal
