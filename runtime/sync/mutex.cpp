// SPDX-License-Identifier: MIT

#include <peal/sync/mutex.hpp>

#include <mutex>

#include <peal/task/sync_wait.hpp>

namespace peal {

bool mutex::wait_or_take(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (state_.exchange(state::contended, std::memory_order_acquire) != state::free) {  // [M1]; nobody waits if enlist() fails: hand_over()
        return waiter.enlist(waiting_);
    }
    // Unlocked meanwhile, so nobody waits.
    state_.store(state::held, std::memory_order_relaxed);  // we hold it: nobody else changes it but under lock_
    return false;
}

bool mutex::forget(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    return waiting_.remove(waiter);
}

void mutex::hand_over() noexcept {
    detail::wait_operation* next;
    {
        std::lock_guard guard(lock_);
        next = waiting_.pop_front();
        if (next == nullptr) {
            state_.store(state::free, std::memory_order_release);  // [M1] who waited was canceled
        } else if (waiting_.empty()) {
            state_.store(state::held, std::memory_order_relaxed);  // still held: nobody gets anything by it
        }
    }
    if (next != nullptr) next->wake();
}

mutex::guard mutex::blocking_lock() {
    auto locking = [](mutex& wanted) -> task<guard> { co_return co_await wanted.lock(); };
    return sync_wait(locking(*this));
}

}  // namespace peal
