// SPDX-License-Identifier: MIT

#include "worker.hpp"

#include <algorithm>

#include <peal/detail/this_thread.hpp>

#include "../task/this_driver.hpp"
#include "scheduler.hpp"

namespace peal::rt {

namespace {

constexpr unsigned lifo_streak_limit = 3;                             // guess after Tokio, not measured
constexpr auto poll_every = std::chrono::microseconds(100);           // of running
constexpr unsigned interval_limit = 64;                               // items between two polls, however short they are
constexpr auto nested_patience = std::chrono::milliseconds(20);       // run_only(): then one item of others may run

}  // namespace

driver* this_driver() noexcept {
    return detail::this_thread.worker != nullptr ? &detail::this_thread.worker->driver() : nullptr;
}
wheel* this_wheel() noexcept {
    return detail::this_thread.worker != nullptr ? &detail::this_thread.worker->timers() : nullptr;
}

void worker::enter_thread() noexcept {
    detail::this_thread.worker = this;
    detail::this_thread.forks = &forks_;
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
    unsigned count = scheduler_.size();
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
    while (!scheduler_.must_end_now()) {
        if (until_poll_ == 0) {
            poll();
            if (run_forked(forks_.pop())) continue;  // of children that have suspended: not only when the queue is empty
        }
        if (detail::work_item* item = next()) {
            end_search();
            execute(*item);
            continue;
        }
        driver_->reap(ready_);
        take_ready();
        timers_.advance(driver_->now());
        take_inbox();
        if (detail::work_item* item = next()) {
            end_search();
            execute(*item);
            continue;
        }
        if (run_forked(forks_.pop())) continue;
        if (detail::work_item* item = find_elsewhere()) {
            poll();  // hand over what this round submitted before the next round
            execute(*item);
            continue;
        }
        if (searching_ && run_forked(from_others([](worker& victim) { return victim.forks_.steal(detail::fork_queue::wanted::any); }))) {
            continue;
        }
        if (may_end()) break;
        park();
    }
    end_search();
}

void worker::execute(detail::work_item& item) noexcept {
    context* before = detail::this_thread.current;
    detail::this_thread.current = item.owner;
    detail::resume_chain(item.handle);
    detail::this_thread.current = before;
}

// ---- where work comes from ------------------------------------------------------------------------------------------------

detail::work_item* worker::next() noexcept {
    if (until_poll_ == 0) poll();
    --until_poll_;
    if (lifo_streak_ < lifo_streak_limit) {
        if (detail::work_item* item = take_lifo()) {
            ++lifo_streak_;
            return item;
        }
    }
    lifo_streak_ = 0;
    if (!pinned_.empty() && (pinned_turn_ = !pinned_turn_)) return &pinned_.pop_front();
    if (detail::work_item* item = queue_.try_pop()) return item;
    if (!pinned_.empty()) return &pinned_.pop_front();
    return take_lifo();
}

detail::work_item* worker::take_lifo() noexcept {
    if (lifo_.load(std::memory_order_relaxed) == nullptr) return nullptr;  // a hint: mostly it is empty; the exchange decides
    return lifo_.exchange(nullptr, std::memory_order_acq_rel);             // [F1]
}

void worker::poll() noexcept {
    time_point now = driver_->now();
    adjust_interval(now);
    timers_.advance(now);
    driver_->poll(ready_);
    take_ready();
    take_inbox();
    take_injected(scheduler_.injected().size() / scheduler_.size() + 1);
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
    std::size_t count = ready_.size();
    while (!ready_.empty()) push(ready_.pop_front());
    if (count > 1) scheduler_.wake_one();
}

void worker::take_inbox() noexcept {
    for (detail::work_item* item = inbox_.take_all(); item != nullptr;) {
        detail::work_item* following = item->next;
        pinned_.push_back(*item);
        item = following;
    }
}

bool worker::take_injected(std::size_t most) noexcept {
    detail::work_list taken;
    scheduler_.injected().pop(taken, std::min<std::size_t>(most, run_queue::capacity / 4));
    if (taken.empty()) return false;
    bool several = taken.size() > 1;
    while (!taken.empty()) push(taken.pop_front());
    if (several) scheduler_.wake_one();  // a worker that looked while they were in no queue may have gone to sleep
    return true;
}

detail::work_item* worker::find_elsewhere() noexcept {
    bool found = take_injected(scheduler_.injected().size() / scheduler_.size() + 1);
    detail::work_item* item = found ? next() : nullptr;
    if (item == nullptr && scheduler_.size() > 1) {
        if (!searching_) searching_ = scheduler_.idle().try_start_search();
        if (searching_) item = steal();
    }
    if (item != nullptr) end_search();
    return item;
}

void worker::end_search() noexcept {
    // Nobody wakes a sleeper while somebody searches: a worker that has found work, wherever it came from, must not count as a
    // searcher while it runs that, and passes the errand on.
    if (!searching_) return;
    searching_ = false;
    if (scheduler_.idle().stop_search() == idle::last_searcher::yes) scheduler_.wake_one();
}

detail::work_item* worker::steal() noexcept {
    if (auto* item = from_others([this](worker& victim) { return victim.queue_.steal_half(queue_); })) return item;
    return from_others([](worker& victim) { return victim.take_lifo(); });
}

/// False: there was none.
bool worker::run_forked(detail::fork_record* taken) noexcept {
    if (taken == nullptr) return false;
    end_search();
    if (detail::work_item* item = taken->begin()) execute(*item);
    return true;
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

// As park(), but it comes back to a computation: it takes functions, and passes on other errands.
void worker::nap(const detail::forked_call& call) noexcept {
    offer();
    driver_->prepare_to_park();
    scheduler_.idle().enter_parked(index_, false);
    detail::fork_record* found = find_call();
    if (found != nullptr || call.has_ended() || !inbox_.empty() || driver_->has_messages()) {
        driver_->stay_awake();
    } else {
        driver_->wait(ready_, timers_.next_advance());
    }
    searching_ = scheduler_.idle().leave_parked(index_) == idle::woken_as::searcher;
    last_poll_ = driver_->now();
    timers_.advance(last_poll_);
    driver_->poll(ready_);
    take_ready();
    take_inbox();
    if (found == nullptr && searching_) found = find_call();
    end_search();
    offer();
    if (found != nullptr) static_cast<void>(found->begin());
}

bool worker::look_around() noexcept {
    if (driver_->now() - last_poll_ >= poll_every) poll();
    return others_wait();
}

bool worker::others_wait() const noexcept {
    return lifo_.load(std::memory_order_relaxed) != nullptr || !pinned_.empty() || queue_.size() != 0;  // a hint
}

void worker::offer() noexcept {
    // A worker that is about to sleep does not look into the LIFO slots of others.
    if (detail::work_item* item = take_lifo()) push(*item);
    if (queue_.size() != 0) scheduler_.wake_one();
}

// ---- where work goes ------------------------------------------------------------------------------------------------------

void worker::push(detail::work_item& item) noexcept {
    if (queue_.try_push(item)) return;
    detail::work_list overflow;
    for (std::uint32_t i = 0; i < run_queue::capacity / 2; ++i) {
        detail::work_item* oldest = queue_.try_pop();
        if (oldest == nullptr) break;
        overflow.push_back(*oldest);
    }
    overflow.push_back(item);
    scheduler_.injected().push_all(overflow);
}

void worker::push_rescheduled(detail::work_item& item) noexcept {
    push(item);
    if (queue_.size() > 1) scheduler_.wake_one();
}

void worker::push_spawned(detail::work_item& item) noexcept {
    push(item);
    scheduler_.wake_one();
}

void worker::push_woken(detail::work_item& item) noexcept {
    detail::work_item* displaced = lifo_.exchange(&item, std::memory_order_acq_rel);  // [F1]
    if (displaced == nullptr) return;
    push(*displaced);
    scheduler_.wake_one();
}

void worker::push_pinned(detail::work_item& item) noexcept {
    inbox_.push(item);
    driver_->wake();
}

// ---- sleeping -------------------------------------------------------------------------------------------------------------

bool worker::work_in_sight() const noexcept {
    if (!scheduler_.injected().empty() || !inbox_.empty() || driver_->has_messages()) return true;
    for (unsigned i = 0; i < scheduler_.size(); ++i) {
        if (i != index_ && scheduler_.at(i).has_stealable()) return true;
    }
    return false;
}

// Tasks that are counted here were accepted while shutdown() was counting (scheduler.hpp, [S2]).
bool worker::may_end() const noexcept {
    return scheduler_.may_end() && driver_->in_flight() == 0 && timers_.size() == 0 && scheduler_.counts().live() == 0;
}

void worker::park() noexcept {
    driver_->prepare_to_park();
    scheduler_.idle().enter_parked(index_, searching_);
    searching_ = false;
    if (work_in_sight() || scheduler_.must_end_now() || may_end()) {
        driver_->stay_awake();
    } else if (scheduler_.may_end()) {
        // The last operations of tasks that belong to other pools: nobody will wake us when these have left.
        driver_->wait(ready_, std::min(timers_.next_advance(), driver_->now() + std::chrono::milliseconds(10)));
    } else {
        driver_->wait(ready_, timers_.next_advance());
    }
    searching_ = scheduler_.idle().leave_parked(index_) == idle::woken_as::searcher;
    last_poll_ = driver_->now();
    until_poll_ = interval_;
    timers_.advance(last_poll_);
    take_ready();
    take_inbox();
}

// ---- waiting inside a destructor --------------------------------------------------------------------------------------------

bool worker::belongs_to(const detail::work_item& item, const detail::task_list& list) noexcept {
    for (const context* part = item.owner; part != nullptr && part->root().list() != nullptr; part = part->root().list()->owner()) {
        if (part->root().list() == &list) return true;
    }
    return false;
}

/// True for tasks around one that waits in a destructor on this stack: run here, they could come to wait for what lies below them.
bool worker::is_below(const detail::work_item& item) const noexcept {
    for (const nested_wait* wait = nested_waits_; wait != nullptr; wait = wait->outer) {
        const detail::task_list* list = &wait->list;
        while (list != nullptr && list->owner() != nullptr) {
            const detail::spawned_context& around = list->owner()->root();
            if (item.owner != nullptr && &item.owner->root() == &around) return true;
            list = around.list();
        }
    }
    return false;
}

template <class Predicate>
detail::work_item* worker::take_pinned(Predicate is_wanted) noexcept {
    detail::work_item* taken = nullptr;
    detail::work_list left;
    while (!pinned_.empty()) {
        detail::work_item& item = pinned_.pop_front();
        if (taken == nullptr && is_wanted(item)) {
            taken = &item;
        } else {
            left.push_back(item);
        }
    }
    pinned_.append(left);
    return taken;
}

void worker::collect(detail::work_list& ready) noexcept {
    driver_->poll(ready_);
    timers_.advance(driver_->now());
    ready.append(ready_);
    take_inbox();
    ready.append(pinned_);
    take_queued(ready);
}

void worker::take_queued(detail::work_list& ready) noexcept {
    while (detail::work_item* item = queue_.try_pop()) ready.push_back(*item);
    if (detail::work_item* item = take_lifo()) ready.push_back(*item);
    while (detail::fork_record* forked = forks_.pop_task()) {
        if (detail::work_item* item = forked->begin()) ready.push_back(*item);
    }
}

void worker::run_only(detail::task_list& list) noexcept {
    if (scheduler_.drive()) {  // a simulation: no threads run the other workers meanwhile, it does
        context* before = detail::this_thread.current;
        try {
            scheduler_.drive()([&list] { return list.size() == 0; }, this, &list);
        } catch (const std::exception& stuck) {
            detail::assertion_failed(stuck.what(), __FILE__, __LINE__);
        }
        enter_thread();
        detail::this_thread.current = before;
        return;
    }
    struct wakes_this_worker final : detail::waiter {
        explicit wakes_this_worker(rt::driver& driver) noexcept : waiter(&wakes_this_worker::tell), driver(driver) {}
        static void tell(waiter& self) noexcept {
            auto& me = static_cast<wakes_this_worker&>(self);
            me.driver.wake();
            me.told.store(true, std::memory_order_release);  // [N1] last touch of this object
        }
        rt::driver& driver;
        detail::atomic<bool> told{false};
    } ended(*driver_);
    if (!list.wait_for_empty(ended)) return;

    nested_wait here{list, nested_waits_};
    nested_waits_ = &here;
    if (here.outer == nullptr) scheduler_.enter_nested_wait();
    time_point patient_since = driver_->now();
    while (list.size() != 0) {
        driver_->poll(ready_);
        timers_.advance(driver_->now());
        take_inbox();
        detail::work_list found;
        found.append(ready_);
        found.append(held_);
        take_queued(found);
        scheduler_.injected().pop(found, scheduler_.injected().size());
        if (found.empty() && scheduler_.size() > 1) {
            if (detail::work_item* item = steal()) found.push_back(*item);
        }
        // Everything is sorted before anything runs: what runs may wait in a destructor of its own, and looks for its tasks in the
        // queues and in held_.
        // When patience is over, one item of others runs that nobody else can run: a pinned one, or any if all workers wait like this.
        bool impatient = driver_->now() - patient_since > nested_patience;
        detail::work_item* of_others = nullptr;
        detail::work_list others;
        while (!found.empty()) {
            detail::work_item& item = found.pop_front();
            if (belongs_to(item, list)) {
                held_.push_back(item);
            } else if (impatient && of_others == nullptr && scheduler_.all_wait_nested() && !is_below(item)) {
                of_others = &item;
            } else {
                others.push_back(item);
            }
        }
        if (impatient && of_others == nullptr) {
            of_others = take_pinned([&](const detail::work_item& item) { return !belongs_to(item, list) && !is_below(item); });
        }
        detail::work_item* chosen = of_others;
        if (chosen != nullptr) {
            patient_since = driver_->now();
        } else if (!held_.empty()) {
            chosen = &held_.pop_front();
        } else {
            chosen = take_pinned([&](const detail::work_item& item) { return belongs_to(item, list); });
        }
        bool has_others = !others.empty();
        if (has_others) {
            scheduler_.injected().push_all(others);
            scheduler_.wake_one();
        }
        if (chosen != nullptr) {
            end_search();
            execute(*chosen);
            continue;
        }
        driver_->prepare_to_park();
        if (list.size() == 0 || !inbox_.empty() || driver_->has_messages()) {
            driver_->stay_awake();
            continue;
        }
        time_point look_again = driver_->now() + (has_others ? std::chrono::milliseconds(1) : std::chrono::milliseconds(20));
        driver_->wait(ready_, std::min(timers_.next_advance(), look_again));
    }
    if (here.outer == nullptr) scheduler_.leave_nested_wait();
    nested_waits_ = here.outer;
    while (!held_.empty()) push(held_.pop_front());  // of outer waits
    if (!list.forget(ended)) {
        // [N1] the last child is between telling and letting go
        while (!ended.told.load(std::memory_order_acquire)) detail::spin_hint();
    }
}

}  // namespace peal::rt
