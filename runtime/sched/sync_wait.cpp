// SPDX-License-Identifier: MIT

#include <peal/task/sync_wait.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "../base/affinity.hpp"
#include "scheduler.hpp"

namespace peal::detail {

namespace {

constexpr auto spin_limit = std::chrono::microseconds(20);  // what is not there by then is better slept for: the core may be needed
constexpr int score_limit = 8;
constexpr int waits_between_trials = 32;

/// What this thread knows of its own waits: above zero, the last ones were over while it still looked. Now and then it tries again.
struct experience {
    int score = 1;
    int until_trial = waits_between_trials;
    bool has_one_cpu = rt::affinity::is_of_one_cpu();
};

// state_   [B1] told: release exchange / waits: acquire CAS, acquire loads: the waiter sees what the task has left. Who finds that the waiter
//               still spins touches nothing after the exchange: the object may be gone. Who finds it asleep meets it at the mutex.
class blocked_thread final : public waiter {
  public:
    blocked_thread() noexcept : waiter(&blocked_thread::tell) {}

    bool done() const noexcept { return state_.load(std::memory_order_acquire) == state::done; }  // [B1]

    /// Looks on for a while before it sleeps, if that has paid lately: a short task is then over without waking anybody.
    void block() noexcept {
        if (done()) return;
        if constexpr (!is_explored) {
            if (has_seen_end()) return;
        }
        sleep();
    }

  private:
    enum class state : unsigned char { running, sleeping, done };

    bool has_seen_end() noexcept {
        static thread_local experience mine;
        if (mine.has_one_cpu) return false;
        if (mine.score <= 0 && --mine.until_trial > 0) return false;
        mine.until_trial = waits_between_trials;
        auto until = std::chrono::steady_clock::now() + spin_limit;
        do {
            for (int i = 0; i < 16; ++i) {
                spin_hint();
                if (!done()) continue;
                mine.score = std::min(mine.score + 1, score_limit);
                return true;
            }
        } while (std::chrono::steady_clock::now() < until);
        mine.score = std::max(mine.score - 4, 0);
        return false;
    }

    void sleep() noexcept {
        state seen = state::running;
        if (!state_.compare_exchange_strong(seen, state::sleeping, std::memory_order_acquire, std::memory_order_acquire)) return;  // [B1]
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return woken_; });
    }
    static void tell(waiter& self) noexcept {
        auto& me = static_cast<blocked_thread&>(self);
        if (me.state_.exchange(state::done, std::memory_order_release) != state::sleeping) return;  // [B1]
        std::lock_guard guard(me.mutex_);
        me.woken_ = true;
        me.changed_.notify_one();  // under the lock: sleep() returns, and the object goes, only after we have let go of it
    }

    atomic<state> state_{state::running};
    thread_mutex mutex_;  // guards woken_
    thread_condition changed_;
    bool woken_ = false;
};

}  // namespace

acceptance run_to_end(spawned_context& task, rt::scheduler* scheduler) {
    PEAL_ASSERT(this_thread.worker == nullptr,
                "sync_wait() or pool.run() was called on a worker: it would block the worker that may have to run the task; "
                "co_await the task, or a join_handle of spawn(), instead");
    blocked_thread blocked;
    static_cast<void>(task.wait_for_end(blocked));  // it has not begun: this registers
    if (scheduler == nullptr) {
        context* before = std::exchange(this_thread.current, &task);
        resume_chain(task.handle);
        this_thread.current = before;
    } else {
        if (acceptance answer = accept_task(*scheduler, task, nullptr); answer != acceptance::accepted) return answer;
        if (scheduler->drive()) {
            try {
                scheduler->drive()([&blocked] { return blocked.done(); }, nullptr, nullptr);
            } catch (...) {
                static_cast<void>(task.forget(blocked));
                task.release_handle();
                throw;
            }
        }
    }
    blocked.block();
    return acceptance::accepted;
}

}  // namespace peal::detail
