// SPDX-License-Identifier: MIT

#include "admission.hpp"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include <peal/detail/config.hpp>

#include "../base/membarrier.hpp"
#include "scheduler.hpp"

namespace peal::rt {

namespace {

constexpr auto batch_patience = std::chrono::milliseconds(1);
constexpr auto between_sums = std::chrono::microseconds(100);  // of a bound that is not tight
constexpr std::uint64_t tight_bound = 1024;
constexpr std::uint64_t most_shed = 8;  // for one that comes. If the pool is further beyond its bound than threads bring it there, its own tasks hold it

share_queue* share_of(const detail::share_state* share, const scheduler& pool) noexcept {
    if (share == nullptr || share->pool != &pool) return nullptr;  // in none, or in one of another pool, which does not count here
    return const_cast<share_queue*>(static_cast<const share_queue*>(share));  // shares::make() has made it
}

/// What is too much in `taken` for one more.
std::uint64_t excess(std::uint64_t taken, std::uint64_t bound) noexcept { return bound != 0 && taken >= bound ? taken - bound + 1 : 0; }

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
    auto is_tight = [](std::uint64_t bound) { return bound != 0 && bound < tight_bound; };
    is_tight_.store(is_tight(bounds.all) || std::any_of(std::begin(bounds.of), std::end(bounds.of), is_tight), std::memory_order_relaxed);  // as the next
    for (unsigned i = 0; i < priorities; ++i) {
        const bool is_free = bounds.all == 0 && bounds.of[i] == 0;
        room_until_[i].store(is_free ? std::numeric_limits<std::uint64_t>::max() : 0, std::memory_order_relaxed);  // nobody else knows it yet
    }
}

admission::~admission() { PEAL_ASSERT(first_ == nullptr, "a pool was destroyed while a task of another pool waits for room in it, or for its end (drained())"); }

// ---- under the lock -----------------------------------------------------------------------------------------------------------

std::uint64_t admission::places() const noexcept { return places_[0] + places_[1] + places_[2]; }

bool admission::has_room(const sums& now, const detail::door_waiter& guest) const noexcept {
    const unsigned i = index_of(guest.urgency_);
    if (excess(now.all + places(), bounds_.all) != 0 || excess(now.of[i] + places_[i], bounds_.of[i]) != 0) return false;
    const share_queue* share = share_of(guest.share_, pool_);
    return share == nullptr || excess(share->pending(), share->most_pending()) == 0;
}

bool admission::try_give(const sums& now, detail::door_waiter& guest) noexcept {
    if (guest.wish_ == detail::door_waiter::wish::drained) return now.all == 0;
    if (!has_room(now, guest)) return false;
    give(guest);
    return true;
}

void admission::give(detail::door_waiter& guest) noexcept {
    guest.has_place_ = true;
    ++places_[index_of(guest.urgency_)];
    if (share_queue* share = share_of(guest.share_, pool_)) share->count_accepted();
}

/// True: there is room now.
bool admission::try_shed(const sums& now, const detail::door_waiter& guest, detail::work_list& shed) noexcept {
    const unsigned i = index_of(guest.urgency_);
    const std::uint64_t of_priority = excess(now.of[i] + places_[i], bounds_.of[i]);
    const std::uint64_t count = std::max(of_priority, excess(now.all + places(), bounds_.all));
    const share_queue* share = share_of(guest.share_, pool_);
    const bool is_share_full = share != nullptr && excess(share->pending(), share->most_pending()) != 0;  // what is in shares is not shed
    if (is_share_full || count > most_shed) return false;
    return pool_.take_to_shed(guest.urgency_, of_priority != 0, static_cast<unsigned>(count), shed);
}

/// More than three quarters of the pool's places are taken, and somebody waits: then those who wait are let in in batches, and who comes lines up.
bool admission::is_crowded(const sums& now) const noexcept {
    return want_room_ != 0 && bounds_.all != 0 && now.all + places() > bounds_.all - bounds_.all / 4;
}

/// Behind those that wait already.
bool admission::must_line_up(const sums& now, const detail::door_waiter& guest) const noexcept {
    if (guest.wish_ != detail::door_waiter::wish::room || !is_crowded(now)) return false;
    for (const detail::door_waiter* other = first_; other != nullptr; other = other->following_) {
        if (other->wish_ == detail::door_waiter::wish::room && other->urgency_ <= guest.urgency_) return true;
    }
    return false;
}

/// Takes off those who get what they wish for, the oldest of the highest priority first, and chains them.
detail::door_waiter* admission::take_off(const sums& now) noexcept {
    detail::door_waiter* in = nullptr;
    detail::door_waiter** last = &in;
    for (unsigned urgency = 0; urgency < priorities; ++urgency) {
        for (detail::door_waiter* guest = first_; guest != nullptr;) {
            detail::door_waiter& each = *std::exchange(guest, guest->following_);
            if (index_of(each.urgency_) != urgency || !try_give(now, each)) continue;
            remove(each);
            each.following_ = nullptr;
            *last = &each;
            last = &each.following_;
        }
    }
    set_marks(now);
    return in;
}

/// Gives those who are to be told.
detail::door_waiter* admission::line_up(detail::door_waiter& guest) noexcept {
    push_back(guest);
    pool_.idle().meet_parking();  // [A1]
    return take_off(pool_.pending());
}

/// After line_up(), without the lock: a worker that has begun a task just now, and has not seen yet that somebody waits, may not have told of it either.
void admission::meet_beginning() noexcept {
    if constexpr (!detail::is_explored) {
        static const bool is_prepared = prepare_interrupts();
        if (is_prepared) interrupt_all_threads();
    }
    static_cast<void>(let_in(time_point(), pace::at_once));
}

/// Until then a thread outside need not ask again. Each priority gets a quarter of what is free: together they stay below the bound.
void admission::set_marks(const sums& now) noexcept {
    auto left = [](std::uint64_t bound, std::uint64_t taken) { return bound > taken ? bound - taken : 0; };
    for (unsigned i = 0; i < priorities; ++i) {
        std::uint64_t free = std::numeric_limits<std::uint64_t>::max() / 2;
        if (bounds_.all != 0) free = left(bounds_.all, now.all + places()) / 4;
        if (bounds_.of[i] != 0) free = std::min(free, left(bounds_.of[i], now.of[i] + places_[i]) / 2);
        if (is_crowded(now)) free = 0;  // who comes now lines up
        room_until_[i].store(pool_.outside_accepted(static_cast<priority>(i)) + free, std::memory_order_relaxed);
    }
}

void admission::push_back(detail::door_waiter& guest) noexcept {
    guest.previous_ = last_;
    guest.following_ = nullptr;
    guest.waits_ = true;
    (last_ == nullptr ? first_ : last_->following_) = &guest;
    last_ = &guest;
    if (guest.wish_ == detail::door_waiter::wish::room) {
        ++want_room_;
    } else {
        want_drained_.store(want_drained_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // published by the next
    }
    waiting_.fetch_add(1, std::memory_order_seq_cst);  // [A1]
}

void admission::remove(detail::door_waiter& guest) noexcept {
    guest.waits_ = false;
    if (guest.wish_ == detail::door_waiter::wish::room) {
        --want_room_;
    } else {
        want_drained_.store(want_drained_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }
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

bool admission::ask(detail::door_waiter& guest, detail::work_list* shed) noexcept {
    std::lock_guard guard(lock_);
    sums now = pool_.pending();
    if (must_line_up(now, guest)) return false;
    if (!try_give(now, guest)) {
        if (shed == nullptr || !try_shed(now, guest, *shed)) return false;
        give(guest);  // it is paid for
        now = pool_.pending();
    }
    set_marks(now);
    return true;
}

bool admission::wait(detail::door_operation& guest) noexcept {
    detail::door_waiter* in;
    bool is_in;
    {
        std::lock_guard guard(lock_);
        if (goes_on_ == whom::all || !guest.try_arm()) return false;
        in = line_up(guest);
        is_in = !guest.waits_;
        // From here on it may be gone, unless it is in the chain, and is told by us.
        if (is_in) {
            for (detail::door_waiter** each = &in; *each != nullptr; each = &(*each)->following_) {
                if (*each != &guest) continue;
                *each = guest.following_;
                break;
            }
        }
    }
    tell(in);
    if (is_in) return !guest.must_resume();  // false: a stopper found it gone, and leaves it to us
    meet_beginning();
    return true;
}

bool admission::wait(blocked_guest& guest) noexcept {
    detail::door_waiter* in;
    bool is_in;
    {
        std::lock_guard guard(lock_);
        if (goes_on_ != whom::nobody) return false;
        in = line_up(guest);
        is_in = !guest.waits_;
    }
    tell(in);  // the guest itself, too, if it is in
    if (!is_in) meet_beginning();
    guest.block();
    return guest.has_place_;
}

bool admission::leave(detail::door_waiter& guest) noexcept {
    std::lock_guard guard(lock_);
    if (!guest.waits_) return false;
    remove(guest);
    return true;
}

void admission::use_place(detail::door_waiter& guest) noexcept {
    std::lock_guard guard(lock_);
    guest.has_place_ = false;
    --places_[index_of(guest.urgency_)];
    if (share_queue* share = share_of(guest.share_, pool_)) share->count_begun();
}

void admission::give_place_back(detail::door_waiter& guest) noexcept {
    use_place(guest);
    if (has_waiting()) static_cast<void>(let_in(time_point(), pace::at_once));  // all workers may be asleep
}

bool admission::let_in(time_point now, pace pace) noexcept {
    detail::door_waiter* in;
    {
        std::lock_guard guard(lock_);
        if (first_ == nullptr) return false;
        if (pace == pace::batches && !is_tight() && now - summed_at_ < between_sums) return false;
        summed_at_ = std::max(summed_at_, now);
        const sums sum = pool_.pending();
        // A thread that is woken for one place sleeps again at once: mostly they are let in when a quarter of the places is free.
        if (pace == pace::batches && is_crowded(sum) && now - let_in_at_ < batch_patience) return false;
        let_in_at_ = std::max(let_in_at_, now);
        in = take_off(sum);
    }
    const bool any = in != nullptr;
    tell(in);
    return any;
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
