// SPDX-License-Identifier: MIT
#pragma once

// admission: the door of a pool. How many tasks may wait for their turn (accepted, not begun), who is let in, and who waits before the door. README.md, "The door".
//
// Nobody keeps a common count: what has been accepted and what has begun is counted by each worker for itself, and summed up here when it matters. A thread
// outside mostly only compares its own count with a mark that the last summing has left.
//
// Threads: any. `lock_` guards everything but:
// room_until_  written under the lock   relaxed: how far the count of a priority may go before the next summing. It may be old: then as many come too much as threads do
//                                       at the same time; and it knows nothing of what the pool's own tasks spawn after it was set
// waiting_     written under the lock   [A1] who begins to wait counts itself, then writes idle::counts_ by an RMW, then sums up; a worker that parks, rests, or begins what
//                                       may take long, counts what has begun, writes the same word, then looks here. One of the two comes later and sees the
//                                       other. A worker that begins a task looks first, so as to write nothing mostly: who waits makes all threads pass through
//                                       the kernel once (meet_beginning()), and sums up again. A worker that runs looks again and again.
// Bound: those who wait are threads, and tasks that do nothing else.

#include <chrono>
#include <cstdint>

#include <peal/detail/atomic.hpp>
#include <peal/detail/door.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/thread_mutex.hpp>
#include <peal/task/when_full.hpp>

#include "../task/driver.hpp"
#include "priorities.hpp"

namespace peal::rt {

class scheduler;
class share_queue;

/// Tasks that wait for their turn.
struct pending_counts {
    std::uint64_t of[priorities] = {};
    std::uint64_t all = 0;
};

/// A thread before the door.
class blocked_guest final : public detail::door_waiter {
  public:
    blocked_guest(priority urgency, const detail::share_state* share) noexcept : door_waiter(&blocked_guest::wake, kind::thread, wish::room, urgency, share) {}
    void block() noexcept;

  private:
    static void wake(door_waiter& self) noexcept;

    detail::thread_mutex mutex_;  // guards is_in_
    detail::thread_condition changed_;
    bool is_in_ = false;
};

class admission {
  public:
    /// 0: none.
    struct bounds {
        std::uint64_t all = 0;
        std::uint64_t of[priorities] = {};
    };
    admission(scheduler& pool, bounds bounds) noexcept;
    admission(const admission&) = delete;
    admission& operator=(const admission&) = delete;
    ~admission();

    /// False: most likely there is no need to ask. `accepted`: how many of that priority have come from outside.
    bool must_ask(priority urgency, bool is_share_bounded, std::uint64_t accepted) const noexcept {
        return is_share_bounded || accepted >= room_until_[index_of(urgency)].load(std::memory_order_relaxed);
    }

    /// True: it has what it wishes for; a place, until give_place_back().
    [[nodiscard]] bool ask(detail::door_waiter& guest) noexcept { return ask(guest, nullptr); }
    /// The same, and makes room if that helps: `shed` are tasks that have been taken from the queue and counted as begun. The caller ends them, whatever the answer is.
    [[nodiscard]] bool ask_and_shed(detail::door_waiter& guest, detail::work_list& shed) noexcept { return ask(guest, &shed); }
    /// False: it has what it wished for, or a stop was requested, or nobody is let in any more.
    bool wait(detail::door_operation& guest) noexcept;
    /// For threads: blocks. False: the pool does not accept any more.
    bool wait(blocked_guest& guest) noexcept;
    /// False: it was let in.
    bool leave(detail::door_waiter& guest) noexcept;
    /// The task that it was for comes now, and counts itself: a moment later, so that it never counts twice. Requires: has_place().
    void use_place(detail::door_waiter& guest) noexcept;
    /// It was not used. Requires: has_place().
    void give_place_back(detail::door_waiter& guest) noexcept;

    /// Workers, again and again, and before they sleep: lets in who can be.
    bool has_waiting() const noexcept {
        if constexpr (detail::is_explored) {
            if (!is_bounded_) return false;  // (a state more at each look)
        }
        return waiting_.load(std::memory_order_seq_cst) != 0;  // [A1]
    }
    enum class pace : bool { batches, at_once };
    /// True: somebody was let in.
    bool let_in(time_point now, pace pace) noexcept;
    /// Each task that begins is to be told: few may wait, or somebody waits for the last.
    bool is_tight() const noexcept { return is_tight_.load(std::memory_order_relaxed) || want_drained_.load(std::memory_order_relaxed) != 0; }
    /// There is a share with a bound of its own.
    void set_tight() noexcept { is_tight_.store(true, std::memory_order_relaxed); }
    std::uint64_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }
    bool is_bounded() const noexcept { return is_bounded_; }

    /// The pool does not accept any more, `threads`: or not from threads outside. Who waits goes on, without a place, and is refused.
    enum class whom : unsigned char { nobody, threads, all };
    void let_go(whom who) noexcept;

  private:
    using sums = pending_counts;
    bool has_room(const sums& now, const detail::door_waiter& guest) const noexcept;
    std::uint64_t places() const noexcept;
    bool ask(detail::door_waiter& guest, detail::work_list* shed) noexcept;
    bool try_shed(const sums& now, const detail::door_waiter& guest, detail::work_list& shed) noexcept;
    bool try_give(const sums& now, detail::door_waiter& guest) noexcept;
    void give(detail::door_waiter& guest) noexcept;
    bool is_crowded(const sums& now) const noexcept;
    bool must_line_up(const sums& now, const detail::door_waiter& guest) const noexcept;
    detail::door_waiter* take_off(const sums& now) noexcept;
    void meet_beginning() noexcept;
    void set_marks(const sums& now) noexcept;
    detail::door_waiter* line_up(detail::door_waiter& guest) noexcept;
    void push_back(detail::door_waiter& guest) noexcept;
    void remove(detail::door_waiter& guest) noexcept;
    /// Those that were let in, one behind the other. Without the lock.
    static void tell(detail::door_waiter* in) noexcept;

    scheduler& pool_;
    const bounds bounds_;
    const bool is_bounded_;
    detail::atomic<std::uint64_t> room_until_[priorities] = {};
    detail::atomic<bool> is_tight_;  // relaxed: how often it is looked at
    detail::atomic<unsigned> want_drained_{0};  // written under the lock; relaxed: seen by who has seen waiting_
    alignas(64) detail::atomic<std::uint64_t> waiting_{0};  // workers look at it
    detail::spin_lock lock_;
    whom goes_on_ = whom::nobody;
    std::uint64_t places_[priorities] = {};  // given, and not back. Those of a share are counted there
    std::uint64_t want_room_ = 0;            // of those who wait
    time_point let_in_at_{};
    time_point summed_at_{};
    detail::door_waiter* first_ = nullptr;
    detail::door_waiter* last_ = nullptr;
};

}  // namespace peal::rt
