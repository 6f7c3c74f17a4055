// SPDX-License-Identifier: MIT
#pragma once

// driver: the one interface between scheduling and the outside world. One per worker. Behind it: the ring (runtime/uring), epoll where rings
// are forbidden (runtime/epoll), and the simulation (runtime/sim).
//
// Life of an operation
//   0 a read of a file that the system caches looks there first, on the calling thread; what it finds ends it without any of the below.
//   1 its coroutine suspends: cancel slot armed, submit() by the owner. From here the operation belongs to the driver.
//   2 the driver hands it to the outside at the next poll() or wait(), and hears of it exactly once per round.
//   3 finish(): the last completion is in. The slot is disarmed and the operation becomes ready: its coroutine is resumed.
// One that goes on (runtime/task/arrivals.hpp) is heard of again and again, and belongs to no coroutine: instead of 3 it comes to rest. The driver may ask the
// outside to end it by itself, too.
// Cancellation, from any thread
//   a the stopper takes the leaf from the slot and pushes the operation onto `cancels_` of its home driver.
//   b the home driver takes it from there: not finished yet, so the outside is asked to end it, and 3 follows in its own time;
//     or finished already (step 3 found the slot taken and left the operation alone), so now it becomes ready.
// So the coroutine is resumed after the last completion and after the last use of the operation by a stopper, never before (P2).
//
// Lock discipline. submit() only stores a pointer into a queue of this driver that has one writer, the owner. Everything else
// that touches the outside or an operation in flight (poll, wait) happens under the driver's lock, which the owner takes once
// per round, uncontended. Another worker that takes the lock of a driver whose owner is stuck in user code can therefore
// submit, reap and cancel for it, without any change to operations.
//
// Parking: the worker sleeps here and nowhere else. state_: see the protocol in runtime/sched/README.md.
// Rescue: while the owner is in a task for long, another worker takes its place for a round (poll_for_owner), under the lock. A kernel brings completions
// to the thread that has submitted: that of the owner is made to look by interrupt_all_threads() (base/membarrier.hpp).
//
//   state_   written by owner, wakers   [P1] all seq_cst: parker: exchange(parked), then looks for work; waker: publishes work,
//                                            then looks at state_. One of the two sees the other.
//   lends_from_ driver, once            [P3] release / acquire: who looks at the pool of buffers, for metrics, sees it whole

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <limits>

#include <peal/detail/atomic.hpp>
#include <peal/detail/operation.hpp>
#include <peal/detail/spin_lock.hpp>

#include "../base/mpsc_stack.hpp"
#include "../base/tally.hpp"

namespace peal::rt {

using time_point = std::chrono::steady_clock::time_point;

class arrivals;
class blocking_pool;
class lease_pool;

/// What a driver has done.
struct driver_totals {
    std::uint64_t begun = 0;           // operations
    std::uint64_t ended = 0;
    std::uint64_t elsewhere = 0;       // of these, by a blocking thread
    std::uint64_t enters = 0;          // system calls for the outside itself
    std::uint64_t refused = 0;         // times a receiver found all buffers lent
    std::uint64_t full = 0;            // times the kernel had more completions than the queue holds
    std::uint64_t lent = 0;            // buffers that hold what has come, now
};

class driver {
  public:
    explicit driver(blocking_pool& elsewhere) noexcept : elsewhere_(elsewhere) {}
    driver(const driver&) = delete;
    driver& operator=(const driver&) = delete;
    virtual ~driver() = default;

    // ---- owner only -------------------------------------------------------------------------------------------------------
    /// Takes an operation. It may be handed to the outside later, at the next poll() or wait().
    void submit(detail::operation& operation) noexcept {
        begun_.add();
        do_submit(operation);
    }

    /// Takes one that goes on, until it is at rest.
    void run(arrivals& operation) noexcept;
    /// Before the driver goes: asks those that still run to come to rest. They count as underway until then.
    void end_arrivals() noexcept;

    /// Before a round: at most about so many become ready in it; the rest stays with the outside, in its order.
    void set_room(std::size_t operations) noexcept {
        room_ = operations;
        tries_ = 0;
    }

    /// Appends what is ready, without handing anything over if that can be avoided. Free of system calls most of the time.
    virtual void reap(detail::work_list& ready) noexcept = 0;

    /// Hands over what was submitted and appends what is ready; does not wait.
    virtual void poll(detail::work_list& ready) noexcept = 0;

    /// For an owner that looks again and again before it sleeps: something may be ready. No system call.
    virtual bool has_news() const noexcept { return has_messages(); }
    /// So long at most it does that: what it costs to sleep and be woken. Zero where it makes no sense.
    virtual std::chrono::nanoseconds spin_limit() const noexcept { return {}; }
    /// What came lately was for few descriptors: peers that wait for each answer, and gain by an owner who looks on. Of many, there is always one that waits.
    bool serves_few() const noexcept { return few_score_.load(std::memory_order_relaxed) > 0; }
    /// Work has come shortly after there was none: if nothing of that was from the outside, what came from there is forgotten in time.
    void note_short_idle() noexcept { change_few_score(1); }

    /// Announces that the owner is about to sleep. The owner then looks for work once more, and calls wait() or stay_awake().
    void prepare_to_park() noexcept { state_.exchange(state::parked, std::memory_order_seq_cst); }  // [P1]
    void stay_awake() noexcept { state_.exchange(state::running, std::memory_order_seq_cst); }      // [P1]
    /// Like poll(), but sleeps until something is ready, `deadline` passes, or wake() is called. Requires prepare_to_park().
    void wait(detail::work_list& ready, time_point deadline) noexcept {
        do_wait(ready, deadline);
        stay_awake();
    }

    /// Whether a read that may find everything in the page cache is worth a try before it is submitted. Bounded from one round to the next, by number and by time (what
    /// is done with the bytes counts, too), for whoever waits meanwhile; and seldom while tries fail.
    bool may_try_first() noexcept {
        if (!tries_first_) return false;
        if (untried_ != 0) {
            --untried_;
            return false;
        }
        const time_point at = now();
        if (tries_ == 0) tries_since_ = at;
        if (tries_ == tries_limit || at - tries_since_ > tries_time) {
            tries_ = 0;
            return false;
        }
        ++tries_;
        return true;
    }
    void tried_first(bool found) noexcept {
        failures_ = found ? 0 : std::min(failures_ * 2 + 1, untried_limit);
        untried_ = failures_;
    }

    /// Operations that have been submitted and are not ready yet, wherever they are: not handed over, outside, with a blocking thread, or between
    /// their end and the request of a stopper.
    std::uint64_t underway() const noexcept { return begun_.value() - ended_.load(std::memory_order_relaxed); }  // those that go on are counted before a round

    // ---- another worker, for an owner that does not come ----------------------------------------------------------------------
    /// Hands over what the owner has submitted and appends what is ready, about `room` at most. False: the owner is here itself, or this outside can only
    /// be reached by its owner.
    virtual bool poll_for_owner(detail::work_list& ready, std::size_t room) noexcept;
    /// Any thread. The owner does not sleep here, and was not woken just now.
    bool is_running() const noexcept { return state_.load(std::memory_order_seq_cst) == state::running; }

    /// Closes a descriptor without waiting for anything. Owner only, as what follows.
    virtual void close(int fd) noexcept = 0;

    /// "uring", "epoll", "simulated"; nothing for those of tests.
    virtual const char* name() const noexcept { return ""; }

    /// True: descriptors are the simulation's own, not the system's.
    virtual bool is_simulated() const noexcept { return false; }
    /// For simulated sockets: 0, or -1 with errno.
    virtual int shutdown_writing(int fd) noexcept;

    // ---- any thread -------------------------------------------------------------------------------------------------------
    virtual time_point now() const noexcept = 0;
    /// Not later than now(), and earlier by `error` at most, which is some milliseconds: cheaper, for limits that are much longer.
    struct rough_time {
        time_point at;
        std::chrono::nanoseconds error;
    };
    virtual rough_time rough_now() const noexcept { return {now(), std::chrono::nanoseconds(0)}; }

    /// Makes the owner look for work, if it sleeps or is about to. Costs a load if it is awake.
    void wake() noexcept {
        if (state_.load(std::memory_order_seq_cst) == state::parked &&                          // [P1]
            state_.exchange(state::notified, std::memory_order_seq_cst) == state::parked) {     // [P1] one waker writes
            interrupt();
        }
    }

    /// Asks for an early end. `operation` was taken from a cancel slot and is in flight here.
    void request_cancel(detail::operation& operation) noexcept {
        caller inside(*this);
        cancels_.push(operation);
        wake();
    }

    /// Completes an operation that was performed by a blocking thread.
    void completed_elsewhere(detail::operation& operation) noexcept {
        caller inside(*this);
        elsewhere_done_.push(operation);
        wake();
    }

    /// Before it is destroyed: until no other thread is inside one of the two above (what they pushed may be over already).
    void wait_for_callers() const noexcept {
        while (callers_.load(std::memory_order_acquire) != 0) detail::spin_hint();  // [P2]
    }

    blocking_pool& elsewhere() noexcept { return elsewhere_; }

    /// Any thread, while nobody destroys it.
    driver_totals totals() const noexcept;

    bool has_messages() const noexcept { return !cancels_.empty() || !elsewhere_done_.empty(); }

  protected:
    virtual void do_submit(detail::operation& operation) noexcept = 0;
    virtual void do_wait(detail::work_list& ready, time_point deadline) noexcept = 0;
    /// Makes do_wait() return, now or when it is called next. Any thread.
    virtual void interrupt() noexcept = 0;
    /// Asks the outside to end an operation that it has. Under the lock.
    virtual void cancel_in_flight(detail::operation& operation) noexcept = 0;
    /// Hands over an operation of several rounds once more. Under the lock.
    virtual void resubmit(detail::operation& operation) noexcept = 0;
    /// close() for those who hold the lock.
    virtual void close_under_lock(int fd) noexcept = 0;

    /// Takes cancel requests and what blocking threads have done. Under the lock, after everything submitted was handed over.
    void take_messages(detail::work_list& ready) noexcept;
    /// One completion of the operation itself has arrived. Under the lock.
    void completed(detail::operation& operation, std::int32_t outcome, detail::work_list& ready) noexcept;
    /// The answer to a cancel request has arrived. Under the lock.
    void cancel_answered(detail::operation& operation, detail::work_list& ready) noexcept;
    /// Lets a blocking thread perform the operation as plain system calls.
    void perform_elsewhere(detail::operation& operation) noexcept;

    /// Something has come for it. Under the lock. What was sent says nothing: it follows upon what came.
    void note_served(const detail::operation& operation) noexcept {
        using enum detail::operation_kind;
        const auto kind = operation.kind;
        const int fd = operation.fd;
        if (fd < 0 || kind == send || kind == send_zero_copy || kind == send_many || kind == write || kind == write_many || kind == wait_writable) return;
        const bool is_known = std::find(served_.begin(), served_.end(), fd) != served_.end();
        if (!is_known) served_[next_served_++ % served_.size()] = fd;
        change_few_score(is_known ? 1 : -1);
    }

    /// Under the lock, as the next three.
    void count_enter() noexcept { enters_.add(); }
    void count_refused() noexcept { refused_.add(); }  // a receiver found all buffers lent
    void count_full() noexcept { full_.add(); }
    void count_lent() noexcept { lent_.add(); }  // before it can come back
    /// Once.
    void note_lending(lease_pool& from) noexcept { lends_from_.store(&from, std::memory_order_release); }  // [P3]

    /// Descriptors are the system's.
    void try_first() noexcept { tries_first_ = true; }

    std::size_t room() const noexcept { return room_; }
    /// The owner sleeps here, or is about to, and nobody has woken it.
    bool parked() const noexcept { return state_.load(std::memory_order_seq_cst) == state::parked; }  // [P1]

  private:
    enum class state : unsigned char {
        running,   // looks for work by itself
        parked,    // sleeps in do_wait(), or is about to: wakers must interrupt
        notified,  // a waker has interrupted or is about to: the others need not
    };

    // callers_   [P2] release decrement / acquire load: whoever destroys the driver comes after the last use by a caller
    class caller {
      public:
        explicit caller(driver& entered) noexcept : entered_(entered) {
            entered_.callers_.fetch_add(1, std::memory_order_relaxed);  // published by the push that follows
        }
        caller(const caller&) = delete;
        caller& operator=(const caller&) = delete;
        ~caller() { entered_.callers_.fetch_sub(1, std::memory_order_release); }  // [P2]

      private:
        driver& entered_;
    };

    void finish(detail::operation& operation, detail::work_list& ready) noexcept;
    void let_go(detail::operation& operation, detail::work_list& ready) noexcept;
    void end_use_under_lock(int fd) noexcept;
    void come_to_rest(arrivals& operation, detail::work_list& ready) noexcept;
    void link(arrivals& operation) noexcept;
    void unlink(arrivals& operation) noexcept;
    /// From here on the operation is its coroutine's again.
    void make_ready(detail::operation& operation, detail::work_list& ready) noexcept {
        count_ended();
        ready.push_back(operation);
    }

    void change_few_score(int by) noexcept {
        const int score = few_score_.load(std::memory_order_relaxed) + by;
        few_score_.store(std::clamp(score, -few_score_limit, few_score_limit), std::memory_order_relaxed);
    }

    void count_ended() noexcept { ended_.store(ended_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); }

    // ended_   written under the lock   relaxed: the owner counts on what it has reaped itself, and asks again before it ends
    detail::atomic<std::uint64_t> ended_{0};
    detail::spin_lock running_lock_;
    arrivals* running_ = nullptr;  // under running_lock_, the last one taken
    static constexpr unsigned tries_limit = 16;    // of 64 KiB at most: about 100 us
    static constexpr auto tries_time = std::chrono::microseconds(100);
    static constexpr unsigned untried_limit = 63;  // a try that fails costs 0.5 us beside a device's 50 and more

    static constexpr int few_score_limit = 8;
    std::array<int, 4> served_{-1, -1, -1, -1};  // the last that were not among these
    unsigned next_served_ = 0;
    detail::atomic<int> few_score_{few_score_limit};  // written by the owner, and by who stands in; relaxed: a hint, one may be lost

    // The owner's.
    tally begun_;
    std::size_t room_ = std::numeric_limits<std::size_t>::max();
    bool tries_first_ = false;
    unsigned tries_ = 0;  // in a row
    time_point tries_since_{};
    unsigned failures_ = 0;  // in a row: 1, 3, 7 ...
    unsigned untried_ = 0;

    tally enters_, performed_elsewhere_, refused_, full_, lent_;  // under the lock
    detail::atomic<lease_pool*> lends_from_{nullptr};
    detail::atomic<unsigned> callers_{0};

    detail::atomic<state> state_{state::running};
    mpsc_stack<detail::operation, &detail::operation::next_cancel> cancels_;
    mpsc_stack<detail::work_item, &detail::work_item::next> elsewhere_done_;
    blocking_pool& elsewhere_;
};

}  // namespace peal::rt
