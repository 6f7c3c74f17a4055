// SPDX-License-Identifier: MIT

#include <peal/sync/shared_mutex.hpp>

#include <mutex>

namespace peal {

void shared_mutex::take(mode how) noexcept {
    if (how == mode::exclusive) {
        writer_ = true;
    } else {
        ++readers_;
    }
}

std::optional<shared_mutex::guard> shared_mutex::try_take(mode how) noexcept {
    std::lock_guard lock(lock_);
    if (!waiting_.empty() || !is_free_for(how)) return std::nullopt;
    take(how);
    return guard(*this, how);
}

bool shared_mutex::wait_or_take(lock_operation& waiter) noexcept {
    std::lock_guard lock(lock_);
    if (waiting_.empty() && is_free_for(waiter.mode_)) {
        take(waiter.mode_);
        return false;
    }
    return waiter.enlist(waiting_);
}

bool shared_mutex::forget(lock_operation& waiter) noexcept {
    detail::wake_chain admitted;
    bool removed;
    {
        std::lock_guard lock(lock_);
        removed = waiting_.remove(waiter);
        if (removed) let_in(admitted);  // readers behind a writer that went away
    }
    admitted.wake_all();
    return removed;
}

void shared_mutex::unlock(mode how) noexcept {
    detail::wake_chain admitted;
    {
        std::lock_guard lock(lock_);
        if (how == mode::exclusive) {
            writer_ = false;
        } else {
            --readers_;
        }
        let_in(admitted);
    }
    admitted.wake_all();
}

/// Under the lock.
void shared_mutex::let_in(detail::wake_chain& admitted) noexcept {
    while (auto* front = static_cast<lock_operation*>(waiting_.front())) {
        if (!is_free_for(front->mode_)) return;
        take(front->mode_);
        static_cast<void>(waiting_.remove(*front));
        admitted.push_back(*front);
    }
}

}  // namespace peal
