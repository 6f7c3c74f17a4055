// SPDX-License-Identifier: MIT
#pragma once

// scope: tasks that end before the block that started them does.

#include <peal/task/spawn.hpp>

namespace peal {

/// Owns the tasks that were spawned in it: none of them outlives it.
///
/// Leave it by `co_await tasks.join()`, which waits for them to end. A scope that is destroyed while tasks run (an exception, or a
/// forgotten join) asks them to stop and blocks until they have ended; meanwhile its worker runs these tasks. It runs others only
/// when for 20 ms none of these could go on: they may wait for something that another task of this worker has to do.
/// A child that fails costs that child: its exception goes to whoever awaits its join_handle, else to the pool's handler.
///
/// Threads:      spawn() and request_stop() any; join() and the destructor: one, and nobody spawns any more.
/// Cancellation: a canceled join() asks the children to stop and still waits for them, then reports operation_canceled.
/// Lifetime:     must end before the pool does, and before the task that made it. What the children refer to must be declared before the scope.
/// Allocates:    nothing itself; a child that has ended leaves nothing behind.
class PEAL_EXPORT scope {
  public:
    scope() noexcept : children_(detail::this_thread.current) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    ~scope();

    /// Starts `fn(args...)` on the pool of the calling task. Arguments as in pool::spawn().
    /// Requires: called by a task that runs on a pool (asserted).
    template <class Function, class... Arguments>
        requires(!std::same_as<std::decay_t<Function>, spawn_options>)
    auto spawn(Function&& function, Arguments&&... arguments) {
        return spawn(detail::unnamed_options(), std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    }
    template <class Function, class... Arguments>
    auto spawn(const spawn_options& options, Function&& function, Arguments&&... arguments) {
        rt::scheduler& scheduler = pool_of_caller();
        return detail::start_spawned(scheduler, &children_,
                                     detail::make_spawned(options, &scheduler, std::forward<Function>(function),
                                                          std::forward<Arguments>(arguments)...));
    }

    /// Asks all children to stop, and those that are spawned from now on.
    void request_stop() noexcept { children_.request_stop_all(); }
    /// Children that have not ended.
    std::size_t size() const noexcept { return children_.size(); }

    class join_operation;
    /// Waits until all children have ended.
    [[nodiscard("join() does nothing until it is awaited")]] join_operation join() noexcept;

  private:
    static rt::scheduler& pool_of_caller() noexcept;

    detail::task_list children_;
};

class [[nodiscard("join() does nothing until it is awaited")]] scope::join_operation : detail::leaf_operation, detail::waiter {
  public:
    explicit join_operation(scope& joined) noexcept
        : leaf_operation(&join_operation::stop_children), waiter(&join_operation::all_ended), joined_(joined) {}

    bool await_ready() const noexcept { return joined_.size() == 0; }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        bool suspended = suspend(awaiting, awaiting.promise().owner(), [this] { return joined_.children_.wait_for_empty(*this); });
        if (suspended || !was_canceled()) return suspended;
        // Asked to stop before it began: the children are asked too, and waited for without a cancel slot.
        stopped_ = true;
        expect_no_stopper();
        joined_.request_stop();
        return joined_.children_.wait_for_empty(*this);
    }
    void await_resume() const {
        if (stopped_) detail::throw_canceled("scope join");
    }

  private:
    static void all_ended(detail::waiter& self) noexcept;
    static void stop_children(detail::cancelable& self) noexcept;

    scope& joined_;
    bool stopped_ = false;
};

inline scope::join_operation scope::join() noexcept { return join_operation(*this); }

}  // namespace peal
