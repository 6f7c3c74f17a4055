// SPDX-License-Identifier: MIT

#include <peal/task/sync_wait.hpp>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "scheduler.hpp"

namespace peal::detail {

namespace {

constexpr auto spin_limit = std::chrono::microseconds(50);   // to wake a sleeping core takes 25 to 60 us on virtual machines
constexpr auto short_wait = std::chrono::microseconds(150);  // with the time that a wake-up takes
constexpr int score_limit = 8;

/// Above zero: what this thread waited for has come soon, lately.
constinit thread_local int spin_score = 0;

// state_   [B1] told: acq_rel exchange / waits: acq_rel CAS, acquire loads: the waiter sees what the task has left. Who finds that the waiter
//               still spins touches nothing after the exchange: the object may be gone.
class blocked_thread final : public waiter {
  public:
    blocked_thread() noexcept : waiter(&blocked_thread::tell) {}

    bool done() const noexcept { return state_.load(std::memory_order_acquire) == state::done; }  // [B1]

    /// As a worker that has nothing to do: looks on for a while, if that has paid lately, and then sleeps.
    void block() noexcept {
        if (done()) return;
        if constexpr (is_explored) {
            sleep();
            return;
        }
        auto begin = std::chrono::steady_clock::now();
        auto now = begin;
        while (spin_score > 0 && now - begin < spin_limit) {
            for (int i = 0; i < 16; ++i) {
                spin_hint();
                if (!done()) continue;
                spin_score = std::min(spin_score + 1, score_limit);
                return;
            }
            now = std::chrono::steady_clock::now();
        }
        if (spin_score > 0) spin_score -= 2;  // in vain
        sleep();
        if (std::chrono::steady_clock::now() - now < short_wait) {
            spin_score = std::min(std::max(spin_score, 0) + 1, score_limit);
        } else {
            spin_score = 0;
        }
    }

  private:
    enum class state : unsigned char { running, sleeping, done };

    void sleep() noexcept {
        state seen = state::running;
        if (!state_.compare_exchange_strong(seen, state::sleeping, std::memory_order_acq_rel, std::memory_order_acquire)) return;  // [B1]
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return woken_; });
    }
    static void tell(waiter& self) noexcept {
        auto& me = static_cast<blocked_thread&>(self);
        if (me.state_.exchange(state::done, std::memory_order_acq_rel) != state::sleeping) return;  // [B1]
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

bool run_to_end(spawned_context& task, rt::scheduler* scheduler) {
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
        if (!accept_task(*scheduler, task, nullptr)) return false;
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
    return true;
}

}  // namespace peal::detail
