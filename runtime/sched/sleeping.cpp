// SPDX-License-Identifier: MIT

// How a worker falls asleep: what it looks at before, how long it looks on, what it tidies up, what it does when it is awake again. README.md, "Parking".

#include "worker.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <peal/detail/frame_memory.hpp>

#include "scheduler.hpp"

namespace peal::rt {

namespace {

constexpr int spin_score_limit = 8;
constexpr unsigned most_spinning = 4;                                  // of a pool: each takes lines away from those who work
constexpr auto short_idle = std::chrono::microseconds(150);            // with the time that a wake-up takes
constexpr auto memory_patience = std::chrono::seconds(1);
constexpr auto between_memory_looks = std::chrono::milliseconds(100);  // each reads a line of every thread that has frames

}  // namespace

bool worker::has_errand() const noexcept { return scheduler_.has_outside() || !inbox_.empty() || driver_->has_messages(); }

bool worker::work_in_sight() const noexcept {
    if (has_errand()) return true;
    for (unsigned i = 0; i < scheduler_.slots(); ++i) {
        if (i != index_ && scheduler_.at(i).has_stealable()) return true;
    }
    return false;
}

// True: nothing is left. What receivers have left underway is asked to end. Tasks that are counted here were accepted while shutdown() was counting
// (scheduler.hpp, [S2]).
bool worker::try_end() noexcept {
    if (!scheduler_.may_end() || timers_.size() != 0 || scheduler_.counts().live() != 0) return false;
    if (driver_->underway() != 0) driver_->end_arrivals();  // of receivers that outlive their tasks
    return driver_->underway() == 0;
}

// To wake a sleeping core takes 25 to 60 us on virtual machines, to be found looking 0.1 us. So a worker looks on for a while before it
// sleeps, if that has paid lately: work that comes soon after the worker had none (with the time that a wake-up takes) speaks for it, a
// look in vain speaks against it, a long sleep ends it. It is a form of searching: at most half of the workers do it, and four. What was submitted
// is handed over first. True: there is something.
bool worker::spin() noexcept {
    if (spin_score_ <= 0 || !driver_->serves_few() || scheduler_.may_end() || !may_spin()) {
        idle_since_ = driver_->now();
        spend(counters_.busy_ns, idle_since_);
        return false;
    }
    poll();
    idle_since_ = last_poll_;
    if (has_work()) return true;
    if (!may_spin()) return false;  // the poll may have ended the search
    time_point now = idle_since_;
    for (time_point until = std::min(now + driver_->spin_limit(), timers_.next_advance()); now < until; now = driver_->now()) {
        // Each look takes a line away from who writes there: seldom from workers, which write all the time.
        bool found = find_victim() != nullptr || sees_forked();
        for (int i = 0; i < 16 && !found; ++i) {
            if (scheduler_.may_end()) return false;
            for (int j = 0; j < 4; ++j) detail::spin_hint();
            found = driver_->has_news() || has_errand();
        }
        if (found) {
            spin_score_ = std::min(spin_score_ + 1, spin_score_limit);
            spend(counters_.searched_ns, now);
            return true;
        }
    }
    spend(counters_.searched_ns, now);
    spin_score_ -= 2;
    return false;
}

/// A worker without others is no searcher: nobody would count on it.
bool worker::may_spin() noexcept {
    if (scheduler_.size() == 1) return true;
    if (!searching_ && !(searching_ = scheduler_.idle().try_start_search())) return false;
    return scheduler_.idle().searching() <= most_spinning;
}

/// Memory that a burst of tasks has left goes back to the system when it has not been used for a while, by workers that have nothing to do:
/// they stop as soon as there is something. Gives when to look again.
time_point worker::tend_memory() noexcept {
    if (!detail::holds_much_for_frames()) return time_point::max();
    if (idle_since_ < next_memory_look_) return next_memory_look_;
    next_memory_look_ = idle_since_ + between_memory_looks;
    if (!detail::has_spare_frames()) {
        spare_since_ = time_point::max();
        return time_point::max();
    }
    if (spare_since_ == time_point::max()) spare_since_ = idle_since_;
    if (idle_since_ < spare_since_ + memory_patience) return spare_since_ + memory_patience;
    end_search();  // others must not count on this worker meanwhile
    auto may_go_on = [](void* self) {
        auto& me = *static_cast<worker*>(self);
        me.show_life(me.driver_->now());  // it is busy, and is not held up
        return !me.work_in_sight() && !me.driver_->has_news() && !me.scheduler_.may_end() && !me.scheduler_.must_end_now() &&
               me.driver_->now() < me.timers_.next_advance();
    };
    detail::return_spare_frames(may_go_on, this);
    return detail::has_spare_frames() ? driver_->now() + memory_patience : time_point::max();  // it was stopped, or another does it
}

void worker::park() noexcept {
    time_point look_again = tend_memory();
    if (alarm_ != nullptr) alarm_->turn_off(idle_since_);
    if (is_held_up()) set_held_up(false);
    counters_.parks.add();
    if (std::exchange(was_woken_, false) && timers_.item() == items_when_woken_) counters_.wakes_in_vain.add();
    driver_->prepare_to_park();
    scheduler_.idle().enter_parked(index_, searching_);
    searching_ = false;
    if (scheduler_.admission().has_waiting()) [[unlikely]] scheduler_.admission().let_in(idle_since_, admission::pace::at_once);  // [A1]
    const bool sees_work = has_work() || work_in_sight();  // of its own: a task that was let in
    if (sees_work || scheduler_.must_end_now() || try_end()) {
        driver_->stay_awake();
    } else if (scheduler_.may_end()) {
        // The last operations of tasks that belong to other pools: nobody will wake us when these have left.
        driver_->wait(ready_, std::min(timers_.next_advance(), driver_->now() + std::chrono::milliseconds(10)));
    } else {
        const bool on_duty = scheduler_.has_held_up() && scheduler_.try_take_duty();
        if (on_duty) look_again = std::min(look_again, driver_->now() + scheduler::round_for_others);
        driver_->wait(ready_, std::min(timers_.next_advance(), look_again));
        if (on_duty) scheduler_.leave_duty();
    }
    searching_ = scheduler_.idle().leave_parked(index_) == idle::woken_as::searcher;
    last_poll_ = driver_->now();
    spend(counters_.parked_ns, last_poll_);
    if (searching_) {
        counters_.wakes_received.add();
        was_woken_ = true;
        items_when_woken_ = timers_.item();
    }
    // Who brought it may have counted on the search that this worker has just given up, and it may meet something else before it takes that: then it
    // must pass the errand on (end_search()). If so many search already, one of them does: its search ends after this look, and it looks then.
    if (sees_work && !searching_) searching_ = scheduler_.idle().try_start_search();
    take_ready();
    take_inbox();
    if (alarm_ != nullptr) alarm_->has_slept(last_poll_ - idle_since_);
    show_life(last_poll_);
    fire_timers(last_poll_);
    if (last_poll_ - idle_since_ > short_idle) {
        spin_score_ = 0;
    } else if (driver_->spin_limit() != std::chrono::nanoseconds(0)) {
        spin_score_ = std::min(spin_score_ + 1, spin_score_limit);
        driver_->note_short_idle();
    }
    until_poll_ = interval_;
}

}  // namespace peal::rt
