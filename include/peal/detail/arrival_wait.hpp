// SPDX-License-Identifier: MIT
#pragma once

// arrival_wait: the wait of a task for what an operation that goes on brings next (runtime/task/arrivals.hpp).

#include <coroutine>
#include <cstddef>
#include <cstdint>

#include <peal/detail/leaf_operation.hpp>
#include <peal/task/task.hpp>

namespace peal::rt {
class arrivals;
class lease_pool;
}

namespace peal::detail {

class PEAL_EXPORT arrival_wait : public leaf_operation {
  public:
    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting, awaiting.promise().owner());
    }

  protected:
    explicit arrival_wait(rt::arrivals& from) noexcept : leaf_operation(&arrival_wait::stop_waiting), from_(from) {}

    /// What it has got: so many bytes, 0 at the end, -errno.
    std::int32_t outcome() const noexcept { return outcome_; }
    rt::lease_pool* lent_by() const noexcept { return lent_by_; }  // null for a buffer of its own
    /// Once: then the buffer is the caller's.
    std::byte* take_buffer() noexcept;

  private:
    friend class rt::arrivals;
    bool start(std::coroutine_handle<> awaiting, context& task) noexcept;
    static void stop_waiting(cancelable& self) noexcept;

    rt::arrivals& from_;
    rt::lease_pool* lent_by_ = nullptr;
    std::byte* buffer_ = nullptr;
    std::int32_t outcome_ = 0;
};

}  // namespace peal::detail
