// SPDX-License-Identifier: MIT

#include <peal/task/scope.hpp>

#include <mutex>
#include <new>

#include <peal/detail/this_thread.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "../task/unhandled.hpp"
#include "scheduler.hpp"

namespace peal {

rt::scheduler& scope::pool_of_caller() noexcept {
    rt::scheduler* scheduler = detail::current_scheduler();
    PEAL_ASSERT(scheduler != nullptr, "scope.spawn() called outside a pool: co_await pool.schedule() before it");
    return *scheduler;
}

void scope::child_list::take(task_list& self, std::exception_ptr failure, const context& task) noexcept {
    auto& list = static_cast<child_list&>(self);
    constexpr std::size_t kept = 64;
    bool is_first;
    bool is_kept;
    {
        std::lock_guard guard(list.lock);
        is_first = !std::exchange(list.failed, true);
        is_kept = list.owner() != nullptr && list.others.size() < kept;  // without a task nobody joins
        if (is_kept && is_first) list.first = failure;
        try {
            if (is_kept && !is_first) list.others.push_back(failure);
        } catch (const std::bad_alloc&) {
            is_kept = false;  // the handler gets it: it must not go unseen
        }
    }
    if (!is_kept) rt::report_unhandled(std::move(failure), task, task.scheduler());
    if (is_first) list.request_stop_all();
}

scope::~scope() {
    wait_for_children();
    // Nobody has joined: what a child failed with must not go unseen.
    if (children_.first) rt::report_unhandled(std::move(children_.first), *children_.owner(), children_.owner()->scheduler());
}

void scope::wait_for_children() noexcept {
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
        detail::thread_mutex mutex;
        detail::thread_condition changed;
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
