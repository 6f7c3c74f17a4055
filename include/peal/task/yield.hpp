// SPDX-License-Identifier: MIT
#pragma once

// yield: let others run.

#include <peal/detail/schedule.hpp>
#include <peal/task/task.hpp>

namespace peal {

namespace detail {

class [[nodiscard("await it")]] yield_operation : work_item {
  public:
    yield_operation() noexcept = default;
    yield_operation(const yield_operation&) = delete;
    yield_operation& operator=(const yield_operation&) = delete;

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        rt::scheduler* here = current_scheduler();
        if (here == nullptr) return false;  // a task of sync_wait() has its thread to itself
        handle = awaiting;
        owner = &awaiting.promise().owner();
        enqueue(*here, *this);
        return true;
    }
    void await_resume() const noexcept {}
};

}  // namespace detail

/// To the back of the calling worker's queue: whoever waits there comes first. Completions that have arrived come within 64 items or 100 us.
/// Cancellation: none; this never throws.   Allocates: never.   Kernel: none.
inline detail::yield_operation yield() noexcept { return detail::yield_operation(); }

}  // namespace peal
