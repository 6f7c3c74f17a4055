// SPDX-License-Identifier: MIT
#pragma once

// What can be awaited, what it gives, and how it becomes a task of its own.

#include <concepts>
#include <coroutine>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include <peal/task/task.hpp>

namespace peal {

namespace detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

template <class T>
inline constexpr bool is_kept_task = std::is_lvalue_reference_v<T> && is_task<std::remove_cvref_t<T>>;
template <class T>
concept no_kept_task = !is_kept_task<T>;  // a task is awaited once and handed over: write std::move(task)

template <class T>
concept awaiter = requires(T& awaiting) {
    { awaiting.await_ready() } -> std::convertible_to<bool>;
    awaiting.await_resume();
};

template <class T>
concept has_member_co_await = requires(T&& awaited) { static_cast<T&&>(awaited).operator co_await(); };
template <class T>
concept has_free_co_await = requires(T&& awaited) { operator co_await(static_cast<T&&>(awaited)); };

template <class T>
decltype(auto) awaiter_of(T&& awaited) {
    if constexpr (has_member_co_await<T>) {
        return static_cast<T&&>(awaited).operator co_await();
    } else if constexpr (has_free_co_await<T>) {
        return operator co_await(static_cast<T&&>(awaited));
    } else {
        return static_cast<T&&>(awaited);
    }
}

}  // namespace detail

/// Something that `co_await` takes in a task of peal: a task, an operation, a join_handle.
template <class T>
concept awaitable = detail::no_kept_task<T> && (detail::has_member_co_await<T> || detail::has_free_co_await<T> || detail::awaiter<T>);

/// What `co_await` of a T gives.
template <awaitable T>
using await_result = decltype(std::declval<std::remove_reference_t<decltype(detail::awaiter_of(std::declval<T>()))>&>().await_resume());

namespace detail {

/// void has no values: std::monostate stands for it where values lie side by side.
template <class T>
using value_or_nothing = std::conditional_t<std::is_void_v<T>, std::monostate, T>;
/// What several of them give together: a tuple, or nothing if all give nothing.
template <class... T>
using all_values = std::conditional_t<(std::is_void_v<T> && ...), void, std::tuple<value_or_nothing<T>...>>;
/// How one of them is kept until it is asked for: of a reference, the address.
template <class T>
using stored_value = std::conditional_t<std::is_reference_v<T>, std::remove_reference_t<T>*, value_or_nothing<T>>;

template <awaitable Awaited>
task<await_result<Awaited>> await_by_itself(std::remove_reference_t<Awaited>& awaited) {
    co_return co_await static_cast<Awaited&&>(awaited);
}

/// A task is taken over; anything else is awaited where it is, and must stay there.
template <awaitable Awaited>
auto as_task(Awaited&& awaited) {
    if constexpr (is_task<std::remove_cvref_t<Awaited>>) {
        return std::remove_cvref_t<Awaited>(std::move(awaited));
    } else {
        return await_by_itself<Awaited>(awaited);
    }
}

}  // namespace detail
}  // namespace peal
