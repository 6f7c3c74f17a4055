// SPDX-License-Identifier: MIT
#pragma once

// scheduler: the workers of one pool together: acceptance of tasks, work from outside, waking, shutdown.
//
// Threads: any, unless said otherwise. Fixed after start(): settings, workers.
// phase_      written by shutdown()      [S1] seq_cst: a worker that is about to sleep sees it, or is woken by the one who wrote it
// visitors_   outside threads            [S3] release decrement / acquire load: the scheduler is destroyed after the last use by a
//                                        thread that brought work, although that work may be over already
// gate_       written by shutdown()      [S2] seq_cst with outside_accepted_: a task from outside is counted before it looks, so
//                                        shutdown() either counts it or it is refused. A worker counts without that order: what
//                                        it accepts after shutdown() has counted, it sees itself, and does not end (run()).
// held_up_    watchdog, workers           [R1] seq_cst: who parks sees that somebody is held up, or is on the list when the watchdog wakes one.
//             spare: who counts (the watchdog, and who begins to wait nested, in nested_waits_) then wakes it; the spare worker is parked, then looks ([P1]).
//             Below zero for a moment when both write
// slots_      the spare worker, once      [R2] seq_cst, before it pushes anything: who parks and does not see it need not look there
// duty_, next_round_ workers              relaxed: who does the work of those that are held up; nothing else hangs on it
// uneven_     any worker, once           [S4] seq_cst, the look before it is set too: set before the first item goes into such a queue,
//                                        so who parks and does not see it need not look there (parking protocol)

#include <algorithm>
#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <peal/detail/atomic.hpp>
#include <peal/detail/thread_mutex.hpp>
#include <peal/task/unhandled.hpp>

#include "../base/thread.hpp"
#include "admission.hpp"
#include "idle.hpp"
#include "injection_queue.hpp"
#include "shares.hpp"
#include "worker.hpp"

namespace peal::rt {

struct scheduler_settings {
    unsigned workers = 1;
    bool has_spare = false;        // one more, for the time when all of them are held up; it rests until then
    std::string name;
    std::vector<int> pin_to_cpus;  // worker i to pin_to_cpus[i % size]; empty: none is pinned
    std::string pin_advice;        // for whoever reads that it failed
    std::function<void(unsigned)> on_worker_start;
    std::function<void(unsigned)> on_worker_stop;
    peal::unhandled unhandled = peal::unhandled::report;
    std::function<void(std::exception_ptr, const context&)> on_unhandled;
    rt::admission::bounds bounds;
    peal::when_full when_full = peal::when_full::wait;
    std::function<void()> on_ending;  // once, before the workers end; after it, no other thread looks at them
};

struct task_counts {
    std::uint64_t accepted = 0, completed = 0, failed = 0, canceled = 0;
    std::uint64_t live() const noexcept { return accepted - completed - failed - canceled; }
};

struct end_report {
    bool drained = false;
    std::uint64_t canceled = 0;
    std::uint64_t left = 0;                // did not stop
    std::vector<std::string> not_stopped;  // their names, as far as there was memory for them
};

class scheduler {
  public:
    /// Called in the worker's thread; throws std::system_error if it cannot be had.
    using driver_factory = std::function<std::unique_ptr<driver>(unsigned index)>;

    explicit scheduler(scheduler_settings settings);
    scheduler(const scheduler&) = delete;
    scheduler& operator=(const scheduler&) = delete;
    ~scheduler();

    /// Makes the threads; returns when each has its driver, or throws what the first of them threw, with all threads ended.
    void start(const driver_factory& make_driver);
    /// No threads: the workers' drivers are made here, and the caller runs the workers itself (runtime/sim).
    void start_without_threads(const driver_factory& make_driver);
    /// For a scheduler without threads: what runs its workers while somebody waits for a task, until `done` says so. `waiting` is
    /// the worker whose own task waits, for the tasks of `list`; null if it is the program that waits. Throws if nothing can go on.
    using drive_function =
        std::function<void(const std::function<bool()>& done, worker* waiting, const detail::task_list* list)>;
    void set_drive(drive_function drive) { drive_ = std::move(drive); }
    const drive_function& drive() const noexcept { return drive_; }
    /// Whatever the layer above wants to find again from a worker.
    void set_owner(void* owner) noexcept { owner_ = owner; }
    void* owner() const noexcept { return owner_; }

    /// Without the spare one.
    unsigned size() const noexcept { return settings_.workers; }
    /// Workers that may have work: size(), and one more once the spare one has begun.
    unsigned slots() const noexcept { return slots_.load(std::memory_order_seq_cst); }  // [R2]
    /// size(), and one more if there may be a spare one.
    unsigned places() const noexcept { return static_cast<unsigned>(workers_.size()); }
    worker& at(unsigned index) noexcept { return *workers_[index]; }
    /// None: not pinned. The spare worker never is.
    std::optional<int> cpu_of(unsigned index) const noexcept {
        if (settings_.pin_to_cpus.empty() || index >= size()) return std::nullopt;
        return settings_.pin_to_cpus[index % settings_.pin_to_cpus.size()];
    }
    /// The calling thread's worker if it is one of ours, else null.
    worker* this_worker() noexcept;

    // ---- work -------------------------------------------------------------------------------------------------------------
    void enqueue(detail::work_item& item) noexcept;
    void enqueue_on(unsigned index, detail::work_item& item) noexcept;
    void enqueue_woken(detail::work_item& item) noexcept;
    detail::acceptance accept(detail::spawned_context& task, detail::task_list* list, detail::door_waiter* let_in) noexcept;
    bool accept_only(detail::spawned_context& task, detail::task_list* list) noexcept { return admit(this_worker(), task, list); }
    void enqueue_all(detail::work_list& items) noexcept;
    rt::admission& admission() noexcept { return admission_; }
    /// For who does not wait. True, too, if the pool does not accept any more: that is told when it comes. Any thread.
    bool try_to_come_in(detail::door_waiter& guest) noexcept;
    /// For the door: out of the queue, and counted as begun. False: there are not so many, and none was taken.
    [[nodiscard]] bool take_to_shed(priority most, bool only_of_that, unsigned count, detail::work_list& taken) noexcept;
    std::uint64_t refused() const noexcept { return refused_.load(std::memory_order_relaxed); }
    std::uint64_t shed() const noexcept { return shed_.load(std::memory_order_relaxed); }
    injection_queue& injected() noexcept { return injected_; }
    rt::shares& shares() noexcept { return shares_; }
    /// The one of this pool that the item is in, or null.
    share_queue* share_of(const detail::work_item& item) const noexcept {
        peal::share share = item.owner != nullptr ? item.owner->share() : peal::share();
        return share && share.state()->pool == this ? shares::queue_of(share) : nullptr;
    }
    /// Into its share, or the injection queue.
    void put_outside(detail::work_item& item) noexcept;
    /// Something lies there for any worker.
    bool has_outside() const noexcept { return !injected_.empty() || !shares_.empty(); }
    rt::idle& idle() noexcept { return idle_; }
    /// Something of another priority than normal, or of a share, is or was in a worker's queue: until then thieves need not look into those.
    bool is_uneven() const noexcept { return uneven_.load(std::memory_order_seq_cst); }  // [S4]
    void set_uneven() noexcept {
        if (!uneven_.load(std::memory_order_seq_cst)) uneven_.store(true, std::memory_order_seq_cst);  // [S4]
    }
    /// Work was published that any worker may take.
    void wake_one() noexcept;

    /// Workers that wait in the destructor of a scope (worker::run_only), or in join() for a function (worker::nap): they run only what they wait for.
    void enter_nested_wait() noexcept {
        nested_waits_.fetch_add(1, std::memory_order_seq_cst);  // [R1]
        if (needs_spare()) call_spare();
    }
    void leave_nested_wait() noexcept { nested_waits_.fetch_sub(1, std::memory_order_relaxed); }  // a hint: looked at again and again
    bool all_wait_nested() const noexcept { return nested_waits_.load(std::memory_order_relaxed) >= size(); }

    // ---- workers that do not come back from a task ----------------------------------------------------------------------------
    static constexpr auto round_for_others = std::chrono::microseconds(300);
    bool has_held_up() const noexcept { return held_up_.load(std::memory_order_seq_cst) > 0; }  // [R1]
    /// No worker is left that runs what comes: those that wait nested do not, either.
    bool needs_spare() const noexcept {
        const int held_up = regular_held_up_.load(std::memory_order_seq_cst);  // [R1]
        return held_up > 0 && held_up + static_cast<int>(nested_waits_.load(std::memory_order_seq_cst)) >= static_cast<int>(size());  // [R1]
    }
    void count_held_up(bool is_spare, bool is_held_up) noexcept;
    /// False: another worker has done it just now.
    [[nodiscard]] bool begin_round_for_others(time_point now) noexcept;
    /// One of those that sleep looks up for every round.
    [[nodiscard]] bool try_take_duty() noexcept { return !duty_.exchange(true, std::memory_order_relaxed); }
    void leave_duty() noexcept { duty_.store(false, std::memory_order_relaxed); }
    /// The watchdog: all workers are held up.
    void call_spare() noexcept;
    /// The spare worker, before it takes anything: from the first time on, the others look at its queue, too.
    void begin_to_serve(const worker& spare) noexcept;

    // ---- ends -------------------------------------------------------------------------------------------------------------
    void count_ended(detail::outcome outcome, detail::time_mark began) noexcept;
    void report_unhandled(std::exception_ptr failure, const context& task) noexcept;
    /// False if `perhaps_gone` has shut down; then nothing of it was touched.
    static bool report_unhandled_if_live(scheduler* perhaps_gone, std::exception_ptr failure, const context& task) noexcept;
    task_counts counts() const noexcept;
    /// Tasks that have been accepted and have not begun. Never too few.
    pending_counts pending() const noexcept;
    std::uint64_t outside_accepted(priority urgency) const noexcept { return outside_accepted_[index_of(urgency)].load(std::memory_order_seq_cst); }
    /// For metrics: `visit(worker&)`, of all that may have work. Nobody drops a driver meanwhile.
    template <class Visit>
    void for_each_worker(Visit visit) {
        std::lock_guard guard(start_mutex_);
        for (unsigned i = 0; i < slots(); ++i) visit(at(i));
    }
    const std::string& name() const noexcept { return settings_.name; }
    int held_up() const noexcept { return std::max(0, held_up_.load(std::memory_order_relaxed)); }
    void append_outside_names(std::vector<std::string>& names) const { outside_tasks_.append_names(names); }
    void request_stop_all() noexcept;

    /// P7: stop accepting from outside, drain, stop accepting, ask to stop, wait, report; then the workers end. Not on one of its workers (asserted). Idempotent.
    const end_report& shutdown(std::chrono::milliseconds drain, std::chrono::milliseconds stop) noexcept;

    bool may_end() const noexcept { return phase_.load(std::memory_order_seq_cst) == phase::ending; }       // [S1]
    bool must_end_now() const noexcept { return phase_.load(std::memory_order_seq_cst) == phase::abandon; }  // [S1]

  private:
    enum class phase : unsigned char {
        running,
        ending,   // no task is left: workers end when they have nothing to do
        abandon,  // tasks are left that do not stop: workers end after what they run now
        over,     // after `ending`: there are no workers any more
    };
    void assert_goes_on() const noexcept {
        PEAL_ASSERT(phase_.load(std::memory_order_relaxed) != phase::over,
                    "schedule() or offload() to a pool that has been shut down: nothing runs there any more");
    }

    enum class gate : unsigned char {
        open,    // tasks are accepted
        inside,  // shutdown() drains: only from our own workers, so that tasks can end what they began
        closed,  // none
    };

    detail::acceptance accept_from_outside(detail::spawned_context& task, detail::task_list* list, detail::door_waiter* let_in) noexcept;
    detail::acceptance accept_at_door(detail::spawned_context& task, detail::task_list* list, const share_queue* share) noexcept;
    bool ask_to_come_in(detail::door_waiter& guest) noexcept;
    bool wait_at_door(blocked_guest& guest) noexcept;
    bool admit(worker* here, detail::spawned_context& task, detail::task_list* list) noexcept;
    void count_begun(worker* here, const detail::spawned_context& task) noexcept;
    std::uint64_t accepted(priority urgency) const noexcept;
    /// Brings an item from a thread that is no worker of ours.
    void inject(detail::work_item& item) noexcept;
    class visitor {
      public:
        explicit visitor(scheduler& visited) noexcept : visited_(visited) {
            visited_.visitors_.fetch_add(1, std::memory_order_relaxed);  // published by the push that follows
        }
        visitor(const visitor&) = delete;
        visitor& operator=(const visitor&) = delete;
        ~visitor() { visited_.visitors_.fetch_sub(1, std::memory_order_release); }  // [S3]

      private:
        scheduler& visited_;
    };

    void thread_main(worker& worker, const driver_factory& make_driver) noexcept;
    void note_start_failure(const worker& worker, std::exception_ptr failure) noexcept;
    void leave_live() noexcept;
    bool wait_until_ended(std::chrono::steady_clock::time_point deadline) noexcept;
    void end_threads(phase how) noexcept;

    const scheduler_settings settings_;
    std::vector<std::unique_ptr<worker>> workers_;
    bool spare_has_served_ = false;  // the spare worker's
    std::vector<detail::thread> threads_;
    drive_function drive_;
    void* owner_ = nullptr;
    detail::atomic<phase> phase_{phase::running};  // workers look at it, at gate_ and at what stands above before each item
    detail::atomic<gate> gate_{gate::open};
    detail::atomic<unsigned> nested_waits_{0};
    detail::atomic<bool> uneven_{false};
    detail::atomic<int> held_up_{0};
    detail::atomic<int> regular_held_up_{0};  // the spare one not counted
    detail::atomic<unsigned> slots_;
    detail::atomic<bool> duty_{false};
    detail::atomic<time_point::rep> next_round_{0};

    injection_queue injected_;
    rt::shares shares_;
    rt::idle idle_;
    rt::admission admission_;

    // What threads outside write for each task, away from what workers read.
    alignas(64) detail::task_list outside_tasks_;  // spawned by threads that are no worker of ours, into no scope
    detail::atomic<unsigned> visitors_{0};
    detail::atomic<std::uint64_t> outside_accepted_[priorities] = {};
    detail::atomic<std::uint64_t> outside_begun_[priorities] = {};  // accepted by threads outside, and ended there without having begun
    detail::atomic<std::uint64_t> outside_ended_[4] = {};
    detail::atomic<std::uint64_t> refused_{0};  // relaxed, as the next: for metrics
    detail::atomic<std::uint64_t> shed_{0};

    alignas(64) detail::thread_mutex start_mutex_;  // guards those below, while starting and ending
    bool has_started_ = false;   // all of them have drivers
    std::size_t ended_threads_ = 0;
    detail::thread_condition started_;
    unsigned start_answers_ = 0;
    std::exception_ptr start_failure_;

    detail::thread_mutex shutdown_mutex_;  // one shutdown() at a time
    bool shut_down_ = false;
    end_report report_;
};

}  // namespace peal::rt
