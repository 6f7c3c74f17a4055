// SPDX-License-Identifier: MIT
#pragma once

// pool: a fixed number of worker threads, each with its own io_uring, that resume coroutines.

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <peal/detail/door.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/error.hpp>
#include <peal/pool/counts.hpp>
#include <peal/pool/metrics.hpp>
#include <peal/task/share.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/task.hpp>
#include <peal/task/unhandled.hpp>
#include <peal/task/when_full.hpp>

namespace peal {

/// What there is one worker for, where nothing says how many.
enum class one_per : unsigned char {
    cpu,   // logical CPU, also called hardware thread
    core,  // physical core: where a core has several CPUs, its first of those that may be used, and the others are left alone
};

/// Which CPUs the workers are pinned to, one each; by hand: pool_options::pin_to_cpus. Only CPUs that the process may use, by its affinity.
enum class placement : unsigned char {
    anywhere,  // none: the system moves workers as it sees fit
    pack,      // close together: a core, its neighbours at the same cache, their NUMA node, and only then the next. Few workers share a cache
    spread,    // far apart: NUMA nodes and packages take turns, in each its caches, then its cores; a core gets its second worker when each
               // has one. Few workers have all caches and memory controllers to themselves
};

/// By what workers reach the outside.
enum class driver_choice : unsigned char {
    automatic,  // io_uring; where the system refuses it (containers by default, old kernels, limits): epoll, and a line on standard error says why.
                // The environment may say more: PEAL_DRIVER=uring, or epoll
    uring,      // or the pool is not made, and the error says why
    epoll,      // the same results, by more system calls
};

/// Who may hand operations to a worker's ring and take their completions from it.
enum class ring_mode : unsigned char {
    shared,     // under its lock, any worker: so another one can go on with the I/O of a worker that is stuck in a task
    exclusive,  // its worker only (SINGLE_ISSUER and DEFER_TASKRUN, Linux 6.1), and the kernel does nothing for a ring before its worker asks. Measure it: on
                // two virtual CPUs an echo over 64 connections took 3.93 us of CPU time a request shared, and 4.12 exclusive. A kernel that refuses it
                // gives a shared ring
};

/// A task that keeps its worker: it computes, or blocks the thread, and awaits nothing. Its worker's other tasks and its ring are served by others meanwhile.
class PEAL_EXPORT stall {
  public:
    stall() {}
    std::string pool;                     // name of the pool
    unsigned worker = 0;                  // size() stands for the spare worker
    std::chrono::nanoseconds length{0};   // until now
    std::string task;                     // its name; "" if it has none, or cannot be seen
    std::string spawned_at;               // "file:line"; "" if it is not known
    bool all_workers = false;             // all of the pool are kept by such tasks
    std::string to_string() const;
};

/// How a pool is made. Set what you need; the rest has sensible values.
class pool_options {
  public:
    /// 0 workers: one per CPU, or per core (`one_per`), of those that this process may use by its affinity, but no more than its cgroup's
    /// quota of CPU time, rounded up, and at most 1024.
    explicit pool_options(unsigned worker_count = 0) : workers(worker_count) {}

    unsigned workers;                  // at most 1024. With one, and no spare worker, one thing runs at a time
    std::string name = "peal";         // thread names are "name/index", cut to 15 characters by the system

    // Where workers run. A worker that is pinned has its ring and its tasks in memory near its CPU. Programs that it starts, and threads that
    // its tasks make, inherit its CPU; those of peal::blocking() do not. If the CPU is taken from the machine later, the system moves
    // the worker to others and says nothing.
    peal::one_per one_per = peal::one_per::cpu;                   // with a number of workers, it matters for `placement` only
    peal::placement placement = peal::placement::anywhere;        // more workers than CPUs or cores: it begins again with the first
    std::vector<int> pin_to_cpus;                                 // worker i runs on CPU pin_to_cpus[i % size]; not beside a placement

    driver_choice driver = driver_choice::automatic;

    // How many tasks may wait for their turn: accepted, and not begun. All of them count; those that the pool's own tasks spawn are never held up (a pool whose tasks wait
    // for each other's places stands still): they ask by try_spawn(), or wait by submit(). Threads
    // outside do not sum up each time: they may exceed it by as many as there are of them, and by what tasks of the pool have spawned since one of them did.
    std::size_t max_pending = 100'000;               // 0: no bound
    std::array<std::size_t, 3> max_pending_of{};     // by peal::priority, besides; 0: none of its own. For a group: make_share()
    peal::when_full when_full = peal::when_full::wait;

    unsigned blocking_threads = 64;    // at most so many for peal::blocking(), made when needed; more calls wait
    peal::ring_mode ring_mode = peal::ring_mode::shared;
    unsigned ring_entries = 256;       // submission entries per worker, rounded up to a power of two, 8 to 4096

    std::function<void(unsigned index)> on_worker_start;  // in the worker's thread, before its first task; must not throw
    std::function<void(unsigned index)> on_worker_stop;   // after its last

    peal::unhandled unhandled = peal::unhandled::report;  // a task fails that nobody awaits
    /// Gets the exception of such a task, unless it is only to be counted. Default: one line on standard error with its name, the place where it was spawned and
    /// what(), at most ten per second. Called in a worker, or by the thread that drops the handle of a task that has failed already. Should not throw: what it
    /// throws is told on standard error, and the failure as by default.
    std::function<void(std::exception_ptr failure, const context& task)> on_unhandled;

    // A worker that does not come back from a task. After `rescue_after` to twice that (0: never; else at least 200 us) other workers steal what waits for it, submit
    // to its ring, take its completions and fire its timers. What is pinned to it (schedule_on) waits, and so do sleeps and limits that were set since it was resumed.
    // It takes a thread that sleeps while all is well, a descriptor per worker, and three for all. ring_mode::exclusive: its queue and timers only.
    std::chrono::nanoseconds rescue_after = std::chrono::milliseconds(1);
    // One more worker, which rests until all others are kept: then it serves. this_worker::index() gives size() there, and so do the callbacks, when it serves for the
    // first time. Default: there is one, unless there is one worker only. (It would run things beside what keeps that worker, and many count on it that a pool of one
    // runs one thing at a time.) It takes a thread, a ring and three descriptors.
    std::optional<bool> spare_worker;
    /// Gets what is told of it after `report_after` (0: never), once for each time. Default: a line on standard error, at most one per second, and the environment
    /// may say after how many milliseconds: PEAL_STALL_MS, 0 for never. Called in a thread of the pool's own, which rescues nobody meanwhile: must not throw, block,
    /// or end the pool. Time that the worker's thread waits for a CPU does not count. Nothing is told with `rescue_after` 0.
    std::chrono::nanoseconds report_after = std::chrono::milliseconds(10);
    std::function<void(const stall&)> on_stall;

    std::chrono::milliseconds drain_timeout{2000};  // shutdown: tasks may end by themselves so long
    std::chrono::milliseconds stop_timeout{5000};   // shutdown: then they are asked to stop and may take so long
};

class shutdown_report {
  public:
    shutdown_report() {}
    bool drained = false;                  // everything ended before anything was asked to stop
    std::uint64_t canceled = 0;            // tasks that ended after they were asked to stop
    std::vector<std::string> not_stopped;  // tasks that did not end: "name (spawned at file:line)", or "unnamed task"
};

namespace detail {

/// Moves the awaiting coroutine to `target`; it resumes on one of its workers.
class [[nodiscard("schedule() does nothing until it is awaited")]] schedule_operation : work_item {
  public:
    explicit schedule_operation(rt::scheduler& target) noexcept : target_(&target) {}
    schedule_operation(rt::scheduler& target, std::optional<priority> urgency) noexcept : target_(&target), urgency_(urgency) {}
    schedule_operation(rt::scheduler& target, unsigned index) noexcept : target_(&target), index_(index) {}
    schedule_operation(const schedule_operation&) = delete;
    schedule_operation& operator=(const schedule_operation&) = delete;

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        handle = awaiting;
        owner = &awaiting.promise().owner();
        owner->set_scheduler(target_);
        if (urgency_) owner->set_priority(*urgency_);
        if (index_ == any_worker) {
            enqueue(*target_, *this);
        } else {
            enqueue_on(*target_, index_, *this);
        }
    }
    void await_resume() const noexcept {}

  private:
    static constexpr unsigned any_worker = ~0u;
    rt::scheduler* target_;
    unsigned index_ = any_worker;
    std::optional<priority> urgency_;
};

/// Awaits a task without taking its value or exception yet.
template <class T>
class [[nodiscard]] settle_operation {
  public:
    explicit settle_operation(task_awaiter<T>& awaited) noexcept : awaited_(awaited) {}
    bool await_ready() const noexcept { return awaited_.await_ready(); }
    template <peal_promise Promise>
    transfer await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return awaited_.await_suspend(awaiting);
    }
    void await_resume() const noexcept {}

  private:
    task_awaiter<T>& awaited_;
};

/// A place for a task that asks and does not wait, until this goes.
class asked_place final : public door_waiter {
  public:
    asked_place(rt::scheduler& pool, const spawn_options& options) noexcept
        : door_waiter(nullptr, kind::task, wish::room, priority_when_spawned(options), share_when_spawned(options).state()), pool_(pool), is_in_(ask_to_come_in(pool, *this)) {}
    ~asked_place() {
        if (has_place()) give_place_back(pool_, *this);
    }
    bool is_in() const noexcept { return is_in_; }

  private:
    rt::scheduler& pool_;
    const bool is_in_;
};

/// Function and arguments lie in its frame until there is room.
template <class Function, class... Arguments>
task<join_handle<spawned_value<Function, Arguments...>>> submit_call(rt::scheduler& target, spawn_options options, Function function,
                                                                     std::tuple<Arguments...> arguments) {
    door_operation room(target, door_waiter::wish::room, priority_when_spawned(options), share_when_spawned(options).state(), "submit");
    co_await room;
    co_return std::apply(
        [&](Arguments&... unpacked) {
            return start_spawned(target, nullptr, make_spawned(options, &target, std::move(function), static_cast<Arguments&&>(unpacked)...), &room);
        },
        arguments);
}

template <class Function, class... Arguments>
task<std::invoke_result_t<Function, Arguments...>> call_on(rt::scheduler& target, Function& function,
                                                           std::tuple<Arguments...>& arguments) {
    co_await schedule_operation(target);
    co_return std::apply(
        [&function](Arguments&... unpacked) -> decltype(auto) {
            return std::invoke(std::move(function), static_cast<Arguments&&>(unpacked)...);
        },
        arguments);
}

template <class Function, class... Arguments>
task<std::invoke_result_t<Function, Arguments...>> offload_call(rt::scheduler& target, Function function,
                                                                std::tuple<Arguments...> arguments) {
    rt::scheduler* home = current_scheduler();
    task<std::invoke_result_t<Function, Arguments...>> call = call_on<Function, Arguments...>(target, function, arguments);
    auto awaited = std::move(call).operator co_await();
    co_await settle_operation<std::invoke_result_t<Function, Arguments...>>(awaited);
    if (home != nullptr && home != &target) co_await schedule_operation(*home);
    co_return awaited.await_resume();
}

}  // namespace detail

/// Worker threads, made once and reused, that run coroutines and their I/O.
///
/// Threads:   every member may be called from any thread, except that run(), shutdown() and the destructor must not be called
///            on one of its own workers (asserted): they would wait for themselves.
/// Signals:   workers block all of them, so handlers run on the program's own threads. A program that a task starts by
///            system calls of its own inherits that mask; one that it starts by process::start() does not.
/// Lifetime:  tasks of other pools that moved here must have left before it is destroyed.
/// Errors:    the constructor throws std::system_error with a message that says what was tried, what the system answered and
///            what to set, if no ring can be made or a CPU cannot be had; std::invalid_argument if options contradict each other.
/// Example:   examples/echo_server.cpp
class PEAL_EXPORT pool {
  public:
    pool();
    explicit pool(pool_options options);
    pool(const pool&) = delete;
    pool& operator=(const pool&) = delete;
    /// shutdown() with the options' timeouts; what did not stop is named on standard error.
    ~pool();

    /// From here on: on a worker of this pool. From one of its workers: at the back of that worker's queue.
    [[nodiscard("schedule() does nothing until it is awaited")]] detail::schedule_operation schedule() noexcept { return detail::schedule_operation(*scheduler_); }
    /// The same, and from here on with that priority: the task, or the part of it that is in a timeout(), when_all() or the like.
    [[nodiscard("schedule() does nothing until it is awaited")]] detail::schedule_operation schedule(priority urgency) noexcept {
        return detail::schedule_operation(*scheduler_, std::optional(urgency));
    }
    /// The same, for one worker: no other will take it. Requires: index < size() (asserted).
    ///
    /// That holds for this one step, until the task awaits what is not ready. From then on it goes on where it is woken: after I/O and
    /// sleeping on this worker, or on another that steals it while this one is busy; after a channel, a mutex or another task on the worker
    /// of whoever wakes it; woken by a thread of the program, on any. What must stay here awaits schedule_on() again afterwards.
    [[nodiscard("schedule() does nothing until it is awaited")]] detail::schedule_operation schedule_on(unsigned index) noexcept {
        return detail::schedule_operation(*scheduler_, index);
    }

    /// Starts `fn(args...)` (a coroutine that returns a task, or a plain function) or a task beside the caller.
    ///
    /// Function and arguments are kept until it ends: copies, or moved from rvalues. An lvalue that can be neither copied nor moved
    /// (a pool, a scope) is passed by reference and must outlive the task, as anything in a std::ref().
    /// Errors: operation_canceled if the pool is shutting down; while it drains, its own tasks may still spawn. From a thread that is no worker of this pool, if as many tasks
    /// wait for their turn as may: see pool_options::when_full; a worker of another pool is not blocked, but gets resource_unavailable_try_again.
    template <class Function, class... Arguments>
        requires(!std::same_as<std::decay_t<Function>, spawn_options>)
    auto spawn(Function&& function, Arguments&&... arguments) {
        return spawn(detail::unnamed_options(), std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    }
    template <class Function, class... Arguments>
    auto spawn(const spawn_options& options, Function&& function, Arguments&&... arguments) {
        return detail::start_spawned(*scheduler_, nullptr,
                                     detail::make_spawned(options, scheduler_, std::forward<Function>(function),
                                                          std::forward<Arguments>(arguments)...));
    }

    /// Starts `fn(args...)` for who must not wait, and would rather know: an error instead of a task, if as many wait for their turn as may (resource_unavailable_try_again), or if the
    /// pool has stopped accepting (operation_canceled). For want of room nothing is moved from. Any thread or task.
    /// Throws: what making the task throws.
    template <class Function, class... Arguments>
        requires(!std::same_as<std::decay_t<Function>, spawn_options>)
    auto try_spawn(Function&& function, Arguments&&... arguments) {
        return try_spawn(detail::unnamed_options(), std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    }
    template <class Function, class... Arguments>
    auto try_spawn(const spawn_options& options, Function&& function, Arguments&&... arguments)
        -> result<join_handle<detail::spawned_value<Function, Arguments...>>> {
        detail::asked_place place(*scheduler_, options);
        if (!place.is_in()) return full();
        auto* made = detail::make_spawned(options, scheduler_, std::forward<Function>(function), std::forward<Arguments>(arguments)...);
        if (detail::accept_task(*scheduler_, *made, nullptr, &place) != detail::acceptance::accepted) {
            made->abandon();
            return stopped();
        }
        return join_handle<detail::spawned_value<Function, Arguments...>>(made);
    }

    /// `co_await pool.submit(fn, args...)` waits for room, and spawns then; gives the join_handle. Who waited longest goes first, within a priority.
    ///
    /// Cancellation: ends with operation_canceled, and nothing was spawned.   Lifetime: function and arguments as for spawn(); the pool outlives whoever waits here.
    template <class Function, class... Arguments>
        requires(!std::same_as<std::decay_t<Function>, spawn_options>)
    auto submit(Function&& function, Arguments&&... arguments) {
        return submit(detail::unnamed_options(), std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    }
    template <class Function, class... Arguments>
    auto submit(const spawn_options& options, Function&& function, Arguments&&... arguments) {
        static_assert(detail::can_be_kept<Function, Arguments...>, "submit(fn, args...): an argument can only be moved: write std::move(x), or std::ref(x) to lend it");
        return detail::submit_call<std::decay_t<Function>, detail::kept_argument<Arguments>...>(
            *scheduler_, options, std::forward<Function>(function), std::tuple<detail::kept_argument<Arguments>...>(std::forward<Arguments>(arguments)...));
    }

    /// `co_await pool.drained()`: until no task waits for its turn, or the pool has shut down. Those that have begun may still run.
    /// Lifetime: the pool outlives whoever waits here.
    [[nodiscard("drained() does nothing until it is awaited")]] detail::door_operation drained() noexcept {
        return detail::door_operation(*scheduler_, detail::door_waiter::wish::drained, priority::normal, nullptr, "drained");
    }

    /// Starts `fn(args...)` or a task on this pool and blocks the calling thread until it has ended; gives its value or throws
    /// its exception.
    template <class Function, class... Arguments>
    auto run(Function&& function, Arguments&&... arguments) {
        return detail::run_and_take(detail::make_spawned(spawn_options("run", {}, std::source_location()), scheduler_, std::forward<Function>(function),
                                                         std::forward<Arguments>(arguments)...),
                                    scheduler_);
    }

    /// `co_await pool.offload(fn, args...)` calls a plain function on a worker of this pool. Its result or exception comes back,
    /// and so does the caller: to the pool it came from. (Called in this pool, it goes on where the function ran.)
    ///
    /// Fairness: the function keeps its worker until it returns, and others do that one's work meanwhile (pool_options::rescue_after). One that computes for more than
    /// a millisecond belongs on another pool than the one that serves I/O, or is divided: fork_join(), parallel_for(), yield().
    template <class Function, class... Arguments>
    auto offload(Function&& function, Arguments&&... arguments) {
        static_assert(detail::can_be_kept<Function, Arguments...>,
                      "offload(fn, args...): an argument can only be moved: write std::move(x), or std::ref(x) to lend it");
        static_assert(!detail::can_be_kept<Function, Arguments...> || detail::spawnable<Function, Arguments...>,
                      "offload(fn, args...): fn cannot be called with copies of the arguments as rvalues; use std::ref for a "
                      "parameter that is a non-const reference");
        static_assert(!detail::is_task<std::invoke_result_t<std::decay_t<Function>, detail::kept_argument<Arguments>...>>,
                      "offload(fn, args...): fn is a coroutine, calling it would only make its task; use spawn(fn, args...)");
        return detail::offload_call<std::decay_t<Function>, detail::kept_argument<Arguments>...>(
            *scheduler_, std::forward<Function>(function),
            std::tuple<detail::kept_argument<Arguments>...>(std::forward<Arguments>(arguments)...));
    }

    /// A group of tasks that gets its part of the workers' time: see peal::share. All tasks that are in none weigh 100 together.
    /// `max_pending`: as that of the pool, for this group; 0: no bound of its own.
    /// Errors: std::invalid_argument if the weight is not 1 to 10,000; std::length_error for more than 64 in one pool.
    share make_share(unsigned weight, std::size_t max_pending = 0);

    /// Number of workers.
    unsigned size() const noexcept;
    /// The CPU that a worker is pinned to; none if the system decides. Requires: index < size() (asserted).
    std::optional<int> cpu_of(unsigned index) const noexcept;
    /// By what worker `index` reaches the outside: "uring" or "epoll".
    const char* driver_of(unsigned index) const noexcept;
    pool_counts counts() const noexcept;

    /// Stops accepting tasks from outside, lets those that run end by themselves until `drain` (they may still spawn), then asks
    /// them to stop, waits until `stop`, and says which did not. Those are abandoned: they never run again and their memory is
    /// never freed. Idempotent; the pool is of no use after.
    shutdown_report shutdown(std::chrono::milliseconds drain, std::chrono::milliseconds stop);
    /// Asks every task of the pool to stop, and goes on accepting. A stop is never taken back: whatever such a task awaits from then
    /// on ends with operation_canceled, in its clean-up, too.
    void request_stop() noexcept;
    /// What it and its workers have done and do, see pool_metrics. Any thread; stops nobody. Allocates.
    pool_metrics metrics() const;

    /// The pool of the calling worker; null on any other thread.
    static pool* current() noexcept;

    rt::scheduler& scheduler() noexcept { return *scheduler_; }

    /// For peal::simulation: a pool without threads.
    class simulated_tag {
        friend class simulation;
        simulated_tag() {}
    };
    pool(simulated_tag, pool_options options);

    class core;

  private:
    friend class simulation;

    static peal::error full();
    static peal::error stopped();

    std::unique_ptr<core> core_;
    rt::scheduler* scheduler_;
};

namespace this_worker {

/// Index of the calling worker in its pool; none on any other thread. It is size() on the spare worker (pool_options::spare_worker), so a table with an entry for
/// each worker has size() + 1. schedule_on() of that index leads to any worker.
PEAL_EXPORT std::optional<unsigned> index() noexcept;

}  // namespace this_worker

/// pool::current()->spawn(...) for code that does not know its pool. Requires: called on a worker (asserted).
template <class Function, class... Arguments>
auto spawn(Function&& function, Arguments&&... arguments) {
    pool* current = pool::current();
    PEAL_ASSERT(current != nullptr, "peal::spawn() called outside a pool: use pool.spawn()");
    return current->spawn(std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

}  // namespace peal
