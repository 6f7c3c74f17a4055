// SPDX-License-Identifier: MIT

#include <peal/detail/branch.hpp>

namespace peal::detail {

void branch::run(std::coroutine_handle<> outermost) noexcept {
    context* before = this_thread.current;
    this_thread.current = this;
    resume_chain(outermost);
    this_thread.current = before;
}

void branch_group::begin(std::coroutine_handle<> awaiting, context& parent, std::uint32_t holders) noexcept {
    PEAL_ASSERT(owner == nullptr, "timeout(), when_all() or another combination was awaited twice: make it anew for each");
    handle = awaiting;
    owner = &parent;
    held_.store(holders + 1, std::memory_order_relaxed);  // published by arm(), and by the start of the branches
    if (from_outside_ == stops::stay_out) return;
    armed_ = true;  // before arm(): a stopper may come at once. (It does not read this; the last holder does, after [B1].)
    if (parent.arm(*this)) return;
    armed_ = false;
    stop_branches();  // asked to stop before: the branches are asked, too, and awaited all the same
}

bool branch_group::all_started() noexcept {
    if (held_.fetch_sub(1, std::memory_order_acq_rel) != 1 || !may_resume()) return true;  // [B1]
    if (current_scheduler() == owner->scheduler()) return false;
    enqueue_woken(*this);  // a branch has ended in another pool already, and the task goes on there
    return true;
}

void branch_group::leave() noexcept {
    if (held_.fetch_sub(1, std::memory_order_acq_rel) == 1 && may_resume()) enqueue_woken(*this);  // [B1]
}

std::coroutine_handle<> branch_group::branch_ended(branch& which) noexcept {
    std::uint32_t leaving = note_end(which);
    if (held_.fetch_sub(leaving, std::memory_order_acq_rel) != leaving || !may_resume()) return nullptr;  // [B1]
    return go_on_with(*this);
}

bool branch_group::may_resume() noexcept {
    if (!armed_ || owner->disarm(*this)) return true;
    return second_.exchange(true, std::memory_order_acq_rel);  // [B2]
}

void branch_group::stop_from_outside(cancelable& self) noexcept {
    auto& group = static_cast<branch_group&>(self);
    group.stop_branches();
    if (group.second_.exchange(true, std::memory_order_acq_rel)) enqueue_woken(group);  // [B2]
}

}  // namespace peal::detail
