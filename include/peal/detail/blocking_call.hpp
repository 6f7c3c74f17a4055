// SPDX-License-Identifier: MIT
#pragma once

// blocking_call: run a function on a blocking thread of the pool and suspend meanwhile. For system calls without a ring operation, and
// for peal::blocking().

#include <exception>
#include <optional>
#include <stop_token>
#include <utility>

#include <peal/detail/leaf_operation.hpp>
#include <peal/task/task.hpp>

namespace peal::detail {

/// Classes do not wait for each other's threads.
enum class blocking_class : unsigned char { names, files, calls };

class PEAL_EXPORT blocking_call_base : public registering_operation {
  public:
    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting, awaiting.promise().owner());
    }

  protected:
    using run_function = void (*)(blocking_call_base&) noexcept;
    /// With `stopped`: can be canceled while it waits for a thread; then, a stop is passed on to that.
    blocking_call_base(run_function run, blocking_class threads, std::stop_source* stopped) noexcept
        : registering_operation(&blocking_call_base::stop_call), run_(run), stopped_(stopped), threads_(threads) {}

  private:
    class job;
    bool start(std::coroutine_handle<> awaiting, context& task) noexcept;
    bool call_here() noexcept;
    static void stop_call(cancelable& self) noexcept;

    run_function run_;
    std::stop_source* stopped_;
    void* given_to_ = nullptr;                   // the threads that have the job
    alignas(void*) std::byte job_[6 * sizeof(void*)];  // the blocking thread's view of this object
    blocking_class threads_;
};

/// `Function` gives a value by return, and is called once.
template <class Function>
class [[nodiscard]] blocking_call : public blocking_call_base {
  public:
    explicit blocking_call(Function& function, blocking_class threads, std::stop_source* stopped = nullptr) noexcept
        : blocking_call_base(&blocking_call::run, threads, stopped), function_(function) {}

    std::invoke_result_t<Function&> await_resume() {
        if (failure_) std::rethrow_exception(failure_);
        if (!value_) throw_canceled("blocking call");
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
