// SPDX-License-Identifier: MIT

#include <peal/sync/event.hpp>

#include <mutex>

namespace peal {

void event::set() noexcept {
    detail::wake_chain passing;
    {
        std::lock_guard guard(lock_);
        set_.store(true, std::memory_order_release);  // [E1]
        waiting_.move_to(passing);
    }
    passing.wake_all();  // this event may be gone
}

void event::reset() noexcept {
    std::lock_guard guard(lock_);
    set_.store(false, std::memory_order_relaxed);
}

bool event::wait_or_pass(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (is_set()) return false;
    return waiter.enlist(waiting_);
}

bool event::forget(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    return waiting_.remove(waiter);
}

void auto_reset_event::set() noexcept {
    detail::wait_operation* next;
    {
        std::lock_guard guard(lock_);
        next = waiting_.pop_front();
        if (next == nullptr) set_.store(true, std::memory_order_release);  // [E1]
    }
    if (next != nullptr) next->wake();
}

bool auto_reset_event::wait_or_pass(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (pass()) return false;
    return waiter.enlist(waiting_);
}

bool auto_reset_event::forget(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    return waiting_.remove(waiter);
}

void latch::count_down(std::size_t by) noexcept {
    detail::wake_chain passing;
    {
        std::lock_guard guard(lock_);
        std::size_t left = count_.load(std::memory_order_relaxed);  // written under the lock
        PEAL_ASSERT(by <= left, "latch: counted down below zero");
        if (by == left) waiting_.move_to(passing);
        count_.store(left - by, std::memory_order_release);  // [E1]
    }
    passing.wake_all();  // this latch may be gone
}

bool latch::wait_or_pass(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (is_open()) return false;
    return waiter.enlist(waiting_);
}

bool latch::forget(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    return waiting_.remove(waiter);
}

}  // namespace peal
