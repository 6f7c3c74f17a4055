// SPDX-License-Identifier: MIT

#include "scheduler.hpp"

#include <pthread.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <new>
#include <optional>
#include <system_error>

#include <peal/detail/leaf_operation.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "../base/affinity.hpp"
#include "../base/signals_blocked.hpp"
#include "../task/unhandled.hpp"

namespace peal::rt {

namespace {

constexpr auto abandon_patience = std::chrono::seconds(1);  // for workers, after their tasks had theirs

/// The schedulers that have not shut down, for those who come late and know only an address.
struct live_schedulers {
    detail::thread_mutex mutex;
    std::vector<scheduler*> all;
};

live_schedulers& the_live_schedulers() noexcept {
    // Never destroyed: pools may be statics. Needs no memory: whoever asks cannot fail.
    alignas(live_schedulers) static std::byte memory[sizeof(live_schedulers)];
    static live_schedulers& made = *::new (memory) live_schedulers;
    return made;
}

}  // namespace

scheduler::scheduler(scheduler_settings settings)
    : settings_(std::move(settings)), slots_(settings_.workers), idle_(settings_.workers, settings_.has_spare ? 1 : 0),
      admission_(*this, settings_.bounds) {
    for (unsigned i = 0; i < settings_.workers; ++i) workers_.push_back(std::make_unique<worker>(*this, i, worker::role::regular));
    if (settings_.has_spare) workers_.push_back(std::make_unique<worker>(*this, settings_.workers, worker::role::spare));
    live_schedulers& live = the_live_schedulers();
    std::lock_guard guard(live.mutex);
    live.all.push_back(this);
}

scheduler::~scheduler() {
    PEAL_ASSERT(threads_.empty(), "a scheduler was destroyed before shutdown()");
    leave_live();  // of a pool that could not be made there was no shutdown
}

void scheduler::leave_live() noexcept {
    live_schedulers& live = the_live_schedulers();
    std::lock_guard guard(live.mutex);
    std::erase(live.all, this);
}

// ---- start ------------------------------------------------------------------------------------------------------------------

void scheduler::start(const driver_factory& make_driver) {
    auto begin = [this, &make_driver](worker& next) {
        signals_blocked for_worker;
        try {
            threads_.emplace_back([this, &next, &make_driver] { thread_main(next, make_driver); });
        } catch (...) {
            std::lock_guard guard(start_mutex_);
            note_start_failure(next, std::current_exception());
        }
    };
    auto all_have_answered = [this] {
        std::unique_lock lock(start_mutex_);
        started_.wait(lock, [this] { return start_answers_ == threads_.size(); });
        return !start_failure_;
    };
    for (unsigned i = 0; i < size(); ++i) begin(at(i));
    if (all_have_answered()) {
        if (settings_.has_spare) begin(at(size()));  // takes what is left of descriptors and memory
        if (all_have_answered()) {
            std::lock_guard guard(start_mutex_);
            has_started_ = true;
            return;
        }
    }
    end_threads(phase::ending);
    std::rethrow_exception(start_failure_);
}

/// A pool without a spare worker is one all the same.
void scheduler::note_start_failure(const worker& worker, std::exception_ptr failure) noexcept {
    if (!worker.is_spare()) {
        if (!start_failure_) start_failure_ = std::move(failure);
        return;
    }
    std::fprintf(stderr, "peal: no spare worker could be made (threads, descriptors, locked memory?): while tasks keep all workers of pool '%s', nothing else goes on\n",
                 settings_.name.c_str());
}

void scheduler::start_without_threads(const driver_factory& make_driver) {
    for (unsigned i = 0; i < size(); ++i) at(i).set_driver(make_driver(i));
}

void scheduler::thread_main(worker& worker, const driver_factory& make_driver) noexcept {
    char name[16];  // nobody takes an exception from here: no memory is asked for
    std::snprintf(name, sizeof name, "%s/%u", settings_.name.c_str(), worker.index());
    pthread_setname_np(pthread_self(), name);
    std::exception_ptr failure;
    try {
        if (std::optional<int> cpu = cpu_of(worker.index())) {
            if (int refused = *cpu < 0 ? EINVAL : affinity::of_cpu(*cpu).apply_to_this_thread()) {
                throw std::system_error(refused, std::system_category(),
                                        "pool: pinning worker " + std::to_string(worker.index()) + " to CPU " +
                                            std::to_string(*cpu) + " (" + settings_.pin_advice + ")");
            }
        }
        worker.set_driver(make_driver(worker.index()));
    } catch (...) {
        failure = std::current_exception();
    }
    bool usable = !failure;
    {
        // From the answer on, start() may return and work may come. `make_driver` is start()'s: not used after this.
        std::unique_lock lock(start_mutex_);
        if (failure) note_start_failure(worker, failure);
        ++start_answers_;
        started_.notify_all();
    }
    if (usable) {
        worker.enter_thread();
        if (!worker.is_spare() && settings_.on_worker_start) settings_.on_worker_start(worker.index());
        worker.run();
        if ((!worker.is_spare() || spare_has_served_) && settings_.on_worker_stop) settings_.on_worker_stop(worker.index());
        worker.finish();
        worker::leave_thread();
    }
    std::lock_guard lock(start_mutex_);
    ++ended_threads_;
    started_.notify_all();  // under the lock: the last touch of this object
}

worker* scheduler::this_worker() noexcept {
    worker* here = detail::this_thread.worker;
    return here != nullptr && &here->scheduler() == this ? here : nullptr;
}

// ---- work -------------------------------------------------------------------------------------------------------------------

void scheduler::wake_one() noexcept {
    if (auto picked = idle_.pick_sleeper()) {
        at(*picked).driver().wake();
        if (worker* here = this_worker()) here->counters().wakes_sent.add();
    }
}

void scheduler::inject(detail::work_item& item) noexcept {
    visitor inside(*this);
    put_outside(item);
    wake_one();
}

void scheduler::put_outside(detail::work_item& item) noexcept {
    if (share_queue* share = share_of(item)) {
        shares_.push(item, *share);
    } else {
        injected_.push(item);
    }
}

void scheduler::enqueue(detail::work_item& item) noexcept {
    if (worker* here = this_worker()) {
        here->push_rescheduled(item);
    } else {
        assert_goes_on();
        inject(item);
    }
}

void scheduler::enqueue_on(unsigned index, detail::work_item& item) noexcept {
    PEAL_ASSERT(index < places(), "schedule_on(): the pool has no worker of this index");
    assert_goes_on();
    if (index >= size()) return enqueue(item);  // the spare one, which may not serve any more
    visitor inside(*this);
    at(index).push_pinned(item);
}

void scheduler::enqueue_woken(detail::work_item& item) noexcept {
    if (worker* here = this_worker()) {
        here->push_woken(item);
    } else {
        inject(item);
    }
}

detail::acceptance scheduler::accept(detail::spawned_context& task, detail::task_list* list, detail::door_waiter* let_in) noexcept {
    worker* here = this_worker();
    if (here == nullptr) return accept_from_outside(task, list, let_in);
    if (let_in != nullptr && let_in->has_place()) admission_.use_place(*let_in);
    if (!admit(here, task, list)) return detail::acceptance::stopped;
    here->push_spawned(task);
    return detail::acceptance::accepted;
}

detail::acceptance scheduler::accept_from_outside(detail::spawned_context& task, detail::task_list* list, detail::door_waiter* let_in) noexcept {
    visitor inside(*this);
    if (let_in == nullptr) {
        const share_queue* share = share_of(task);
        const bool is_share_bounded = share != nullptr && share->most_pending() != 0;
        if (admission_.must_ask(task.priority(), is_share_bounded, outside_accepted(task.priority()))) [[unlikely]] return accept_at_door(task, list, share);
    }
    if (let_in != nullptr && let_in->has_place()) admission_.use_place(*let_in);
    if (!admit(nullptr, task, list)) return detail::acceptance::stopped;
    put_outside(task);
    wake_one();
    return detail::acceptance::accepted;
}

detail::acceptance scheduler::accept_at_door(detail::spawned_context& task, detail::task_list* list, const share_queue* share) noexcept {
    blocked_guest guest(task.priority(), share);
    if (gate_.load(std::memory_order_seq_cst) == gate::open && !ask_to_come_in(guest)) {
        // A worker of another pool must not be blocked: tasks wait by submit().
        if (settings_.when_full != when_full::wait || detail::this_thread.worker != nullptr) {
            refused_.fetch_add(1, std::memory_order_relaxed);
            return detail::acceptance::full;
        }
        if (!wait_at_door(guest)) return detail::acceptance::stopped;
    }
    return accept_from_outside(task, list, &guest);
}

bool scheduler::try_to_come_in(detail::door_waiter& guest) noexcept {
    if (gate_.load(std::memory_order_seq_cst) == gate::open && !ask_to_come_in(guest)) {  // else it is refused for another reason
        refused_.fetch_add(1, std::memory_order_relaxed);
        return false;
    }
    return true;
}

bool scheduler::ask_to_come_in(detail::door_waiter& guest) noexcept {
    if (settings_.when_full != when_full::shed || this_worker() != nullptr) return admission_.ask(guest);
    visitor inside(*this);
    detail::work_list shed;
    const bool comes_in = admission_.ask_and_shed(guest, shed);
    if (shed.empty()) return comes_in;
    shed_.fetch_add(shed.size(), std::memory_order_relaxed);
    context* before = detail::this_thread.current;
    while (!shed.empty()) {
        auto& oldest = static_cast<detail::spawned_context&>(shed.pop_front());
        detail::this_thread.current = &oldest;
        static_cast<void>(oldest.end_unbegun());
    }
    detail::this_thread.current = before;
    if (admission_.has_waiting()) admission_.let_in(time_point(), rt::admission::pace::at_once);  // that fewer wait they may not have seen
    return comes_in;
}

bool scheduler::take_to_shed(priority most, bool only_of_that, unsigned count, detail::work_list& taken) noexcept {
    detail::work_list oldest;
    if (!injected_.take_unbegun(outside_tasks_, most, only_of_that, count, oldest)) return false;
    while (!oldest.empty()) {
        detail::work_item& each = oldest.pop_front();
        count_begun(nullptr, static_cast<detail::spawned_context&>(each));
        taken.push_back(each);
    }
    return true;
}

/// False: the pool does not accept any more.
bool scheduler::wait_at_door(blocked_guest& guest) noexcept {
    if (!drive_) return admission_.wait(guest);
    try {
        drive_([this, &guest] { return admission_.ask(guest); }, nullptr, nullptr);
    } catch (const std::exception&) {
        return false;  // nothing can go on
    }
    return true;
}

void scheduler::enqueue_all(detail::work_list& items) noexcept {
    if (items.empty()) return;
    if (worker* here = this_worker()) {
        here->push_all(items);
        return;
    }
    visitor inside(*this);
    if (share_queue* share = share_of(items.front())) {  // all are of one task's options
        shares_.push_all(items, *share);
    } else {
        injected_.push_all(items);
    }
    wake_one();
}

/// `here`: the calling thread's worker, or null.
bool scheduler::admit(worker* here, detail::spawned_context& task, detail::task_list* list) noexcept {
    if (share_queue* share = share_of(task)) [[unlikely]] share->count_accepted();
    bool is_timed;
    if (here != nullptr) {
        is_timed = here->count_accepted(task.priority());
    } else {
        const auto before = outside_accepted_[index_of(task.priority())].fetch_add(1, std::memory_order_seq_cst);  // [S2]
        is_timed = before % worker::timed_every == 0 && !drive_;  // the clock of a simulation is its drivers'
    }
    if (gate_.load(std::memory_order_seq_cst) > (here != nullptr ? gate::inside : gate::open)) {  // [S2]
        count_begun(here, task);
        count_ended(detail::outcome::canceled, {});
        if (admission_.has_waiting()) [[unlikely]] admission_.let_in(time_point(), rt::admission::pace::at_once);  // it was counted for a moment
        return false;
    }
    task.accepted_by_ = this;
    if constexpr (!detail::is_explored) {
        if (is_timed) [[unlikely]] task.set_timed_since(detail::time_mark(here != nullptr ? here->driver().now() : std::chrono::steady_clock::now()));
    }
    detail::task_list& own = here != nullptr ? here->tasks() : outside_tasks_;
    (list != nullptr ? *list : own).insert(task);
    return true;
}

// ---- workers that do not come back from a task ----------------------------------------------------------------------------------

void scheduler::count_held_up(bool is_spare, bool is_held_up) noexcept {
    const int change = is_held_up ? 1 : -1;
    if (!is_spare) regular_held_up_.fetch_add(change, std::memory_order_seq_cst);  // [R1]
    held_up_.fetch_add(change, std::memory_order_seq_cst);                          // [R1]
}

bool scheduler::begin_round_for_others(time_point now) noexcept {
    auto next = next_round_.load(std::memory_order_relaxed);
    const auto at = now.time_since_epoch().count();
    if (at < next) return false;
    return next_round_.compare_exchange_strong(next, at + std::chrono::nanoseconds(round_for_others).count(), std::memory_order_relaxed);
}

void scheduler::call_spare() noexcept {
    if (!settings_.has_spare) return;
    std::lock_guard guard(start_mutex_);
    if (has_started_ && at(size()).has_driver()) at(size()).driver().wake();  // before: called again
}

void scheduler::begin_to_serve(const worker& spare) noexcept {
    if (std::exchange(spare_has_served_, true)) return;
    slots_.store(size() + 1, std::memory_order_seq_cst);  // [R2]
    if (settings_.on_worker_start) settings_.on_worker_start(spare.index());
}

// ---- ends -------------------------------------------------------------------------------------------------------------------

void scheduler::count_begun(worker* here, const detail::spawned_context& task) noexcept {
    if (share_queue* share = share_of(task)) share->count_begun();
    if (here != nullptr) {
        here->count_begun(task.priority());
    } else {
        outside_begun_[index_of(task.priority())].fetch_add(1, std::memory_order_seq_cst);
    }
}

void scheduler::count_ended(detail::outcome outcome, detail::time_mark began) noexcept {
    if (worker* here = this_worker()) {
        if (began) here->counters().durations.record(began.until(here->driver().now()));
        here->count_ended(outcome);
    } else {
        outside_ended_[static_cast<unsigned>(outcome)].fetch_add(1, std::memory_order_seq_cst);
    }
}

task_counts scheduler::counts() const noexcept {
    // Ends before beginnings: nothing ends that was not accepted, so live() is never too small; and when it is zero, no task was
    // left at the moment between the two readings.
    task_counts sum;
    auto ended = [this](detail::outcome outcome) {
        std::uint64_t count = outside_ended_[static_cast<unsigned>(outcome)].load(std::memory_order_seq_cst);
        for (auto& worker : workers_) count += worker->ended(outcome);
        return count;
    };
    sum.completed = ended(detail::outcome::value);
    sum.failed = ended(detail::outcome::failed);
    sum.canceled = ended(detail::outcome::canceled);
    for (priority urgency : every_priority) sum.accepted += accepted(urgency);
    return sum;
}

std::uint64_t scheduler::accepted(priority urgency) const noexcept {
    std::uint64_t sum = outside_accepted_[index_of(urgency)].load(std::memory_order_seq_cst);  // [S2]
    for (auto& worker : workers_) sum += worker->accepted(urgency);
    return sum;
}

pending_counts scheduler::pending() const noexcept {
    // All that has begun before all that was accepted: what begins meanwhile may spawn others.
    std::uint64_t begun[priorities];
    for (unsigned i = 0; i < priorities; ++i) {
        begun[i] = outside_begun_[i].load(std::memory_order_seq_cst);
        for (auto& worker : workers_) begun[i] += worker->begun(static_cast<priority>(i));
    }
    pending_counts sum;
    for (unsigned i = 0; i < priorities; ++i) {
        sum.of[i] = accepted(static_cast<priority>(i)) - begun[i];
        sum.all += sum.of[i];
    }
    return sum;
}

void scheduler::report_unhandled(std::exception_ptr failure, const context& task) noexcept {
    if (settings_.unhandled == unhandled::count) return;
    bool is_told = false;
    if (settings_.on_unhandled) {
        try {
            settings_.on_unhandled(failure, task);
            is_told = true;
        } catch (const std::exception& own) {
            std::fprintf(stderr, "peal: on_unhandled of pool '%s' has failed itself: %s\n", settings_.name.c_str(), own.what());
        } catch (...) {
            std::fprintf(stderr, "peal: on_unhandled of pool '%s' has failed itself\n", settings_.name.c_str());
        }
    }
    if (!is_told) rt::report_unhandled(std::move(failure), task, nullptr);
    if (settings_.unhandled == unhandled::stop) request_stop_all();
    if (settings_.unhandled == unhandled::terminate) std::terminate();
}

bool scheduler::report_unhandled_if_live(scheduler* perhaps_gone, std::exception_ptr failure, const context& task) noexcept {
    std::optional<visitor> inside;
    {
        live_schedulers& live = the_live_schedulers();
        std::lock_guard guard(live.mutex);
        if (std::find(live.all.begin(), live.all.end(), perhaps_gone) == live.all.end()) return false;
        inside.emplace(*perhaps_gone);
    }
    perhaps_gone->report_unhandled(std::move(failure), task);
    return true;
}

void scheduler::request_stop_all() noexcept {
    outside_tasks_.request_stop_all();
    for (auto& worker : workers_) worker->tasks().request_stop_all();
}

bool scheduler::wait_until_ended(std::chrono::steady_clock::time_point deadline) noexcept {
    // Looked at from outside, so that the end of a task costs nothing more. Only while a pool shuts down.
    auto pause = std::chrono::microseconds(20);
    while (counts().live() != 0) {
        if (std::chrono::steady_clock::now() >= deadline) return false;
        detail::pause_thread(pause);
        pause = std::min(pause * 2, std::chrono::microseconds(2000));
    }
    return true;
}

const end_report& scheduler::shutdown(std::chrono::milliseconds drain, std::chrono::milliseconds stop) noexcept {
    PEAL_ASSERT(this_worker() == nullptr,
                "a pool was shut down or destroyed by one of its own workers: it would wait for itself; do it from another thread");
    std::lock_guard guard(shutdown_mutex_);
    if (shut_down_) return report_;
    shut_down_ = true;
    gate_.store(gate::inside, std::memory_order_seq_cst);  // [S2]
    admission_.let_go(rt::admission::whom::threads);

    using clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds longest = std::chrono::hours(24 * 365);  // milliseconds::max() means for ever
    drain = std::min(drain, longest);
    stop = std::min(stop, longest);
    bool ended = wait_until_ended(clock::now() + drain);
    report_.drained = ended;
    gate_.store(gate::closed, std::memory_order_seq_cst);  // [S2]
    admission_.let_go(rt::admission::whom::all);
    ended = ended && counts().live() == 0;                  // a guest of another pool may have spawned in between
    if (!ended) {
        std::uint64_t before = counts().live();
        request_stop_all();
        ended = wait_until_ended(clock::now() + stop);
        report_.canceled = before - counts().live();
    }
    const std::uint64_t left = ended ? 0 : counts().live();
    ended = left == 0;  // the last one may have ended just now
    if (!ended) {
        report_.left = left;
        try {
            outside_tasks_.append_names(report_.not_stopped);
            for (auto& worker : workers_) worker->tasks().append_names(report_.not_stopped);
            if (left > report_.not_stopped.size()) {
                report_.not_stopped.push_back(std::to_string(left - report_.not_stopped.size()) + " tasks in scopes");
            }
        } catch (const std::bad_alloc&) {
            // Some go without a name: that the pool ends matters more.
        }
    }
    end_threads(ended ? phase::ending : phase::abandon);
    return report_;
}

void scheduler::end_threads(phase how) noexcept {
    if (settings_.on_ending) settings_.on_ending();  // nobody looks at the workers after this
    phase_.store(how, std::memory_order_seq_cst);  // [S1]
    for (auto& worker : workers_) {
        if (worker->has_driver()) worker->driver().wake();
    }
    if (how == phase::abandon) {
        // A worker that does not come back from user code is left behind, with everything that it may touch.
        std::unique_lock lock(start_mutex_);
        started_.wait_for(lock, abandon_patience, [this] { return ended_threads_ == threads_.size(); });
        bool all = ended_threads_ == threads_.size();
        lock.unlock();
        for (auto& thread : threads_) {
            if (all) {
                thread.join();
            } else {
                thread.detach();
            }
        }
    } else {
        for (auto& thread : threads_) thread.join();
    }
    threads_.clear();
    leave_live();
    while (visitors_.load(std::memory_order_acquire) != 0) detail::spin_hint();  // [S3]
    if (how == phase::abandon) return;  // abandoned tasks and the kernel may still use the drivers
    phase_.store(phase::over, std::memory_order_relaxed);  // for assertions: whoever comes now has not waited for shutdown()
    std::lock_guard guard(start_mutex_);
    for (auto& worker : workers_) worker->drop_driver();
}

// ---- what the layer of tasks asks for ------------------------------------------------------------------------------------------

void count_ended(scheduler& pool, detail::outcome outcome, detail::time_mark began) noexcept { pool.count_ended(outcome, began); }

void report_unhandled_late(std::exception_ptr failure, const context& task, scheduler* perhaps_gone) noexcept {
    if (!scheduler::report_unhandled_if_live(perhaps_gone, failure, task)) report_unhandled(std::move(failure), task, nullptr);
}

void report_unhandled(std::exception_ptr failure, const context& task, scheduler* pool) noexcept {
    if (pool != nullptr) {
        pool->report_unhandled(std::move(failure), task);
        return;
    }
    // At most ten lines a second; then a count of what was left out.
    static detail::thread_mutex mutex;
    static std::chrono::steady_clock::time_point second{};
    static unsigned lines = 0;
    static unsigned long left_out = 0;
    std::lock_guard guard(mutex);
    auto now = std::chrono::steady_clock::now();
    if (now - second > std::chrono::seconds(1)) {
        if (left_out != 0) std::fprintf(stderr, "peal: %lu more tasks failed\n", left_out);
        second = now;
        lines = 0;
        left_out = 0;
    }
    if (++lines > 10) {
        ++left_out;
        return;
    }
    const bool has_name = task.name()[0] != '\0';
    const char* named[] = {has_name ? "task '" : "an unnamed task", task.name(), has_name ? "'" : ""};
    const std::source_location& where = task.spawn_location();
    char who[1024];  // no memory is asked for
    if (where.line() != 0) {
        std::snprintf(who, sizeof who, "%s%s%s (spawned at %s:%u)", named[0], named[1], named[2], where.file_name(), static_cast<unsigned>(where.line()));
    } else {
        std::snprintf(who, sizeof who, "%s%s%s", named[0], named[1], named[2]);
    }
    try {
        std::rethrow_exception(std::move(failure));
    } catch (const std::exception& error) {
        std::fprintf(stderr, "peal: %s failed and nobody awaits it: %s\n", who, error.what());
    } catch (...) {
        std::fprintf(stderr, "peal: %s failed and nobody awaits it: exception of unknown type\n", who);
    }
}

}  // namespace peal::rt

namespace peal::detail {

void enqueue(rt::scheduler& target, work_item& item) noexcept { target.enqueue(item); }

void enqueue_on(rt::scheduler& target, unsigned index, work_item& item) noexcept {
    target.enqueue_on(index, item);
}

acceptance accept_task(rt::scheduler& target, spawned_context& task, task_list* list, door_waiter* let_in) noexcept { return target.accept(task, list, let_in); }

bool accept_only(rt::scheduler& target, spawned_context& task, task_list* list) noexcept { return target.accept_only(task, list); }

void enqueue_all(rt::scheduler& target, work_list& items) noexcept { target.enqueue_all(items); }

bool pass_door(rt::scheduler& pool, door_waiter& waiter) noexcept { return pool.admission().ask(waiter); }
bool ask_to_come_in(rt::scheduler& pool, door_waiter& waiter) noexcept { return pool.try_to_come_in(waiter); }
bool wait_at_door(rt::scheduler& pool, door_operation& waiter) noexcept { return pool.admission().wait(waiter); }
bool leave_door(rt::scheduler& pool, door_waiter& waiter) noexcept { return pool.admission().leave(waiter); }
void give_place_back(rt::scheduler& pool, door_waiter& waiter) noexcept { pool.admission().give_place_back(waiter); }

void enqueue_woken(work_item& item) noexcept {
    rt::scheduler* scheduler = item.owner->scheduler();
    if (scheduler != nullptr) {
        scheduler->enqueue_woken(item);
    } else if (this_thread.worker != nullptr) {
        this_thread.worker->push_woken(item);  // a task of sync_wait() goes on where it was woken
    } else {
        // No pool anywhere: the thread that made it ready runs it.
        context* before = this_thread.current;
        this_thread.current = item.owner;
        resume_chain(item.handle);
        this_thread.current = before;
    }
}

rt::scheduler* current_scheduler() noexcept {
    return this_thread.worker != nullptr ? &this_thread.worker->scheduler() : nullptr;
}

void throw_refused(acceptance why) {
    if (why == acceptance::full) {
        throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again),
                                "spawn: as many tasks wait for their turn as may (pool_options.max_pending); spawn it later, or wait for room by co_await pool.submit()");
    }
    throw std::system_error(std::make_error_code(std::errc::operation_canceled), "spawn: the pool has stopped accepting tasks");
}

}  // namespace peal::detail
