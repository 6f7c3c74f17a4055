// SPDX-License-Identifier: MIT

#include <peal/task/sync_wait.hpp>

#include <mutex>
#include <utility>

#include <peal/detail/this_thread.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "scheduler.hpp"

namespace peal::detail {

namespace {

class blocked_thread final : public waiter {
  public:
    blocked_thread() noexcept : waiter(&blocked_thread::tell) {}

    bool done() noexcept {
        std::lock_guard guard(mutex_);
        return done_;
    }
    void block() noexcept {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return done_; });
    }

  private:
    static void tell(waiter& self) noexcept {
        auto& me = static_cast<blocked_thread&>(self);
        std::lock_guard guard(me.mutex_);
        me.done_ = true;
        me.changed_.notify_one();  // under the lock: block() returns, and the object goes, only after we have let go of it
    }

    detail::thread_mutex mutex_;  // guards done_
    detail::thread_condition changed_;
    bool done_ = false;
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
