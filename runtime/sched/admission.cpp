// SPDX-License-Identifier: MIT

#include "admission.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include <peal/detail/config.hpp>

#include "scheduler.hpp"

namespace peal::rt {

namespace {

constexpr auto batch_patience = std::chrono::milliseconds(1);

}  // namespace

void blocked_guest::block() noexcept {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_in_; });
}

void blocked_guest::wake(door_waiter& self) noexcept {
    auto& me = static_cast<blocked_guest&>(self);
    std::lock_guard guard(me.mutex_);
    me.is_in_ = true;
    me.changed_.notify_one();  // under the lock: the last touch of this object
}

admission::admission(scheduler& pool, bounds bounds) noexcept
    : pool_(pool), bounds_(bounds), is_bounded_(bounds.all != 0 || std::any_of(std::begin(bounds.of), std::end(bounds.of), [](std::uint64_t each) { return each != 0; })) {
    for (unsigned i = 0; i < priorities; ++i) {
        const bool is_free = bounds.all == 0 && bounds.of[i] == 0;
        room_until_[i].store(is_free ? std::numeric_limits<std::uint64_t>::max() : 0, std::memory_order_relaxed);  // nobody else knows it yet
    }
}

admission::~admission() { PEAL_ASSERT(first_ == nullptr, "a pool was destroyed while a task of another pool waits for room in it, or for its end (drained())"); }

admission::sums admission::pending() const noexcept {
    const task_counts now = pool_.counts();
    sums sum;
    for (unsigned i = 0; i < priorities; ++i) {
        sum.of[i] = now.pending[i];
        sum.all += now.pending[i];
    }
    return sum;
}

// ---- under the lock -----------------------------------------------------------------------------------------------------------

bool admission::has_room(const sums& now, const detail::door_waiter& guest) const noexcept {
    const unsigned i = index_of(guest.urgency_);
    if (bounds_.all != 0 && now.all + places_ >= bounds_.all) return false;
    if (bounds_.of[i] != 0 && now.of[i] + places_ >= bounds_.of[i]) return false;
    if (guest.share_ == nullptr || guest.share_->pool != &pool_) return true;  // in none, or in one of another pool, which does not count here
    const share_queue& share = static_cast<const share_queue&>(*guest.share_);
    return share.most_pending() == 0 || share.pending() + places_ < share.most_pending();
}

bool admission::try_give(const sums& now, detail::door_waiter& guest) noexcept {
    if (guest.wish_ == detail::door_waiter::wish::drained) return now.all == 0;
    if (!has_room(now, guest)) return false;
    guest.has_place_ = true;
    ++places_;
    return true;
}

/// Behind those that wait already and whose priority is not lower.
bool admission::must_line_up(const detail::door_waiter& guest) const noexcept {
    for (const detail::door_waiter* other = first_; other != nullptr; other = other->following_) {
        if (other->wish_ == detail::door_waiter::wish::room && other->urgency_ <= guest.urgency_) return guest.wish_ == detail::door_waiter::wish::room;
    }
    return false;
}

/// Until then a thread outside need not ask again. Each priority gets a quarter of what is free: together they stay below the bound.
void admission::set_marks(const sums& now) noexcept {
    auto left = [](std::uint64_t bound, std::uint64_t taken) { return bound > taken ? bound - taken : 0; };
    for (unsigned i = 0; i < priorities; ++i) {
        std::uint64_t free = std::numeric_limits<std::uint64_t>::max() / 2;
        if (bounds_.all != 0) free = left(bounds_.all, now.all + places_) / 4;
        if (bounds_.of[i] != 0) free = std::min(free, left(bounds_.of[i], now.of[i] + places_) / 2);
        if (first_ != nullptr) free = 0;  // who comes now lines up
        room_until_[i].store(pool_.outside_accepted(static_cast<priority>(i)) + free, std::memory_order_relaxed);
    }
}

void admission::push_back(detail::door_waiter& guest) noexcept {
    guest.previous_ = last_;
    guest.following_ = nullptr;
    guest.waits_ = true;
    (last_ == nullptr ? first_ : last_->following_) = &guest;
    last_ = &guest;
    waiting_.fetch_add(1, std::memory_order_seq_cst);  // [A1]
}

void admission::remove(detail::door_waiter& guest) noexcept {
    guest.waits_ = false;
    (guest.previous_ == nullptr ? first_ : guest.previous_->following_) = guest.following_;
    (guest.following_ == nullptr ? last_ : guest.following_->previous_) = guest.previous_;
    waiting_.fetch_sub(1, std::memory_order_relaxed);  // less to see
}

void admission::tell(detail::door_waiter* in) noexcept {
    while (in != nullptr) {
        detail::door_waiter& each = *std::exchange(in, in->following_);
        each.let_in_(each);
    }
}

// ---- any thread ---------------------------------------------------------------------------------------------------------------

bool admission::ask(detail::door_waiter& guest) noexcept {
    std::lock_guard guard(lock_);
    const sums now = pending();
    if (must_line_up(guest) || !try_give(now, guest)) return false;
    set_marks(now);
    return true;
}

bool admission::wait(detail::door_operation& guest) noexcept {
    std::lock_guard guard(lock_);
    if (goes_on_ == whom::all || !guest.try_arm()) return false;
    const bool lines_up = must_line_up(guest);
    push_back(guest);
    pool_.idle().meet_parking();  // [A1]
    if (lines_up || !try_give(pending(), guest)) return true;
    remove(guest);
    return !guest.must_resume();  // false: a stopper waits for the lock, finds it gone, and leaves it to us
}

bool admission::wait(blocked_guest& guest) noexcept {
    {
        std::lock_guard guard(lock_);
        if (goes_on_ != whom::nobody) return false;
        const bool lines_up = must_line_up(guest);
        push_back(guest);
        pool_.idle().meet_parking();  // [A1]
        if (!lines_up && try_give(pending(), guest)) {
            remove(guest);
            return true;
        }
    }
    guest.block();
    return guest.has_place_;
}

bool admission::leave(detail::door_waiter& guest) noexcept {
    std::lock_guard guard(lock_);
    if (!guest.waits_) return false;
    remove(guest);
    return true;
}

void admission::give_place_back(detail::door_waiter& guest) noexcept {
    if (!guest.has_place_) return;
    bool others_wait;
    {
        std::lock_guard guard(lock_);
        guest.has_place_ = false;
        --places_;
        others_wait = first_ != nullptr;
    }
    if (others_wait) let_in(time_point(), pace::at_once);  // it may not have been used, and all workers be asleep
}

void admission::let_in(time_point now, pace pace) noexcept {
    detail::door_waiter* in = nullptr;
    {
        std::lock_guard guard(lock_);
        if (first_ == nullptr) return;
        const sums sum = pending();
        // A thread that is woken for one place sleeps again at once: mostly they are let in when a quarter of the places is free.
        const bool is_low = bounds_.all == 0 || sum.all + places_ <= bounds_.all - bounds_.all / 4;
        if (!is_low && sum.all != 0 && pace == pace::batches && now - let_in_at_ < batch_patience) return;
        let_in_at_ = std::max(let_in_at_, now);
        detail::door_waiter** last = &in;
        for (detail::door_waiter* guest = first_; guest != nullptr;) {
            detail::door_waiter& each = *std::exchange(guest, guest->following_);
            if (!try_give(sum, each)) continue;
            remove(each);
            each.following_ = nullptr;
            *last = &each;
            last = &each.following_;
        }
        set_marks(sum);
    }
    tell(in);
}

void admission::let_go(whom who) noexcept {
    detail::door_waiter* in = nullptr;
    {
        std::lock_guard guard(lock_);
        goes_on_ = who;
        for (detail::door_waiter* guest = first_; guest != nullptr;) {
            detail::door_waiter& each = *std::exchange(guest, guest->following_);
            if (who == whom::threads && each.kind_ == detail::door_waiter::kind::task) continue;
            remove(each);
            each.following_ = std::exchange(in, &each);
        }
    }
    tell(in);
}

}  // namespace peal::rt
