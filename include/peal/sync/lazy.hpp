// SPDX-License-Identifier: MIT
#pragma once

// once: something is done by the first who needs it, and the others wait. lazy<T>: a value that is made that way.

#include <functional>
#include <optional>
#include <type_traits>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/sync/mutex.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// Threads: any.   Lifetime: outlives those who call it.
///
/// done_   [L1] release store / acquire load: who finds it done sees what was done
class once {
  public:
    once() noexcept = default;
    once(const once&) = delete;
    once& operator=(const once&) = delete;

    /// Calls `function` (plain, or a coroutine that gives a task), unless that was done before; waits while another task does it.
    /// If it throws, or is canceled, it was not done: the exception goes to this caller, and the next one tries.
    template <class Function>
    task<> call(Function function) {
        if (is_done()) co_return;
        mutex::guard guard = co_await one_.lock();
        if (is_done()) co_return;
        if constexpr (detail::is_task<std::invoke_result_t<Function&>>) {
            co_await std::invoke(function);
        } else {
            std::invoke(function);
        }
        done_.store(true, std::memory_order_release);  // [L1]
    }
    bool is_done() const noexcept { return done_.load(std::memory_order_acquire); }  // [L1]

  private:
    mutex one_;
    detail::atomic<bool> done_{false};
};

/// A value that is made when it is first needed: `peal::lazy<config> settings(load_config);` ... `co_await settings.get()`.
///
/// Threads: any.   Lifetime: outlives those who use it.
template <class T>
class lazy {
  public:
    /// `make` is plain, or a coroutine that gives a task.
    template <class Make>
        requires std::invocable<Make&>
    explicit lazy(Make make) : make_(as_coroutine(std::move(make))) {}

    /// The value; made by the first caller, as by once.
    task<T&> get() {
        if (!once_.is_done()) co_await once_.call([this] { return fill(); });
        co_return *value_;
    }

  private:
    template <class Make>
    static std::function<task<T>()> as_coroutine(Make make) {
        if constexpr (detail::is_task<std::invoke_result_t<Make&>>) {
            return make;
        } else {
            return [make = std::move(make)]() mutable { return call(make); };
        }
    }
    template <class Make>
    static task<T> call(Make& make) {
        co_return std::invoke(make);
    }
    task<> fill() { value_.emplace(co_await make_()); }

    std::function<task<T>()> make_;
    once once_;
    std::optional<T> value_;
};

}  // namespace peal
