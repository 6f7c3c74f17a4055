// SPDX-License-Identifier: MIT

#include "worker.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include <peal/detail/frame_memory.hpp>
#include <peal/detail/this_thread.hpp>

#include "../task/this_driver.hpp"
#include "scheduler.hpp"

namespace peal::rt {

namespace {

constexpr unsigned lifo_streak_limit = 3;                             // guess after Tokio, not measured
constexpr auto poll_every = std::chrono::microseconds(100);           // of running
constexpr unsigned interval_limit = 64;                               // items between two polls, however short they are
constexpr unsigned normal_every = 8;                                  // the ageing bounds of peal::priority (task/context.hpp)
constexpr unsigned low_every = 64;
constexpr auto turn_length = std::chrono::microseconds(100);          // of what is in a share, or in none; guess: as often as the ring is looked at
constexpr unsigned look_interval_limit = 256;                         // forks between two looks at the clock, however short they are
constexpr auto unlisted_nap = std::chrono::milliseconds(1);

/// An item that comes from far is cold, and so is what resuming it needs: fetched for all of them at once, not by one miss after the other.
void prefetch(const detail::work_item& item) noexcept {
    __builtin_prefetch(item.handle.address());
    auto owner = reinterpret_cast<std::uintptr_t>(item.owner);  // as a number: it may be none
    __builtin_prefetch(reinterpret_cast<const void*>(owner));
    __builtin_prefetch(reinterpret_cast<const void*>(owner + sizeof(detail::spawned_context)));  // and what it was spawned with
}

}  // namespace

driver* this_driver() noexcept {
    return detail::this_thread.worker != nullptr ? &detail::this_thread.worker->driver() : nullptr;
}
wheel* this_wheel() noexcept {
    return detail::this_thread.worker != nullptr ? &detail::this_thread.worker->timers() : nullptr;
}

void worker::enter_thread() noexcept {
    detail::this_thread.worker = this;
    thread_.store(&detail::this_thread, std::memory_order_relaxed);
    thread_id_.store(::gettid(), std::memory_order_relaxed);
    detail::this_thread.forks = &forks_;
    if (scheduler_.size() > 1) forks_.watch(scheduler_.idle().counts());
    random_ = 0x9e3779b9u * (index_ + 1);
}

void worker::leave_thread() noexcept {
    detail::this_thread.worker = nullptr;
    detail::this_thread.forks = nullptr;
    detail::this_thread.current = nullptr;
}

/// Asks the others one after the other, beginning anywhere, for what `take` gives.
template <class Take>
auto worker::from_others(Take take) noexcept {
    unsigned count = scheduler_.slots();
    random_ = random_ * 1664525u + 1013904223u;
    unsigned begin = (random_ >> 16) % count;
    for (unsigned i = 0; i < count; ++i) {
        worker& victim = scheduler_.at((begin + i) % count);
        if (&victim == this) continue;
        if (auto* taken = take(victim)) return taken;
    }
    return decltype(take(*this)){nullptr};
}

void worker::run() noexcept {
    last_poll_ = driver_->now();
    spent_until_ = last_poll_;
    show_life(last_poll_);  // the first task may be one that stays
    bool is_timed = false;  // the next item
    while (!scheduler_.must_end_now()) {
        if (is_spare_ && !scheduler_.needs_spare()) [[unlikely]] {
            give_away();
            if (try_end()) break;
            rest();
            continue;
        }
        if (is_spare_) [[unlikely]] scheduler_.begin_to_serve(*this);
        if (until_poll_ == 0) {
            poll();
            if (run_forked(forks_.pop())) continue;  // of children that have suspended: not only when the queue is empty
            is_timed = counters_.polls.value() % 8 == 0;
        }
        if (detail::work_item* item = next()) {
            if (std::exchange(is_timed, false)) {
                run_timed(*item);
            } else {
                run_found(*item);
            }
            continue;
        }
        driver_->set_room(run_queue::capacity);
        driver_->reap(ready_);
        take_ready();
        if (timers_.size() != 0) fire_timers(driver_->now());
        take_inbox();
        if (detail::work_item* item = next()) {
            run_found(*item);
            continue;
        }
        if (run_forked(forks_.pop())) continue;
        if (detail::work_item* item = find_elsewhere()) {
            hand_over();  // what this round submitted, before the next round. No timers: what they run would hold up this item
            run_found(*item);
            continue;
        }
        if (searching_ && run_forked(from_others([](worker& victim) { return victim.forks_.steal(detail::fork_queue::wanted::any); }))) {
            continue;
        }
        if (pass_turn_on()) continue;
        if (try_end()) break;
        detail::send_off_frames();
        if (!spin()) {
            park();
            is_timed = true;
        }
    }
    end_search();
    if (is_held_up()) set_held_up(false);  // and is not any more: nobody looks after this
}

void worker::run_found(detail::work_item& item) noexcept {
    end_search();
    announce();
    execute(item);
}

void worker::execute(detail::work_item& item) noexcept {
    context* before = detail::this_thread.current;
    detail::this_thread.current = item.owner;
    if (item.owner != nullptr && detail::spawned_context::is_beginning(item)) note_beginning(static_cast<detail::spawned_context&>(item));
    detail::resume_chain(item.handle);
    detail::this_thread.current = before;
    if constexpr (!detail::is_explored) timers_.end_item();  // (a state more for each item; models of timers do it themselves)
}

void worker::note_beginning(detail::spawned_context& task) noexcept {
    if constexpr (detail::is_explored) {
        if (!scheduler_.admission().is_bounded()) return;  // (a state more for each task)
    }
    if (share_queue* share = scheduler_.share_of(task)) [[unlikely]] share->count_begun();
    count_begun(task.priority());
    if (const detail::time_mark accepted = task.timed_since()) [[unlikely]] {
        const time_point now = driver_->now();
        counters_.waits.record(accepted.until(now));
        task.set_timed_since(detail::time_mark(now));
    }
    if (scheduler_.admission().has_waiting()) [[unlikely]] tell_the_door();
}

/// A task has begun, so there may be room, and nobody may look there for as long as it runs. While more lies here, and the bound is not tight, the looks at the outside will do.
void worker::tell_the_door() noexcept {
    if (has_queued() && !scheduler_.admission().is_tight()) return;
    scheduler_.idle().meet_parking();  // [A1]
    if (scheduler_.admission().let_in(last_poll_, admission::pace::at_once)) offer();  // who was let in must not wait for what runs next
}

void worker::run_timed(detail::work_item& item) noexcept {
    const time_point began = driver_->now();
    run_found(item);
    counters_.runs.record(driver_->now() - began);
}

void worker::spend(tally& on, time_point now) noexcept {
    on.add(static_cast<std::uint64_t>(std::max(now - spent_until_, time_point::duration(0)).count()));
    spent_until_ = now;
}

// ---- where work comes from ------------------------------------------------------------------------------------------------

detail::work_item* worker::next() noexcept {
    if (until_poll_ == 0) poll();
    --until_poll_;
    if (scheduler_.injected().has_urgent()) [[unlikely]] take_injected(1);
    if (sole_ != nullptr) {
        if (is_alone()) [[likely]] return std::exchange(sole_, nullptr);
        queue_sole();
    }
    return uneven_ ? next_by_priority() : next_in_turn();
}

/// Nothing lies in any queue of this worker, as far as it sees. Not asked of sole_.
bool worker::is_alone() const noexcept {
    return queues_[index_of(priority::normal)].size() == 0 && lifo_.load(std::memory_order_relaxed) == nullptr && pinned_.empty() &&
           !uneven_ && (turn_whose_ == nullptr ? !scheduler_.shares().has_ready() : scheduler_.shares().is_others(*turn_whose_));
}

/// What has high priority first, then what has none, then what has low priority; but each of these at least once in a while.
detail::work_item* worker::next_by_priority() noexcept {
    ++since_low_;
    bool normal_is_due = ++since_normal_ >= normal_every;
    // Were both due with the next item, one of them would come too late: low goes before.
    bool low_is_due = since_low_ >= low_every ||
                      (since_low_ + 1 == low_every && since_normal_ + 1 == normal_every &&
                       (queue(priority::normal).size() != 0 || shared_.size() != 0 || scheduler_.shares().has_ready()));
    if (low_is_due) {
        since_low_ = 0;
        if (detail::work_item* item = queue(priority::low).try_pop()) return item;
    }
    if (!normal_is_due) {
        if (detail::work_item* item = queue(priority::high).try_pop()) return item;
    }
    since_normal_ = 0;
    if (detail::work_item* item = next_in_turn()) return item;
    if (detail::work_item* item = queue(priority::high).try_pop()) return item;
    if (pass_turn_on()) {  // shares come before low priority
        if (detail::work_item* item = next_in_turn()) return item;
    }
    since_low_ = 0;
    if (detail::work_item* item = queue(priority::low).try_pop()) return item;
    uneven_ = false;
    return nullptr;
}

/// Among what has normal priority, or is in a share.
detail::work_item* worker::next_in_turn() noexcept {
    if (turn_whose_ != nullptr || scheduler_.shares().has_ready()) [[unlikely]] {
        if (detail::work_item* item = next_shared()) return item;
    }
    if (lifo_streak_ < lifo_streak_limit) {
        if (detail::work_item* item = take_lifo()) {
            ++lifo_streak_;
            counters_.lifo_hits.add();
            return item;
        }
    }
    lifo_streak_ = 0;
    if (!pinned_.empty() && (pinned_turn_ = !pinned_turn_)) return &pinned_.pop_front();
    if (detail::work_item* item = queue(priority::normal).try_pop()) return item;
    if (!pinned_.empty()) return &pinned_.pop_front();
    return take_lifo();
}

/// Null: it is the turn of what is in no share, or nothing is in one.
detail::work_item* worker::next_shared() noexcept {
    shares& all = scheduler_.shares();
    for (;;) {
        if (turn_whose_ == nullptr) {
            bool without_others = std::exchange(others_are_absent_, false);
            turn_whose_ = all.begin_turn(without_others ? shares::may_be_others::no : shares::may_be_others::yes);
            if (turn_whose_ == nullptr) return nullptr;
            turn_since_ = driver_->now();
        }
        if (all.is_others(*turn_whose_)) return nullptr;
        if (detail::work_item* item = shared_.try_pop()) return item;
        detail::work_list taken;
        all.pop(*turn_whose_, taken, run_queue::capacity / 4, scheduler_.size());
        if (!taken.empty()) {
            detail::work_item& first = taken.pop_front();
            push_each(taken);
            unannounced_ = true;  // what is left: who brought it may have counted on this worker, when it still searched
            return &first;
        }
        end_turn();
    }
}

void worker::end_turn() noexcept {
    share_queue& whose = *std::exchange(turn_whose_, nullptr);
    scheduler_.shares().end_turn(whose, driver_->now() - turn_since_);
    detail::work_list left;
    shared_.pop(left, run_queue::capacity);
    if (left.empty()) return;
    scheduler_.shares().push_all(left, whose);
    unannounced_ = true;
}

/// It is the turn of what is in no share, and nothing of that is here or can be had from others. True: then a share has its turn.
bool worker::pass_turn_on() noexcept {
    if (turn_whose_ == nullptr) return false;
    end_turn();
    scheduler_.shares().others_are_absent();
    return others_are_absent_ = scheduler_.shares().has_ready();
}

detail::work_item* worker::take_lifo() noexcept {
    if (lifo_.load(std::memory_order_relaxed) == nullptr) return nullptr;  // a hint: mostly it is empty; the exchange decides
    return lifo_.exchange(nullptr, std::memory_order_acq_rel);             // [F1]
}

void worker::poll() noexcept {
    counters_.polls.add();
    time_point now = driver_->now();
    spend(counters_.busy_ns, now);
    show_life(now);
    adjust_interval(now);
    if (turn_whose_ != nullptr && now - turn_since_ >= turn_length) [[unlikely]] end_turn();
    fire_timers(now);
    // Neither the outside nor the injection queue fills more than half of the queue: what overflows it would go behind what comes later. Each
    // gets half of that, and the other half if the other one has nothing.
    std::size_t mine = scheduler_.injected().size() / scheduler_.size() + 1;
    take_injected(std::min(mine, room() / 2 + 1));
    hand_over();
    take_inbox();
    take_injected(mine);
}

void worker::hand_over() noexcept {
    driver_->set_room(room());
    is_outside_.store(true, std::memory_order_relaxed);
    driver_->poll(ready_);
    is_outside_.store(false, std::memory_order_relaxed);
    take_ready();
}

/// Before what may take its time. What lies in the LIFO slot is seen by those who rescue.
void worker::be_counted_on_by_nobody() noexcept {
    queue_sole();
    end_search();
    announce();
}

/// And those of workers that do not come to theirs. A timer may stop what runs code of the program then (a std::stop_callback), and takes its time: as before an
/// item runs, nobody must count on this worker meanwhile, and nothing must be in its hands that others cannot see.
void worker::fire_timers(time_point now) noexcept {
    if ((searching_ || unannounced_ || sole_ != nullptr) && timers_.next_advance() <= now) be_counted_on_by_nobody();
    timers_.advance(now);
    if (scheduler_.admission().has_waiting()) [[unlikely]] {
        be_counted_on_by_nobody();
        scheduler_.admission().let_in(now, admission::pace::batches);
    }
    if (scheduler_.has_held_up()) [[unlikely]] stand_in(now);
}

void worker::adjust_interval(time_point now) noexcept {
    unsigned ran = interval_ - until_poll_;
    auto elapsed = now - last_poll_;
    if (ran != 0 && elapsed > 2 * poll_every) {
        // Long items: as many as fit into the time, so one slow phase costs one late poll.
        auto fitting = static_cast<unsigned>(poll_every * ran / elapsed);
        interval_ = std::max(1u, fitting);
    } else if (elapsed < poll_every) {
        interval_ = std::min(interval_limit, interval_ + interval_ / 2 + 1);
    }
    until_poll_ = interval_;
    last_poll_ = now;
}

void worker::take_ready() noexcept {
    if (!ready_.empty()) unannounced_ = true;
    push_each(ready_);
}

void worker::take_inbox() noexcept {
    for (detail::work_item* item = inbox_.take_all(); item != nullptr;) {
        detail::work_item* following = item->next;
        pinned_.push_back(*item);
        item = following;
    }
}

/// How many items may come to the queue from elsewhere: not more than fill half of it. But one at least, or a long queue would keep the outside
/// waiting.
std::size_t worker::room() const noexcept {
    constexpr std::uint32_t half = run_queue::capacity / 2;
    return half - std::min(queues_[index_of(priority::normal)].size(), half - 1);
}

bool worker::take_injected(std::size_t most) noexcept {
    detail::work_list taken;
    scheduler_.injected().pop(taken, std::min({most, std::size_t{run_queue::capacity / 4}, room()}));
    if (taken.empty()) return false;
    push_each(taken);
    unannounced_ = true;  // a worker that looked while they were in no queue may have gone to sleep
    return true;
}

detail::work_item* worker::find_elsewhere() noexcept {
    bool found = take_injected(scheduler_.injected().size() / scheduler_.size() + 1);
    detail::work_item* item = found ? next() : nullptr;
    if (item == nullptr && scheduler_.slots() > 1) {
        if (!searching_) searching_ = scheduler_.idle().try_start_search();
        if (searching_) {
            counters_.steals_tried.add();
            item = steal();
            if (item != nullptr) counters_.steals_won.add();
        }
    }
    if (item != nullptr) end_search();
    return item;
}

void worker::end_search() noexcept {
    // Nobody wakes a sleeper while somebody searches: a worker that has found work, wherever it came from, must not count as a
    // searcher while it runs that, and passes the errand on.
    if (!searching_) return;
    searching_ = false;
    if (scheduler_.idle().stop_search() == idle::last_searcher::yes && has_work_for_others()) scheduler_.wake_one();
}

/// After the search has ended: who brought work before that has woken nobody, and is seen here; who brings it later wakes somebody.
bool worker::has_work_for_others() const noexcept {
    if (scheduler_.has_outside()) return true;
    for (unsigned i = 0; i < scheduler_.slots(); ++i) {
        if (scheduler_.at(i).has_stealable()) return true;
    }
    return false;
}

/// Before an item runs, which may take long: what was put into the queue for this worker itself, and is still there now that it has taken
/// what it runs next, is for others. Told here and not when it was put there, because then one does not know yet what is left.
void worker::announce() noexcept {
    if (!unannounced_) return;
    unannounced_ = false;
    if (has_queued() || scheduler_.has_outside()) scheduler_.wake_one();  // it may have flowed over
}

std::uint32_t worker::queued() const noexcept {
    std::uint32_t sum = queues_[index_of(priority::normal)].size();
    if (scheduler_.is_uneven()) sum += queues_[index_of(priority::high)].size() + queues_[index_of(priority::low)].size() + shared_.size();
    return sum;
}

// One item alone mostly runs at once where it lies, with what it needs in the cache there, and so does what lies in the LIFO slot: it is taken
// only if its worker has run nothing from one look to the next. Null: look again.
worker* worker::find_victim() noexcept {
    if (worker* rich = from_others([](worker& other) { return other.queued() > 1 ? &other : nullptr; })) return rich;
    if (watched_ != nullptr && watched_->has_item() && watched_->timers_.item() == watched_item_) return watched_;
    watched_ = from_others([](worker& other) { return other.has_item() ? &other : nullptr; });
    if (watched_ != nullptr) watched_item_ = watched_->timers_.item();
    return detail::is_explored ? watched_ : nullptr;
}

detail::work_item* worker::steal() noexcept {
    worker* victim = find_victim();
    if (victim == nullptr) return nullptr;
    if (detail::work_item* item = steal_half()) return item;
    return victim == watched_ ? victim->take_lifo() : nullptr;
}

detail::work_item* worker::steal_half() noexcept {
    bool is_uneven = scheduler_.is_uneven();
    for (priority urgency : {priority::high, priority::normal, priority::low}) {
        if (urgency != priority::normal && !is_uneven) continue;
        auto half_of = [this, urgency](worker& victim) { return victim.queue(urgency).steal_half(queue(urgency)); };
        if (detail::work_item* item = from_others(half_of)) {
            if (urgency != priority::normal) uneven_ = true;
            return item;
        }
    }
    return is_uneven ? steal_shared() : nullptr;
}

/// With its turn.
detail::work_item* worker::steal_shared() noexcept {
    if (turn_whose_ != nullptr) return nullptr;
    detail::work_item* item = from_others([this](worker& victim) { return victim.shared_.steal_half(shared_); });
    if (item == nullptr) return nullptr;
    turn_whose_ = scheduler_.share_of(*item);
    turn_since_ = driver_->now();
    scheduler_.shares().begin_turn_of(*turn_whose_);
    return item;
}

/// False: there was none.
bool worker::run_forked(detail::fork_record* taken) noexcept {
    if (taken == nullptr) return false;
    was_woken_ = false;  // not in vain
    queue_sole();  // no longer next
    end_search();
    announce();
    if (detail::work_item* item = taken->begin()) execute(*item);
    return true;
}

bool worker::sees_forked() noexcept {
    return from_others([](worker& other) { return other.forks_.has_public() ? &other : nullptr; }) != nullptr;
}

detail::fork_record* worker::find_call() noexcept {
    return from_others([](worker& victim) {
        return victim.forks_.has_public() ? victim.forks_.steal(detail::fork_queue::wanted::call) : nullptr;  // [K1]
    });
}

bool worker::help() noexcept {
    // What is left here is of tasks that ran in the destructor of a scope meanwhile, and lies above what the caller waits for.
    detail::fork_record* taken = forks_.pop();
    if (taken == nullptr) taken = find_call();
    if (taken == nullptr) return false;
    if (detail::work_item* item = taken->begin()) push_spawned(*item);
    return true;
}

void worker::wait_for(const detail::forked_call& call) noexcept {
    // Who waits in a destructor, or calls the spare worker, counts on those that run tasks, and this worker does not.
    const bool is_first = nested_waits_ == nullptr && !std::exchange(waits_for_call_, true);
    if (is_first) scheduler_.enter_nested_wait();
    while (!call.has_ended()) nap(call);
    if (!is_first) return;
    waits_for_call_ = false;
    scheduler_.leave_nested_wait();
}

// As park(), but it comes back to a computation: it takes functions, and passes on other errands. When it was woken for something else it
// stays off the list of sleepers for a while, or others would wake it again and again for what it does not take.
void worker::nap(const detail::forked_call& call) noexcept {
    offer();
    bool is_listed = !std::exchange(woken_in_vain_, false);
    driver_->prepare_to_park();
    if (is_listed) scheduler_.idle().enter_parked(index_, false);
    if (scheduler_.admission().has_waiting()) [[unlikely]] {  // [A1]
        if (scheduler_.admission().let_in(last_poll_, admission::pace::at_once)) offer();
    }
    spend(counters_.busy_ns, driver_->now());
    detail::fork_record* found = find_call();
    if (found != nullptr || call.has_ended() || !inbox_.empty() || driver_->has_messages()) {
        driver_->stay_awake();
    } else {
        time_point until = timers_.next_advance();
        if (scheduler_.has_held_up()) until = std::min(until, driver_->now() + scheduler::round_for_others);
        driver_->wait(ready_, is_listed ? until : std::min(until, driver_->now() + unlisted_nap));
    }
    if (is_listed) searching_ = scheduler_.idle().leave_parked(index_) == idle::woken_as::searcher;
    last_poll_ = driver_->now();
    spend(counters_.parked_ns, last_poll_);
    show_life(last_poll_);
    driver_->poll(ready_);
    take_ready();
    take_inbox();
    if (found == nullptr) fire_timers(last_poll_);  // else they would hold up what was found
    if (found == nullptr && searching_) {
        found = find_call();
        woken_in_vain_ = found == nullptr;
    }
    end_search();
    offer();
    if (found != nullptr) static_cast<void>(found->begin());
}

bool worker::look_around() noexcept {
    time_point now = driver_->now();
    auto elapsed = now - last_look_;
    if (elapsed > poll_every) {
        look_interval_ = std::max(1u, static_cast<unsigned>(look_interval_ * poll_every / elapsed));
    } else if (elapsed < poll_every / 4) {
        look_interval_ = std::min(look_interval_limit, look_interval_ * 2);
    }
    last_look_ = now;
    detail::this_thread.forks_until_look = look_interval_;
    if (now - last_poll_ >= poll_every) poll();
    return has_work();
}

/// Something waits for this worker, as far as it sees.
bool worker::has_work() const noexcept {
    return lifo_.load(std::memory_order_relaxed) != nullptr || !pinned_.empty() || has_queued();
}

bool worker::has_queued() const noexcept {
    if (sole_ != nullptr || shared_.size() != 0 || scheduler_.shares().has_ready()) return true;
    if (queues_[index_of(priority::normal)].size() != 0) return true;
    return uneven_ && (queues_[index_of(priority::high)].size() != 0 || queues_[index_of(priority::low)].size() != 0);
}

void worker::offer() noexcept {
    queue_sole();
    // A worker that is about to sleep does not look into the LIFO slots of others.
    if (detail::work_item* item = take_lifo()) push(*item);
    if (has_queued()) scheduler_.wake_one();
}

// ---- where work goes ------------------------------------------------------------------------------------------------------

void worker::push(detail::work_item& item) noexcept {
    if (share_queue* share = scheduler_.share_of(item)) [[unlikely]] {
        scheduler_.set_uneven();
        if (share == turn_whose_ && shared_.try_push(item)) return;
        return scheduler_.shares().push(item, *share);
    }
    priority urgency = priority_of(item);
    if (urgency != priority::normal) {
        uneven_ = true;
        scheduler_.set_uneven();
    }
    run_queue& to = queue(urgency);
    if (to.try_push(item)) return;
    counters_.overflows.add();
    detail::work_list overflow;
    to.pop(overflow, run_queue::capacity / 2);
    overflow.push_back(item);
    scheduler_.injected().push_all(overflow);
}

void worker::push_rescheduled(detail::work_item& item) noexcept {
    if (sole_ == nullptr && is_plain(item) && detail::this_thread.chains == 1) {
        sole_ = &item;  // the caller comes back to the loop at once: it is not resumed in the middle of another item
        return;
    }
    queue_sole();
    push(item);
    unannounced_ = true;
}

/// Something else came: what was to run next lines up.
void worker::queue_sole() noexcept {
    if (sole_ == nullptr) return;
    push(*std::exchange(sole_, nullptr));
    unannounced_ = true;
}

void worker::push_spawned(detail::work_item& item) noexcept {
    push(item);
    scheduler_.wake_one();
}

void worker::push_all(detail::work_list& items) noexcept {
    push_each(items);
    scheduler_.wake_one();
}

void worker::push_each(detail::work_list& items) noexcept {
    while (!items.empty()) {
        detail::work_item& item = items.pop_front();
        prefetch(item);
        push(item);
    }
}

void worker::push_woken(detail::work_item& item) noexcept {
    if (!is_plain(item)) return push_spawned(item);  // it has its place, before or after all that wait in turn
    detail::work_item* displaced = lifo_.exchange(&item, std::memory_order_acq_rel);  // [F1]
    if (displaced == nullptr) return;
    push(*displaced);
    scheduler_.wake_one();
}

void worker::push_pinned(detail::work_item& item) noexcept {
    inbox_.push(item);
    driver_->wake();
}

}  // namespace peal::rt
