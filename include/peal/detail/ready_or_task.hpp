// SPDX-License-Identifier: MIT
#pragma once

// ready_or_task: what mostly is at hand already, and else takes a task. The first costs no coroutine frame and does not suspend.

#include <optional>
#include <type_traits>
#include <utility>

#include <peal/detail/awaitable.hpp>
#include <peal/task/as_result.hpp>

namespace peal::detail {

/// `Request` has `at_once()`, which gives an optional value and does not throw, and `rest()`, the task for when there is none. Errors are
/// the task's. What is at hand is given without a look at whether a stop was requested.
template <class T, class Request>
class [[nodiscard("a buffered read or write does nothing until it is awaited")]] ready_or_task {
  public:
    template <class... Arguments>
    explicit ready_or_task(Arguments&&... arguments) noexcept : request_(std::forward<Arguments>(arguments)...) {}
    ready_or_task(const ready_or_task&) = delete;
    ready_or_task& operator=(const ready_or_task&) = delete;

    bool await_ready() noexcept {
        value_ = request_.at_once();
        return value_.has_value();
    }
    template <peal_promise Promise>
    transfer await_suspend(std::coroutine_handle<Promise> awaiting) {
        rest_.emplace(request_.rest().release());
        return rest_->await_suspend(awaiting);
    }
    T await_resume() {
        if (!value_) return rest_->await_resume();
        if constexpr (!std::is_void_v<T>) return std::move(*value_);
    }
    peal::result<T> result() {
        return result_of([this]() -> T { return await_resume(); });
    }

  private:
    Request request_;
    std::optional<value_or_nothing<T>> value_;
    std::optional<task_awaiter<T>> rest_;
};

}  // namespace peal::detail
