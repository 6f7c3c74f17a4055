// SPDX-License-Identifier: MIT
#pragma once

// The ring of one thread of limit_echo and limit_read: as little as a program can do between two completions.

#include <liburing.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <system_error>

namespace limit {

/// Who runs the task work of the kernel: the thread at its next enter, alone (the least work), or at any system call it makes, so that
/// other threads may submit and reap for it (what a runtime needs that moves work between threads).
enum class task_run : std::uint8_t { deferred, cooperative };

enum class wait : bool { no, yes };

class ring {
  public:
    using clock = std::chrono::steady_clock;

    /// `spin`: how long to look for completions before sleeping, while the last ones came as quickly; 0: sleep at once.
    ring(task_run kind, unsigned entries, clock::duration spin) : spin_(spin) {
        io_uring_params parameters{};
        parameters.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_TASKRUN_FLAG |
                           (kind == task_run::deferred ? IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
                                                       : IORING_SETUP_COOP_TASKRUN);
        parameters.cq_entries = 4 * entries;
        check(::io_uring_queue_init_params(entries, &ring_, &parameters), "io_uring_setup (needs Linux 6.1)");
        ::io_uring_register_ring_fd(&ring_);  // saves a lookup per enter; it works without, too
    }
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring() { ::io_uring_queue_exit(&ring_); }

    io_uring& native() noexcept { return ring_; }

    /// Room for so many entries that are submitted together.
    void reserve(unsigned count) {
        while (::io_uring_sq_space_left(&ring_) < count) check_enter(::io_uring_submit(&ring_));
    }
    /// An entry to prepare.
    io_uring_sqe& entry() {
        reserve(1);
        return *::io_uring_get_sqe(&ring_);
    }

    /// Submits, waits for a completion if it may, and hands all there are to `handle`, which may prepare entries.
    template <class Handle>
    void turn(wait may_wait, Handle&& handle) {
        enter(may_wait);
        all_submitted_ = ::io_uring_sq_ready(&ring_) == 0;
        unsigned head = 0;
        unsigned count = 0;
        io_uring_cqe* completion = nullptr;
        io_uring_for_each_cqe(&ring_, head, completion) {
            handle(static_cast<const io_uring_cqe&>(*completion));
            ++count;
        }
        ::io_uring_cq_advance(&ring_, count);
    }

    /// After a turn: no entry that was prepared before it can still report a failure of its first attempt.
    bool is_settled() const noexcept {
        return all_submitted_ && (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) == 0;
    }

    static void check(int result, const char* what) {
        if (result < 0) throw std::system_error(-result, std::generic_category(), what);
    }

  private:
    static void check_enter(int result) {
        // EINTR: a signal; EAGAIN, EBUSY: completions have to be reaped first, which the caller does.
        if (result != -EINTR && result != -EAGAIN && result != -EBUSY) check(result, "io_uring_enter");
    }

    void enter(wait may_wait) {
        if (may_wait == wait::no) {
            check_enter(::io_uring_submit_and_get_events(&ring_));
            return;
        }
        if (spin_ == clock::duration::zero()) {
            check_enter(::io_uring_submit_and_wait(&ring_, 1));
            return;
        }
        check_enter(::io_uring_submit_and_get_events(&ring_));
        if (::io_uring_cq_ready(&ring_) != 0) return;
        const auto since = clock::now();
        // A wake-up is part of the gap that was slept through: twice the budget lets a sleeper begin to spin.
        const bool may_spin = last_gap_ < 2 * spin_;
        while (may_spin && !has_news() && clock::now() - since < spin_) __builtin_ia32_pause();
        check_enter(may_spin && has_news() ? ::io_uring_get_events(&ring_) : ::io_uring_submit_and_wait(&ring_, 1));
        last_gap_ = clock::now() - since;
    }

    bool has_news() const noexcept {
        constexpr unsigned wanted = IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW;
        return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & wanted) != 0 || ::io_uring_cq_ready(&ring_) != 0;
    }

    io_uring ring_{};
    clock::duration spin_;
    clock::duration last_gap_{};
    bool all_submitted_ = false;
};

}  // namespace limit
