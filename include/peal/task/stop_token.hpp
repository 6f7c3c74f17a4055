// SPDX-License-Identifier: MIT
#pragma once

// with_stop_token: let a std::stop_token stop what is awaited. (The other way, to give a std::stop_token to a function that knows only
// these: peal::blocking().)

#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/branch.hpp>

namespace peal {

namespace detail {

template <class T>
class [[nodiscard("with_stop_token() does nothing until it is awaited")]] stop_token_operation final : branch_group {
  public:
    stop_token_operation(std::stop_token token, task<T> stoppable) noexcept : token_(std::move(token)), branch_(std::move(stoppable)) {}

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        branch_.prepare(*this, awaiting.promise().owner());
        begin(awaiting, awaiting.promise().owner(), 1);
        stop_when_told_.emplace(std::move(token_), stopper(branch_));
        branch_.start();
        return all_started();
    }
    T await_resume() {
        stop_when_told_.reset();  // waits for a stop that is underway on another thread
        return branch_.take();
    }

  private:
    class stopper {
      public:
        explicit stopper(branch_of<T>& stopped) noexcept : stopped_(&stopped) {}
        void operator()() const noexcept { stopped_->request_stop(); }

      private:
        branch_of<T>* stopped_;
    };

    void stop_branches() noexcept override { branch_.request_stop(); }
    std::uint32_t note_end(branch& which) noexcept override {
        parent().set_scheduler(which.scheduler());  // the task goes on where this has led
        return 1;
    }

    std::stop_token token_;
    branch_of<T> branch_;
    std::optional<std::stop_callback<stopper>> stop_when_told_;
};

}  // namespace detail

/// Awaits `op`; when `token` is told to stop, by any thread, so is `op`, which then ends with operation_canceled.
/// Lifetime: a task is taken over. Anything else is referred to: await it in the full expression that made it.
template <awaitable Awaited>
auto with_stop_token(std::stop_token token, Awaited&& op) {
    return detail::stop_token_operation<await_result<Awaited>>(std::move(token), detail::as_task(std::forward<Awaited>(op)));
}

}  // namespace peal
