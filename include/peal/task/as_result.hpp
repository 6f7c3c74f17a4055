// SPDX-License-Identifier: MIT
#pragma once

// as_result: the form of an operation that returns its error instead of throwing it.

#include <peal/detail/operation.hpp>
#include <peal/task/task.hpp>

namespace peal {

namespace detail {

/// What `give` gives, or the error that it throws.
template <class Give, class T = std::invoke_result_t<Give&>>
result<T> result_of(Give give) {
    try {
        if constexpr (std::is_void_v<T>) {
            give();
            return {};
        } else {
            return give();
        }
    } catch (const std::system_error& failure) {
        return error::from_exception(failure);
    }
}

template <class Operation>
concept reports_result = requires(Operation& operation) { operation.result(); };

template <class Operation>
class [[nodiscard]] result_of_operation {
  public:
    explicit result_of_operation(Operation& operation) noexcept : operation_(operation) {}
    bool await_ready() noexcept { return operation_.await_ready(); }
    template <peal_promise Promise>
    auto await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return operation_.await_suspend(awaiting);
    }
    auto await_resume() { return operation_.result(); }

  private:
    Operation& operation_;
};

template <class T>
class [[nodiscard]] result_of_task {
  public:
    explicit result_of_task(task<T>&& awaited) noexcept : awaiter_(std::move(awaited).operator co_await()) {}
    bool await_ready() noexcept { return awaiter_.await_ready(); }
    template <peal_promise Promise>
    transfer await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return awaiter_.await_suspend(awaiting);
    }
    result<T> await_resume() {
        return result_of([this]() -> T { return awaiter_.await_resume(); });
    }

  private:
    task_awaiter<T> awaiter_;
};

}  // namespace detail

/// `co_await as_result(stream.read(buffer))` gives a result<std::size_t> and throws nothing.
/// Lifetime: await it in the full expression that made the operation.
template <detail::reports_result Operation>
detail::result_of_operation<Operation> as_result(Operation&& operation) noexcept {
    return detail::result_of_operation<Operation>(operation);
}

/// For a task: a std::system_error becomes the error of the result; any other exception is thrown as it is.
template <class T>
detail::result_of_task<T> as_result(task<T>&& awaited) noexcept {
    return detail::result_of_task<T>(std::move(awaited));
}

}  // namespace peal
