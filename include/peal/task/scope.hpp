// SPDX-License-Identifier: MIT
#pragma once

// scope: tasks that end before the block that started them does.

#include <exception>
#include <ranges>
#include <utility>
#include <vector>

#include <peal/task/spawn.hpp>

namespace peal {

/// What the failure of a child means for a scope.
enum class on_error : bool {
    stop_siblings,  // the first one stops the others, and join() throws it: the children do one thing together
    keep_going,     // it costs that child, and goes to the pool's handler: the children have nothing to do with each other
};

/// Owns the tasks that were spawned in it: none of them outlives it.
///
/// Leave it by `co_await tasks.join()`, which waits for them to end. A scope that is destroyed while tasks run (an exception, or a
/// forgotten join) asks them to stop and blocks until they have ended; meanwhile its worker runs these tasks. Of others it runs one every
/// 20 ms if nobody else can: it may be what a child waits for that takes no notice of the stop.
///
/// The failure of a child belongs to who awaits its join_handle when it ends, and else to the scope: see on_error. (A handle that is awaited
/// later throws it, too.) Being canceled is no failure. To limit how many children run, let each take a permit along:
///     tasks.spawn(fetch, co_await limit.acquire(), url);    // task<> fetch([[maybe_unused]] peal::semaphore::permit counted, std::string url)
///
/// Threads:      spawn() and request_stop() any; join() and the destructor: one, and nobody spawns any more.
/// Cancellation: a canceled join() asks the children to stop and still waits for them, then reports operation_canceled.
/// Lifetime:     must end before the pool does, and before the task that made it. What the children refer to must be declared before the scope.
/// Allocates:    nothing itself; a child that has ended leaves nothing behind, but for failures of one that stops its siblings.
class PEAL_EXPORT scope {
  public:
    explicit scope(on_error policy = on_error::stop_siblings) noexcept : children_(detail::this_thread.current, policy) {}
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

    /// Starts `fn(element)` for every element of `range`, all at once: what counts from some ten on, when each takes less than a few
    /// microseconds. Others are woken one after the other, as long as there is work for them.
    template <std::ranges::input_range Range, class Function>
        requires(!std::same_as<std::decay_t<Function>, spawn_options>)
    void spawn_bulk(Range&& range, const Function& function) {
        spawn_bulk(detail::unnamed_options(), std::forward<Range>(range), function);
    }
    template <std::ranges::input_range Range, class Function>
    void spawn_bulk(const spawn_options& options, Range&& range, const Function& function) {
        rt::scheduler& scheduler = pool_of_caller();
        struct batch {
            ~batch() { detail::enqueue_all(scheduler, items); }  // those that were accepted, also if a copy throws
            rt::scheduler& scheduler;
            detail::work_list items{};
        } started{scheduler};
        for (auto&& element : range) {
            auto* task = detail::make_spawned(options, &scheduler, function, std::forward<decltype(element)>(element));
            if (!detail::accept_only(scheduler, *task, &children_)) {
                task->abandon();
                detail::throw_refused(detail::acceptance::stopped);
            }
            started.items.push_back(*task);
            task->release_handle();
        }
    }

    /// Asks all children to stop, and those that are spawned from now on.
    void request_stop() noexcept { children_.request_stop_all(); }
    /// Children that have not ended.
    std::size_t size() const noexcept { return children_.size(); }

    class join_operation;
    /// Waits until all children have ended. Throws the first failure (on_error::stop_siblings).
    [[nodiscard("join() does nothing until it is awaited")]] join_operation join() noexcept;
    /// Those that came after the first, at most 64 (children that were stopped rarely fail); the pool's handler gets the others. After join().
    const std::vector<std::exception_ptr>& other_failures() const noexcept { return children_.others; }

  private:
    static rt::scheduler& pool_of_caller() noexcept;
    void wait_for_children() noexcept;

    /// The list of children, and their failures: guarded by `lock` while children run.
    class child_list : public detail::task_list {
      public:
        child_list(const context* owner, on_error policy) noexcept
            : task_list(owner, policy == on_error::stop_siblings ? &child_list::take : nullptr) {}
        detail::spin_lock lock;
        bool failed = false;
        std::exception_ptr first;
        std::vector<std::exception_ptr> others;

      private:
        static void take(task_list& self, std::exception_ptr failure, const context& task) noexcept;
    };

    child_list children_;
};

class [[nodiscard("join() does nothing until it is awaited")]] scope::join_operation : detail::registering_operation, detail::waiter {
  public:
    explicit join_operation(scope& joined) noexcept
        : registering_operation(&join_operation::stop_children), waiter(&join_operation::all_ended), joined_(joined) {}

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
        if (joined_.children_.first) std::rethrow_exception(std::exchange(joined_.children_.first, nullptr));
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
