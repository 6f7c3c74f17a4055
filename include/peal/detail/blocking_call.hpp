// SPDX-License-Identifier: MIT
#pragma once

// blocking_call: run a function on a blocking thread of the pool and suspend meanwhile. For system calls without a ring operation.

#include <exception>
#include <optional>
#include <utility>

#include <peal/detail/schedule.hpp>
#include <peal/task/task.hpp>

namespace peal::detail {

class PEAL_EXPORT blocking_call_base : public work_item {
  public:
    blocking_call_base(const blocking_call_base&) = delete;
    blocking_call_base& operator=(const blocking_call_base&) = delete;
    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        start(awaiting, awaiting.promise().owner());
    }

  protected:
    using run_function = void (*)(blocking_call_base&) noexcept;
    explicit blocking_call_base(run_function run) noexcept : run_(run) {}

  private:
    void start(std::coroutine_handle<> awaiting, context& task) noexcept;

    run_function run_;
    alignas(void*) std::byte job_[3 * sizeof(void*)];  // the blocking thread's view of this object
};

/// Not cancelable: the thread is inside the system. `Function` gives a value by return.
template <class Function>
class [[nodiscard]] blocking_call : public blocking_call_base {
  public:
    explicit blocking_call(Function& function) noexcept : blocking_call_base(&blocking_call::run), function_(function) {}

    std::invoke_result_t<Function&> await_resume() {
        if (failure_) std::rethrow_exception(failure_);
        return std::move(*value_);
    }

  private:
    static void run(blocking_call_base& self) noexcept {
        auto& call = static_cast<blocking_call&>(self);
        try {
            call.value_.emplace(call.function_());
        } catch (...) {
            call.failure_ = std::current_exception();
        }
    }

    Function& function_;
    std::optional<std::invoke_result_t<Function&>> value_;
    std::exception_ptr failure_;
};

}  // namespace peal::detail
