// SPDX-License-Identifier: MIT

// A worker that waits for the tasks of one list inside a destructor (scope), on top of whatever runs below on its stack: it runs those
// tasks and leaves the others to others.

#include "worker.hpp"

#include <peal/detail/this_thread.hpp>

#include "scheduler.hpp"

namespace peal::rt {

namespace {

constexpr auto nested_patience = std::chrono::milliseconds(20);  // then one item of others may run

}  // namespace

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
    if (scheduler_.admission().has_waiting()) scheduler_.admission().let_in(driver_->now(), admission::pace::at_once);
    ready.append(ready_);
    take_inbox();
    ready.append(pinned_);
    take_queued(ready);
    if (!ready.empty()) return;
    if (detail::fork_record* forked = forks_.pop()) {  // as in run_only()
        if (detail::work_item* item = forked->begin()) ready.push_back(*item);
    }
}

void worker::take_queued(detail::work_list& ready) noexcept {
    if (sole_ != nullptr) ready.push_back(*std::exchange(sole_, nullptr));
    for (run_queue& queue : queues_) {
        queue.pop(ready, run_queue::capacity);
    }
    shared_.pop(ready, run_queue::capacity);
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
    const bool is_first = here.outer == nullptr && !waits_for_call_;
    if (is_first) scheduler_.enter_nested_wait();
    time_point patient_since = driver_->now();
    while (list.size() != 0) {
        driver_->poll(ready_);
        take_ready();
        show_life(driver_->now());
        fire_timers(driver_->now());
        take_inbox();
        detail::work_list found;
        found.append(held_);
        take_queued(found);
        scheduler_.injected().pop(found, scheduler_.injected().size());
        scheduler_.shares().take_all(found);
        if (found.empty() && scheduler_.slots() > 1) {
            if (detail::work_item* item = steal()) {
                found.push_back(*item);
                unannounced_ = true;  // a half: the rest is for others
            }
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
            while (!others.empty()) scheduler_.put_outside(others.pop_front());
            scheduler_.wake_one();
        }
        if (chosen != nullptr) {
            run_found(*chosen);
            continue;
        }
        if (detail::fork_record* forked = forks_.pop()) {  // of a join() around this wait: it may lie above what a child has left
            if (detail::work_item* item = forked->begin()) {
                push(*item);
                unannounced_ = true;
            }
            continue;
        }
        driver_->prepare_to_park();
        if (list.size() == 0 || !inbox_.empty() || driver_->has_messages()) {
            driver_->stay_awake();
            continue;
        }
        time_point look_again = driver_->now() + (has_others ? std::chrono::milliseconds(1) : std::chrono::milliseconds(20));
        if (scheduler_.has_held_up()) look_again = std::min(look_again, driver_->now() + scheduler::round_for_others);
        spend(counters_.busy_ns, driver_->now());
        driver_->wait(ready_, std::min(timers_.next_advance(), look_again));
        spend(counters_.parked_ns, driver_->now());
    }
    if (is_first) scheduler_.leave_nested_wait();
    nested_waits_ = here.outer;
    push_each(held_);  // of outer waits
    take_ready();
    if (detail::work_item* item = take_lifo()) push(*item);
    unannounced_ = true;
    be_counted_on_by_nobody();  // the caller goes on, perhaps for long
    if (!list.forget(ended)) {
        // [N1] the last child is between telling and letting go
        while (!ended.told.load(std::memory_order_acquire)) detail::spin_hint();
    }
}

}  // namespace peal::rt
