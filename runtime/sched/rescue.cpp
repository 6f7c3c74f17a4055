// SPDX-License-Identifier: MIT

// Workers that do not come back from a task: who says so, who stands in for them, and the spare worker. README.md, "A worker that does not come back".

#include "worker.hpp"

#include <algorithm>
#include <chrono>

#include "scheduler.hpp"

namespace peal::rt {

/// Nobody needs to stand in for this worker.
void worker::show_life(time_point now) noexcept {
    polled_at_.store(now.time_since_epoch().count(), std::memory_order_release);  // [F2]
    if (alarm_ == nullptr) return;
    alarm_->put_off(now);
    if (is_held_up()) [[unlikely]] set_held_up(false);
}

/// Does for workers that do not come back from a task what they would do: hands over what they have submitted, takes what is ready, fires their timers. That may
/// take its time, and run code of the program (fire_timers()): nobody must count on this worker meanwhile.
void worker::stand_in(time_point now) noexcept {
    if (!scheduler_.begin_round_for_others(now)) return;
    be_counted_on_by_nobody();
    for (unsigned i = 0; i < scheduler_.slots(); ++i) {
        worker& other = scheduler_.at(i);
        if (&other == this || !other.is_held_up()) continue;
        counters_.rounds_for_others.add();
        other.driver_->poll_for_owner(ready_, room());
        take_ready();
        announce();
        other.timers_.advance_for_owner(now);
    }
}

std::optional<glance> worker::glance_at_task() const {
    const detail::thread_state* thread = thread_.load(std::memory_order_relaxed);
    return thread != nullptr ? glance::at(*thread) : std::nullopt;
}

std::optional<time_point> worker::away_since() const noexcept {
    const auto polled_at = polled_at_.load(std::memory_order_acquire);  // [F2]
    if (polled_at == 0 || !driver_->is_running()) return std::nullopt;
    return time_point(time_point::duration(polled_at));
}

void worker::set_held_up(bool is_held_up) noexcept {
    if (held_up_.exchange(is_held_up, std::memory_order_acq_rel) != is_held_up) scheduler_.count_held_up(is_spare_, is_held_up);  // [F3]
}

/// All that waits for this worker goes to the others.
void worker::give_away() noexcept {
    if (turn_whose_ != nullptr) end_turn();
    detail::work_list left;
    take_queued(left);
    if (left.empty()) return;
    while (!left.empty()) scheduler_.put_outside(left.pop_front());
    scheduler_.wake_one();
}

/// A spare worker while it is not needed: it sleeps, off the list of sleepers. What tasks have begun here still ends here, and they go on elsewhere.
void worker::rest() noexcept {
    end_search();
    give_away();
    time_point now = driver_->now();
    scheduler_.idle().meet_parking();  // [A1]: it is on no list, but may have counted what has begun
    if (scheduler_.admission().has_waiting()) [[unlikely]] {
        scheduler_.admission().let_in(now, admission::pace::at_once);
        give_away();
    }
    spend(counters_.busy_ns, now);
    if (alarm_ != nullptr) alarm_->turn_off(now);
    driver_->prepare_to_park();
    if (driver_->has_messages() || !inbox_.empty() || scheduler_.needs_spare() || scheduler_.must_end_now()) {
        driver_->stay_awake();
        driver_->poll(ready_);
    } else {
        time_point until = timers_.next_advance();
        if (scheduler_.may_end()) until = std::min(until, now + std::chrono::milliseconds(10));  // as in park()
        driver_->wait(ready_, until);
    }
    now = driver_->now();
    spend(counters_.parked_ns, now);
    show_life(now);
    take_ready();
    take_inbox();
    give_away();
    timers_.advance(now);
    give_away();
    while (!pinned_.empty()) scheduler_.put_outside(pinned_.pop_front());
}

}  // namespace peal::rt
