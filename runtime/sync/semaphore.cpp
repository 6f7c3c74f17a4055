// SPDX-License-Identifier: MIT

#include <peal/sync/semaphore.hpp>

#include <mutex>

#include <peal/task/sync_wait.hpp>

namespace peal {

bool semaphore::wait_or_take(acquire_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (try_take(waiter.count_)) return false;
    state_.fetch_or(waiting_bit, std::memory_order_relaxed);  // from here on release() comes under the lock
    if (waiting_.empty() && available() >= waiter.count_) {   // released between the look and the bit
        state_.fetch_sub(waiter.count_, std::memory_order_acquire);     // [S1]
        state_.fetch_and(~waiting_bit, std::memory_order_relaxed);      // gives nothing away
        return false;
    }
    bool waits = waiter.enlist(waiting_);
    if (!waits && waiting_.empty()) state_.fetch_and(~waiting_bit, std::memory_order_relaxed);  // gives nothing away
    return waits;
}

bool semaphore::forget(acquire_operation& waiter) noexcept {
    detail::wake_chain granted;
    bool removed;
    {
        std::lock_guard guard(lock_);
        removed = waiting_.remove(waiter);
        if (removed) grant(granted);  // it may have held back smaller ones
    }
    granted.wake_all();
    return removed;
}

void semaphore::release_and_grant(std::size_t count) noexcept {
    detail::wake_chain granted;
    {
        std::lock_guard guard(lock_);
        state_.fetch_add(count, std::memory_order_release);  // [S1] also for who comes without the lock, if nobody waits any more
        grant(granted);
    }
    granted.wake_all();
}

/// Under the lock. Hands permits to those at the front, and clears the bit when nobody waits.
void semaphore::grant(detail::wake_chain& granted) noexcept {
    while (auto* front = static_cast<acquire_operation*>(waiting_.front())) {
        if (available() < front->count_) return;
        state_.fetch_sub(front->count_, std::memory_order_acquire);  // [S1] those released before anybody waited
        static_cast<void>(waiting_.remove(*front));
        granted.push_back(*front);
    }
    state_.fetch_and(~waiting_bit, std::memory_order_relaxed);  // gives nothing away
}

semaphore::permit semaphore::blocking_acquire(std::size_t count) {
    auto acquiring = [](semaphore& from, std::size_t wanted) -> task<permit> { co_return co_await from.acquire(wanted); };
    return sync_wait(acquiring(*this, count));
}

}  // namespace peal
