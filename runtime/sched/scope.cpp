// SPDX-License-Identifier: MIT

#include <peal/task/scope.hpp>

#include <peal/detail/this_thread.hpp>

#include "scheduler.hpp"

namespace peal {

rt::scheduler& scope::pool_of_caller() noexcept {
    rt::scheduler* scheduler = detail::current_scheduler();
    PEAL_ASSERT(scheduler != nullptr, "scope.spawn() called outside a pool: co_await pool.schedule() before it");
    return *scheduler;
}

scope::~scope() {
    if (children_.size() == 0) return;
    children_.request_stop_all();
    if (detail::this_thread.worker != nullptr) {
        detail::this_thread.worker->run_only(children_);
        return;
    }
    // A thread of the program that made the scope for tasks of a pool: it may block.
    struct ended final : detail::waiter {
        ended() noexcept : waiter(&ended::tell) {}
        static void tell(waiter& self) noexcept {
            auto& me = static_cast<ended&>(self);
            std::lock_guard guard(me.mutex);
            me.done = true;
            me.changed.notify_one();  // under the lock: the destructor goes on only after we have let go of it
        }
        std::mutex mutex;
        std::condition_variable changed;
        bool done = false;
    } all;
    if (!children_.wait_for_empty(all)) return;
    std::unique_lock lock(all.mutex);
    all.changed.wait(lock, [&all] { return all.done; });
}

void scope::join_operation::all_ended(detail::waiter& self) noexcept { static_cast<join_operation&>(self).happened(); }

void scope::join_operation::stop_children(detail::cancelable& self) noexcept {
    // The children are asked to stop; the join still waits for them. The operation and the scope stay alive until stop() below,
    // because the end of the last child then finds the slot taken and leaves the resumption to the second of the two.
    auto& join = static_cast<join_operation&>(self);
    join.stopped_ = true;
    join.joined_.request_stop();
    join.stop([] { return false; });
}

}  // namespace peal
