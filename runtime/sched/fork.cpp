// SPDX-License-Identifier: MIT

#include <peal/detail/fork.hpp>

#include <algorithm>

#include <peal/detail/schedule.hpp>
#include <peal/error.hpp>

#include "scheduler.hpp"

namespace peal::detail {

std::size_t automatic_grain(std::size_t size) noexcept {
    std::size_t workers = this_thread.worker != nullptr ? this_thread.worker->scheduler().size() : 1;
    return std::max<std::size_t>(1, size / (16 * workers));
}

// ---- coroutines -------------------------------------------------------------------------------------------------------------

std::coroutine_handle<> fork_branch::ended() noexcept {
    PEAL_ASSERT(false, "a forked coroutine told its context that it has ended");
    return nullptr;
}

std::coroutine_handle<> fork_group::arrive(std::uint32_t children) noexcept {
    if (pending_.fetch_sub(children, std::memory_order_acq_rel) != children) return nullptr;  // [G1]
    handle = parent_;
    return go_on_with(*this);
}

void fork_group::fail() noexcept {
    failed_.store(true, std::memory_order_relaxed);  // [G2]
    owner->stop_apart(this);
}

bool fork_group::pause(std::coroutine_handle<> first) noexcept {
    rt::worker* here = this_thread.worker;  // null: nobody waits for a thread of the program; the count goes round
    if (here == nullptr || !here->look_around()) return false;
    handle = first;
    here->push_rescheduled(*this);
    return true;
}

void rethrow_one_of(std::span<const std::exception_ptr> failures) {
    auto failed = std::find_if(failures.begin(), failures.end(),
                               [](const std::exception_ptr& each) { return each != nullptr && !is_canceled(each); });
    if (failed == failures.end()) {
        failed = std::find_if(failures.begin(), failures.end(), [](const std::exception_ptr& each) { return each != nullptr; });
    }
    std::rethrow_exception(*failed);
}

work_item* forked_task::begin_apart(fork_record& taken) noexcept {
    auto& child = static_cast<forked_task&>(taken);
    fork_group& group = *child.group;
    if (group.has_failed()) {
        context* before = this_thread.current;  // a worker's, or a task's that waits in a destructor
        bool is_last = group.arrive(1) != nullptr;
        this_thread.current = before;
        return is_last ? &group : nullptr;
    }
    child.is_apart_ = true;
    std::construct_at(&child.branch_, group, *group.owner, current_scheduler());
    child.owner = &child.branch_;
    child.promise_->set_owner(child.branch_);
    child.promise_->set_fork(child);
    group.owner->add_apart(child.branch_);
    if (group.has_failed()) child.branch_.request_stop();  // [G2] fail() may have gone through the others before this one was there
    return &child;
}

std::coroutine_handle<> forked_task::ended_apart(bool failed) noexcept {
    fork_group& siblings = *group;
    siblings.owner->remove_apart(branch_);
    std::destroy_at(&branch_);
    if (failed) siblings.fail();
    return siblings.arrive(1);
}

// ---- functions --------------------------------------------------------------------------------------------------------------

work_item* forked_call::begin_apart(fork_record& taken) noexcept {
    auto& call = static_cast<forked_call&>(taken);
    context* before = std::exchange(this_thread.current, call.owner_);
    try {
        call.run_(call);
    } catch (...) {
        call.failure_ = std::current_exception();
    }
    this_thread.current = before;
    state seen = state::running;
    if (call.state_.compare_exchange_strong(seen, state::done, std::memory_order_release, std::memory_order_acquire)) return nullptr;  // [J1]
    rt::worker& sleeper = *call.sleeper_;
    call.state_.store(state::done, std::memory_order_seq_cst);  // [J1] from here on the call may be gone
    sleeper.driver().wake();
    return nullptr;
}

void forked_call::look_around() noexcept {
    rt::worker* here = this_thread.worker;
    if (here != nullptr && here->look_around()) here->offer();
}

void forked_call::wait() noexcept {
    constexpr int rounds = is_explored ? 0 : 200;  // guess: some ten microseconds, what a sleep and a wake-up cost
    rt::worker& here = *this_thread.worker;
    for (int idle = 0; idle < rounds;) {
        if (state_.load(std::memory_order_acquire) == state::done) return;  // [J1]
        if (here.help()) {
            idle = 0;
            look_around();
        } else {
            ++idle;
            spin_hint();
        }
    }
    sleeper_ = &here;
    state expected = state::running;
    if (!state_.compare_exchange_strong(expected, state::sleeping, std::memory_order_release, std::memory_order_acquire)) return;  // [J1]
    here.wait_for(*this);
}

}  // namespace peal::detail
