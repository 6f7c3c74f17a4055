// SPDX-License-Identifier: MIT
#pragma once

// worker: one thread of a pool, its queues, its timers and its driver. The rules: README.md in this folder.
//
// Fields are the owner's, except where the table says otherwise.
//   queues_, shared_   owner pushes and pops, other workers steal; one per priority
//   forks_     owner pushes and pops, other workers steal what is public   see detail/fork_queue.hpp
//   lifo_      owner puts and takes, other workers take as a last resort   [F1] acq_rel exchange: one taker, which sees the item
//   inbox_     any thread pushes, owner takes                              see mpsc_stack.hpp
//   counters   owner writes, any thread reads                              relaxed: statistics; shutdown: see scheduler::live()
//   polled_at_ owner writes when it looks at its outside, watchdog reads   [F2] release / acquire: who reads it sees the driver; 0: there may be none yet
//   held_up_   watchdog sets, watchdog and owner clear, others read        [F3] release / acquire: who reads it sees the driver, as the watchdog did

#include <cstdint>
#include <memory>
#include <optional>

#include <peal/detail/atomic.hpp>
#include <peal/detail/fork.hpp>
#include <peal/detail/fork_queue.hpp>
#include <peal/detail/task_list.hpp>
#include <peal/task/context.hpp>

#include "../base/mpsc_stack.hpp"
#include "../base/tally.hpp"
#include "../base/timing.hpp"
#include "../task/driver.hpp"
#include "../task/glance.hpp"
#include "../time/wheel.hpp"
#include "alarm.hpp"
#include "priorities.hpp"
#include "run_queue.hpp"
#include "shares.hpp"

namespace peal::rt {

class scheduler;

/// What a worker has done. The owner counts, any thread reads.
struct worker_counters {
    tally polls, parks, wakes_sent, wakes_received, wakes_in_vain, steals_tried, steals_won, lifo_hits, overflows, held_up, rounds_for_others;
    tally busy_ns, searched_ns, parked_ns;  // until it looked at the clock last
    timing waits;      // of tasks that are timed: from when they were accepted until they began
    timing durations;  // from then until they ended
    timing runs;       // of items: how long one kept the worker. The first one after every eighth look at the outside, and after a sleep
};

class worker {
  public:
    static constexpr std::uint64_t timed_every = 64;  // tasks: a look at the clock when it is accepted, begins and ends, 25 ns each

    /// `spare`: beside the workers of the pool, for the time when all of these are held up.
    enum class role : bool { regular, spare };
    worker(rt::scheduler& scheduler, unsigned index, role role) noexcept
        : scheduler_(scheduler), index_(index), is_spare_(role == role::spare) {}
    worker(const worker&) = delete;
    worker& operator=(const worker&) = delete;

    unsigned index() const noexcept { return index_; }
    rt::scheduler& scheduler() noexcept { return scheduler_; }
    rt::driver& driver() noexcept { return *driver_; }
    wheel& timers() noexcept { return timers_; }
    detail::task_list& tasks() noexcept { return tasks_; }
    worker_counters& counters() noexcept { return counters_; }
    /// Any worker's, by any thread.
    std::size_t queued_for_metrics() const noexcept { return queued() + (lifo_.load(std::memory_order_relaxed) != nullptr ? 1 : 0); }

    void set_driver(std::unique_ptr<rt::driver> driver) noexcept {
        driver_ = std::move(driver);
        driver_name_ = driver_->name();
    }
    /// Also after drop_driver().
    const char* driver_name() const noexcept { return driver_name_; }
    bool has_driver() const noexcept { return driver_ != nullptr; }
    /// Before it runs. It outlives the worker's thread.
    void set_alarm(alarm& from_now_on) noexcept { alarm_ = &from_now_on; }
    void drop_driver() noexcept {
        if (!driver_) return;
        driver_->wait_for_callers();
        last_totals_ = driver_->totals();
        driver_.reset();
    }
    /// Of its driver, also after that. By a thread that keeps others from dropping it (scheduler::for_each_worker()).
    driver_totals totals() const noexcept { return driver_ != nullptr ? driver_->totals() : last_totals_; }
    bool is_asleep() const noexcept { return driver_ == nullptr || !driver_->is_running(); }

    // ---- owner only -------------------------------------------------------------------------------------------------------
    /// Makes the calling thread this worker, or none.
    void enter_thread() noexcept;
    static void leave_thread() noexcept;

    /// The loop: until the scheduler ends.
    void run() noexcept;
    /// Hands over what was submitted last: files that were closed.
    void finish() noexcept { driver_->poll(ready_); }

    void push_rescheduled(detail::work_item& item) noexcept;
    void push_spawned(detail::work_item& item) noexcept;
    void push_woken(detail::work_item& item) noexcept;
    void push_all(detail::work_list& items) noexcept;

    /// Runs tasks of `list`, and tasks spawned below these, until none of `list` is left. For others: README.md, last section.
    void run_only(detail::task_list& list) noexcept;
    /// True for tasks of `list`, and for tasks spawned below these.
    static bool belongs_to(const detail::work_item& item, const detail::task_list& list) noexcept;

    /// In the middle of a long computation: serves ring and timers if it is time to. True if others wait for this thread.
    bool look_around() noexcept;
    /// Runs a function that another worker has forked. False if there is none.
    bool help() noexcept;
    /// Lets others have what waits for this thread, which does not come to it soon.
    void offer() noexcept;
    /// In the middle of a computation: sleeps, and helps, until `call` has ended.
    void wait_for(const detail::forked_call& call) noexcept;

    /// Runs one item and whatever it hands this thread to.
    void execute(detail::work_item& item) noexcept;

    /// Polls driver, timers and inbox, and moves everything that can run into `ready`.
    void collect(detail::work_list& ready) noexcept;

    /// True: the task is to be timed, one in so many.
    bool count_accepted(priority urgency) noexcept { return increment(accepted_[index_of(urgency)]) % timed_every == 0; }
    void count_begun(priority urgency) noexcept { increment(begun_[index_of(urgency)]); }
    void count_ended(detail::outcome outcome) noexcept { increment(ended_[static_cast<unsigned>(outcome)]); }

    // ---- the watchdog -------------------------------------------------------------------------------------------------------
    bool is_spare() const noexcept { return is_spare_; }
    /// It has been in a task, or elsewhere in code of the program, since then; nothing: it sleeps.
    std::optional<time_point> away_since() const noexcept;
    /// It does not come back for now: others stand in for it. Until it comes, or is seen asleep.
    void set_held_up(bool is_held_up) noexcept;
    bool is_held_up() const noexcept { return held_up_.load(std::memory_order_acquire); }  // [F3]
    /// It is at its driver: what it sends, the kernel may take its time for. No task is to blame. A hint.
    bool is_outside() const noexcept { return is_outside_.load(std::memory_order_relaxed); }
    /// Of the system. 0 before the thread has begun.
    int thread_id() const noexcept { return thread_id_.load(std::memory_order_relaxed); }
    /// What runs there. Nothing if that cannot be seen.
    std::optional<glance> glance_at_task() const;

    // ---- any thread -------------------------------------------------------------------------------------------------------
    void push_pinned(detail::work_item& item) noexcept;
    bool has_stealable() const noexcept { return queued() != 0 || forks_.has_public(); }
    std::uint64_t accepted(priority urgency) const noexcept { return accepted_[index_of(urgency)].load(std::memory_order_acquire); }
    /// Tasks that have begun here, wherever they were accepted, or were shed here.
    std::uint64_t begun(priority urgency) const noexcept { return begun_[index_of(urgency)].load(std::memory_order_acquire); }
    std::uint64_t ended(detail::outcome outcome) const noexcept {
        return ended_[static_cast<unsigned>(outcome)].load(std::memory_order_acquire);
    }

  private:
    /// Gives what it was.
    static std::uint64_t increment(detail::atomic<std::uint64_t>& counter) noexcept {
        const std::uint64_t before = counter.load(std::memory_order_relaxed);
        counter.store(before + 1, std::memory_order_release);  // one writer
        return before;
    }
    void note_beginning(detail::spawned_context& task) noexcept;
    void tell_the_door() noexcept;
    void run_timed(detail::work_item& item) noexcept;
    void spend(tally& on, time_point now) noexcept;

    detail::work_item* next() noexcept;
    detail::work_item* next_in_turn() noexcept;
    bool is_alone() const noexcept;
    detail::work_item* next_by_priority() noexcept;
    /// Any worker, as are the next two.
    std::uint32_t queued() const noexcept;
    bool has_item() const noexcept { return queued() != 0 || lifo_.load(std::memory_order_relaxed) != nullptr; }
    run_queue& queue(priority urgency) noexcept { return queues_[index_of(urgency)]; }
    bool has_queued() const noexcept;
    bool has_work() const noexcept;
    detail::work_item* take_lifo() noexcept;
    void push(detail::work_item& item) noexcept;
    void push_each(detail::work_list& items) noexcept;
    void queue_sole() noexcept;
    void take_ready() noexcept;
    detail::work_item* next_shared() noexcept;
    void end_turn() noexcept;
    bool pass_turn_on() noexcept;
    void poll() noexcept;
    void hand_over() noexcept;
    void nap(const detail::forked_call& call) noexcept;
    void show_life(time_point now) noexcept;
    void stand_in(time_point now) noexcept;
    void rest() noexcept;
    void give_away() noexcept;
    void be_counted_on_by_nobody() noexcept;
    void fire_timers(time_point now) noexcept;
    void adjust_interval(time_point now) noexcept;
    void take_inbox() noexcept;
    std::size_t room() const noexcept;
    bool take_injected(std::size_t most) noexcept;
    detail::work_item* find_elsewhere() noexcept;
    worker* find_victim() noexcept;
    detail::work_item* steal() noexcept;
    detail::work_item* steal_half() noexcept;
    detail::work_item* steal_shared() noexcept;
    detail::fork_record* find_call() noexcept;
    template <class Take>
    auto from_others(Take take) noexcept;
    bool run_forked(detail::fork_record* taken) noexcept;
    void end_search() noexcept;
    bool has_work_for_others() const noexcept;
    void announce() noexcept;
    void run_found(detail::work_item& item) noexcept;
    void take_queued(detail::work_list& ready) noexcept;
    bool has_errand() const noexcept;
    bool sees_forked() noexcept;
    bool work_in_sight() const noexcept;
    bool try_end() noexcept;
    bool spin() noexcept;
    bool may_spin() noexcept;
    void park() noexcept;
    time_point tend_memory() noexcept;
    template <class Predicate>
    detail::work_item* take_pinned(Predicate is_wanted) noexcept;
    bool is_below(const detail::work_item& item) const noexcept;

    rt::scheduler& scheduler_;
    const unsigned index_;
    const bool is_spare_;
    alarm* alarm_ = nullptr;                // none where nobody watches
    std::unique_ptr<rt::driver> driver_;
    const char* driver_name_ = "";
    driver_totals last_totals_;
    wheel timers_;
    detail::task_list tasks_;               // tasks that were spawned here and belong to no scope

    run_queue queues_[priorities];
    run_queue shared_;                      // of the share whose turn it is; empty while it is no share's
    detail::work_item* sole_ = nullptr;     // was rescheduled, and nothing else lay here: runs next, without a queue; nothing runs before it
    detail::fork_queue forks_;
    alignas(64) detail::atomic<detail::work_item*> lifo_{nullptr};  // searchers look at it, and seldom anybody writes
    alignas(64) detail::atomic<time_point::rep> polled_at_{0};
    detail::atomic<bool> held_up_{false};
    detail::atomic<bool> is_outside_{false};                    // relaxed: for reports
    detail::atomic<int> thread_id_{0};                          // relaxed, as the next: set before polled_at_
    detail::atomic<const detail::thread_state*> thread_{nullptr};
    mpsc_stack<detail::work_item, &detail::work_item::next> inbox_;

    detail::work_list ready_;               // what a poll gave, on its way into the queue
    detail::work_list pinned_;              // what came through the inbox
    detail::work_list held_;                // run_only(): may run here, waits for its turn
    struct nested_wait {
        const detail::task_list& list;
        const nested_wait* outer;
    };
    const nested_wait* nested_waits_ = nullptr;  // run_only() calls on this thread's stack, the innermost first
    bool pinned_turn_ = false;
    bool uneven_ = false;                   // something of another priority than normal may be queued
    unsigned since_normal_ = 0;             // items run since the last normal one, and since the last low one, while these wait
    unsigned since_low_ = 0;
    share_queue* turn_whose_ = nullptr;     // whose turn it is here, since then: see shares.hpp; null while nothing is in a share
    time_point turn_since_{};
    bool others_are_absent_ = false;        // it was the turn of what is in no share, in vain
    unsigned lifo_streak_ = 0;
    bool unannounced_ = false;              // something was put into the queue, and no sleeper was told: see announce()
    bool waits_for_call_ = false;           // in wait_for()
    bool was_woken_ = false;                // by others for work, since it parked last: for metrics
    std::uint64_t items_when_woken_ = 0;
    bool woken_in_vain_ = false;            // nap(): by others, for what it does not take
    bool searching_ = false;
    std::uint32_t random_ = 0;              // where to begin stealing
    worker* watched_ = nullptr;             // has something to steal, and ran nothing else since watched_item_ was read; see find_victim()
    std::uint64_t watched_item_ = 0;

    time_point last_look_{};
    unsigned look_interval_ = 16;           // forks between two looks at the clock
    time_point idle_since_{};
    time_point next_memory_look_{};
    time_point spare_since_ = time_point::max();  // frames use less than half of what a burst has left, and this worker saw it
    int spin_score_ = 0;                    // above zero: work has come soon after this worker had none, lately
    unsigned interval_ = 16;                // items between two polls
    unsigned until_poll_ = 16;
    time_point last_poll_{};

    worker_counters counters_;
    time_point spent_until_{};              // what came before is counted: busy, searching or parked
    detail::atomic<std::uint64_t> accepted_[priorities] = {};
    detail::atomic<std::uint64_t> begun_[priorities] = {};
    detail::atomic<std::uint64_t> ended_[4] = {};
};

}  // namespace peal::rt
