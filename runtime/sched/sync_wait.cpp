// SPDX-License-Identifier: MIT

#include <peal/task/sync_wait.hpp>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include <peal/detail/this_thread.hpp>

#include "scheduler.hpp"

namespace peal::detail {

namespace {

// done_   [B1] release store by whoever ends the task, acquire load by the blocked thread: it sees the result.
class blocked_thread final : public waiter {
  public:
    blocked_thread() noexcept : waiter(&blocked_thread::tell) {}

    bool done() const noexcept { return done_.load(std::memory_order_acquire) != 0; }  // [B1]
    void block() noexcept {
        while (!done()) ::syscall(SYS_futex, &done_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
    }

  private:
    static void tell(waiter& self) noexcept {
        auto& me = static_cast<blocked_thread&>(self);
        std::atomic<std::uint32_t>* word = &me.done_;
        me.done_.store(1, std::memory_order_release);  // [B1] from here on the object may be gone: only its address is used
        ::syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }

    std::atomic<std::uint32_t> done_{0};
};

}  // namespace

bool run_to_end(context& task, rt::scheduler* scheduler) {
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
                scheduler->drive()([&blocked] { return blocked.done(); });
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
