// SPDX-License-Identifier: MIT

#include <peal/sync/barrier.hpp>

#include <mutex>

namespace peal {

bool barrier::wait_or_pass(detail::wait_operation& waiter) noexcept {
    detail::wake_chain passing;
    {
        std::lock_guard guard(lock_);
        if (missing_ != 1) {
            if (!waiter.enlist(waiting_)) return false;
            --missing_;
            return true;
        }
        missing_ = parties_;
        waiting_.move_to(passing);
    }
    passing.wake_all();  // without a pool they run here, and may stop the last one
    return false;
}

bool barrier::forget(detail::wait_operation& waiter) noexcept {
    std::lock_guard guard(lock_);
    if (!waiting_.remove(waiter)) return false;
    ++missing_;
    return true;
}

void barrier::arrive_and_drop() noexcept {
    detail::wake_chain passing;
    {
        std::lock_guard guard(lock_);
        PEAL_ASSERT(parties_ != 0, "barrier: more parties dropped than there were");
        --parties_;
        if (--missing_ == 0) {
            missing_ = parties_;
            waiting_.move_to(passing);
        }
    }
    passing.wake_all();
}

}  // namespace peal
