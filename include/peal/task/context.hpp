// SPDX-License-Identifier: MIT
#pragma once

// context: what a task and everything it awaits have in common: stop state, deadline, and by the task it belongs to a name, a priority
// and the place where it was spawned.
//
// One context per spawned task (spawned_context), and one per part of a task that can be stopped by itself (a branch: what timeout()
// and when_all() await, detail/branch.hpp). The promise of every coroutine in an await chain points to its context, so a leaf reaches
// it with one load. Only one leaf of a chain is suspended at a time, and the cancel slot names it.
//
// field     written by                        order
// slot_     leaf (arm, disarm), any thread    [C1] arm: release CAS 0 -> leaf; request_stop: acq_rel exchange -> stop bit: the
//           (request_stop)                         stopper sees the leaf's fields. disarm: acq_rel CAS leaf -> 0; if it fails,
//                                                  the stopper has taken the leaf and will call its cancel function: the leaf
//                                                  must stay alive until that has happened.
// apart_    whoever begins or ends a child apart,     guarded by apart_lock_. Who begins one looks for the stop after that, request_stop()
//           request_stop                              looks here after it has set it: one of the two sees the other.
// join_     joiner, completer                 [C2] acq_rel exchange / CAS: the joiner sees the result, exactly one wakes it.
// refs_     holders                           [C3] acq_rel: the last holder sees what the others did.
// priority_ who runs it                       [C4] relaxed: a child that begins apart takes over what it finds, orders nothing
// The rest is fixed before the task starts, or touched only by the thread that runs the task.

#include <chrono>
#include <concepts>
#include <coroutine>
#include <cstdint>
#include <exception>
#include <optional>
#include <source_location>

#include <peal/detail/atomic.hpp>
#include <peal/detail/config.hpp>
#include <peal/detail/frame_memory.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/task_list.hpp>
#include <peal/detail/work_item.hpp>
#include <peal/task/share.hpp>

namespace peal::rt {
class glance;
class scheduler;
class worker;
}

namespace peal {

class stop_handle;

/// Which of several ready tasks a worker takes first. Among 8 tasks it runs at least one normal one that waits, among 64 at least one low one.
enum class priority : std::uint8_t { high, normal, low };

/// Says more about a task when it is spawned: `scope.spawn(peal::spawn_options("session"), session, stream)`.
class spawn_options {
  public:
    /// `name` must outlive the task (a string literal). It appears in reports, with the place where the options were made.
    /// Without a priority it has that of the task that spawns it.
    explicit spawn_options(const char* name = "", std::optional<priority> urgency = {},
                           std::source_location location = std::source_location::current()) noexcept
        : name_(name), priority_(urgency), location_(location) {}
    /// In a group of tasks with a weight, or in none: peal::share(). Where the options do not say, it is in that of the task that spawns it.
    template <std::same_as<peal::share> Share>
    spawn_options(const char* name, Share group, std::optional<priority> urgency = {},
                  std::source_location location = std::source_location::current()) noexcept
        : name_(name), priority_(urgency), says_share_(true), location_(location), share_(group) {}

    const char* name() const noexcept { return name_; }
    std::optional<peal::priority> priority() const noexcept { return priority_; }
    peal::share share() const noexcept { return share_; }
    bool says_share() const noexcept { return says_share_; }
    const std::source_location& location() const noexcept { return location_; }

  private:
    const char* name_;
    std::optional<peal::priority> priority_;
    bool says_share_ = false;
    std::source_location location_;
    peal::share share_;
};

namespace detail {

/// Of spawn(fn, args...): a place in the caller cannot be had there (nothing can follow a pack of arguments), so it says line 0.
inline spawn_options unnamed_options() noexcept { return spawn_options("", {}, std::source_location()); }

/// A suspended leaf that can be asked to end early. The function is called at most once, by the thread that asks.
struct alignas(8) cancelable {
    using cancel_function = void (*)(cancelable&) noexcept;
    explicit cancelable(cancel_function cancel) noexcept : cancel(cancel) {}
    cancel_function cancel;
};

enum class outcome : std::uint8_t { running, value, failed, canceled };

class claim;
class fork_branch;
class fork_group;
class spawned_context;

}  // namespace detail

class PEAL_EXPORT context {
  public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr time_point no_deadline = time_point::max();

    context(const context&) = delete;
    context& operator=(const context&) = delete;

    /// Any thread, while the context lives. Reaches the suspended leaf, or the next one that would suspend. Idempotent.
    void request_stop() noexcept;
    bool stop_requested() const noexcept {
        return (slot_.load(std::memory_order_relaxed) & stop_bit) != 0;  // a hint: arm() decides
    }

    const char* name() const noexcept;
    peal::priority priority() const noexcept { return priority_.load(std::memory_order_relaxed); }  // [C4]
    /// On the thread that runs it, before it goes to a queue: schedule(priority).
    void set_priority(peal::priority urgency) noexcept { priority_.store(urgency, std::memory_order_relaxed); }  // [C4]
    /// No share for most tasks.
    peal::share share() const noexcept;
    const std::source_location& spawn_location() const noexcept;
    /// The earliest that was set around the running code; a child of a scope has that of the scope's task.
    time_point deadline() const noexcept;
    /// The earliest within the same spawned task, or within the same shield: what sets it will stop this.
    time_point own_deadline() const noexcept { return deadline_; }

    // ---- for awaitables -------------------------------------------------------------------------------------------------
    /// Names `leaf` as what the chain is suspended on. False: a stop was requested; do not suspend, end as canceled.
    [[nodiscard]] bool arm(detail::cancelable& leaf) noexcept {
        std::uintptr_t expected = 0;
        if (slot_.compare_exchange_strong(expected, address(leaf), std::memory_order_release,
                                          std::memory_order_relaxed)) {  // [C1]
            return true;
        }
        PEAL_ASSERT(expected == stop_bit, "two operations of one task wait at the same time: spawn one of them");
        return false;
    }
    /// False: a stopper has taken the leaf; its cancel function runs or will run.
    [[nodiscard]] bool disarm(detail::cancelable& leaf) noexcept {
        std::uintptr_t expected = address(leaf);
        return slot_.compare_exchange_strong(expected, 0, std::memory_order_acq_rel, std::memory_order_acquire);  // [C1]
    }

    /// Ends what the chain is suspended on early, without asking the task to stop. For a limit on that one operation.
    /// False if it is suspended on nothing, or was asked to stop.
    bool stop_leaf() noexcept;

    /// The pool it runs on; null for a task of sync_wait() that has not entered a pool.
    rt::scheduler* scheduler() const noexcept { return scheduler_; }
    void set_scheduler(rt::scheduler* scheduler) noexcept { scheduler_ = scheduler; }

    /// A child of fork_join() runs apart from the chain, from here to there. Any thread.
    void add_apart(detail::fork_branch& child) noexcept;
    void remove_apart(detail::fork_branch& child) noexcept;
    /// Asks the children of `group` that run apart to stop; of null: all of them.
    void stop_apart(const detail::fork_group* group) noexcept;

    /// The alternative of a select() that this runs in, or null.
    detail::claim* claim() const noexcept { return claim_; }

    /// The spawned task that this is, or is a part of.
    const detail::spawned_context& root() const noexcept { return *task_; }
    /// Where that is kept, for who must not touch the object itself (runtime/task/glance.hpp).
    static const detail::spawned_context* context::*root_member() noexcept { return &context::task_; }

    /// Called by the outermost coroutine when it has ended, on the thread that ran it. May destroy `*this`. Gives the coroutine that
    /// goes on with this thread; null if none does.
    [[nodiscard]] virtual std::coroutine_handle<> ended() noexcept = 0;

  protected:
    context(const detail::spawned_context* task, rt::scheduler* scheduler) noexcept : task_(task), scheduler_(scheduler) {}
    ~context() = default;

    /// Before it starts: belongs to the same task as `parent`, and runs where that runs.
    void inherit(const context& parent) noexcept { inherit(parent, parent.scheduler_); }
    /// The same while `parent` runs, maybe on another thread, and moves itself to another pool.
    void inherit(const context& parent, rt::scheduler* scheduler) noexcept {
        task_ = parent.task_;
        scheduler_ = scheduler;
        deadline_ = parent.deadline_;
        claim_ = parent.claim_;
        set_priority(parent.priority());
        is_shared_ = parent.is_shared_;
        scope_counts_ = parent.scope_counts_;
    }
    /// Before it starts: its root has a share.
    void set_shared() noexcept { is_shared_ = true; }
    void set_claim(detail::claim& of) noexcept { claim_ = &of; }
    void set_deadline(time_point when) noexcept { deadline_ = when; }
    /// What is set around it does not count in it, also what is set around the scope of its task.
    void shut_out_deadlines() noexcept {
        deadline_ = no_deadline;
        scope_counts_ = false;
    }

    // A spawned_context's, which fills a gap of 4 bytes here: the running task, its handle, and stop_handles. With handle_bit when the task completes, the payload is
    // the handle's to drop.
    static constexpr std::uint32_t handle_bit = 1u << 30;
    detail::atomic<std::uint32_t> refs_{2 | handle_bit};

  private:
    /// Marks what runs apart below this, one after the other, until one is suspended on a leaf: takes that out of its slot.
    detail::cancelable* take_leaf_apart(const detail::fork_group* group) noexcept;
    detail::cancelable* take_leaf_to_stop() noexcept;

    static constexpr std::uintptr_t stop_bit = 1;
    static std::uintptr_t address(detail::cancelable& leaf) noexcept { return reinterpret_cast<std::uintptr_t>(&leaf); }

    detail::atomic<std::uintptr_t> slot_{0};  // see the table above
    const detail::spawned_context* task_;
    rt::scheduler* scheduler_;             // changes when it moves to another pool; only while it runs
    time_point deadline_ = no_deadline;    // set around this context; fixed before it starts, as are the next two
    detail::claim* claim_ = nullptr;
    bool scope_counts_ = true;             // so does the deadline of the scope in which the task was spawned
    detail::atomic<peal::priority> priority_{peal::priority::normal};
    bool is_shared_ = false;               // its task is in a share; fixed before it starts
    detail::spin_lock apart_lock_;
    detail::fork_branch* apart_ = nullptr;
};

/// The context of a child of fork_join() that runs apart from its siblings (detail/fork.hpp).
class detail::fork_branch final : public context {
  public:
    fork_branch(const fork_group& group, const context& parent, rt::scheduler* scheduler) noexcept
        : context(nullptr, nullptr), group_(group) {
        inherit(parent, scheduler);
    }

    /// Its coroutine tells its siblings, not the context.
    std::coroutine_handle<> ended() noexcept override;

  private:
    friend class peal::context;
    const fork_group& group_;
    fork_branch* next_apart_ = nullptr;      // guarded by the parent's apart_lock_
    fork_branch* previous_apart_ = nullptr;
};

namespace detail {

/// What the options say, or else the task that calls has. A share may be one of another pool: then a task that is spawned is in none.
PEAL_EXPORT peal::priority priority_when_spawned(const spawn_options& options) noexcept;
PEAL_EXPORT peal::share share_when_spawned(const spawn_options& options) noexcept;

/// When something was, in 48 bits of 32 ns: they come round after 104 days, so only lengths mean something. Or none.
class time_mark {
  public:
    time_mark() noexcept = default;
    explicit time_mark(std::uint64_t units) noexcept : units_(units) {}
    explicit time_mark(std::chrono::steady_clock::time_point when) noexcept : units_(units_of(when)) {
        if (units_ == 0) units_ = 1;
    }
    explicit operator bool() const noexcept { return units_ != 0; }
    std::uint64_t units() const noexcept { return units_; }
    std::chrono::nanoseconds until(std::chrono::steady_clock::time_point later) const noexcept {
        return std::chrono::nanoseconds(static_cast<std::int64_t>(((units_of(later) - units_) & mask) << 5));
    }

  private:
    static constexpr std::uint64_t mask = (std::uint64_t{1} << 48) - 1;
    static std::uint64_t units_of(std::chrono::steady_clock::time_point when) noexcept {
        return (static_cast<std::uint64_t>(std::chrono::nanoseconds(when.time_since_epoch()).count()) >> 5) & mask;
    }
    std::uint64_t units_ = 0;
};

/// The context of a task that was spawned, or runs by pool.run() or sync_wait().
class PEAL_EXPORT spawned_context : public context, public work_item, public in_frame_memory {
  public:
    // ---- for spawn, join_handle and sync_wait ---------------------------------------------------------------------------
    /// False: it has ended already. Otherwise `waiter` is told when it ends. Requires: no other waiter (asserted).
    [[nodiscard]] bool wait_for_end(waiter& waiter) noexcept;
    /// Takes the waiter back. False if it has been told or is about to be.
    [[nodiscard]] bool forget(waiter& waiter) noexcept;
    bool has_ended() const noexcept { return join_.load(std::memory_order_acquire) == join_ended; }  // [C2]
    /// The holder of the second reference takes its hands off; the task goes on.
    void release_handle() noexcept;
    /// A task that was never accepted is destroyed without having run.
    void abandon() noexcept;
    /// Whoever took the result or the exception says so; otherwise a failure goes to the pool's handler.
    void set_observed() noexcept { observed_ = true; }

    /// The list it was spawned into; fixed when it was accepted.
    const task_list* list() const noexcept { return list_; }
    const char* spawned_as() const noexcept { return name_; }
    const std::source_location& spawned_at() const noexcept { return location_; }
    peal::share root_share() const noexcept { return share_; }

    std::coroutine_handle<> ended() noexcept override;

    // ---- for who resumes it first, or never -----------------------------------------------------------------------------
    /// The item that begins a task, not one that goes on with it. Requires: has an owner.
    static bool is_beginning(const work_item& item) noexcept { return &item == &item.owner->root(); }
    /// It never begins: ends as canceled. As ended().
    std::coroutine_handle<> end_unbegun() noexcept;

  protected:
    spawned_context(const spawn_options& options, rt::scheduler* scheduler) noexcept
        : context(this, scheduler), name_(options.name()), location_(options.location()) {
        owner = this;
        take_over_from_spawner(options);
    }
    virtual ~spawned_context() = default;

    /// What the task ended with, null if with a value. Called once it has ended.
    virtual std::exception_ptr failure() const noexcept = 0;
    /// Destroys function, arguments, frame and result.
    virtual void drop_payload() noexcept = 0;
    /// In a handler: the exception that is being handled is what the task has ended with. Before its body runs.
    virtual void fail() noexcept = 0;

  private:
    friend class task_list;
    friend class rt::glance;
    friend class rt::scheduler;
    friend class rt::worker;
    friend class peal::stop_handle;

    static constexpr std::uintptr_t join_ended = 1;
    static constexpr std::uint32_t completed_bit = 1u << 31;
    static constexpr std::uint32_t count_mask = handle_bit - 1;

    /// Priority and share: what the options say, or else its.
    void take_over_from_spawner(const spawn_options& options) noexcept;
    time_mark timed_since() const noexcept { return time_mark(std::uint64_t{timed_high_} << 32 | timed_low_); }
    void set_timed_since(time_mark when) noexcept {
        timed_high_ = static_cast<std::uint16_t>(when.units() >> 32);
        timed_low_ = static_cast<std::uint32_t>(when.units());
    }
    void add_reference() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }  // the caller has one: orders nothing
    void release() noexcept;
    bool is_unobserved_failure() const noexcept;

    detail::atomic<std::uintptr_t> join_{0};
    outcome outcome_ = outcome::running;
    bool observed_ = false;
    // A time_mark, of one task in so many: when it was accepted, and from its beginning on, when it began. (A task is 160 bytes long. Every 32 more cost a tenth of a spawn.)
    std::uint16_t timed_high_ = 0;
    std::uint32_t timed_low_ = 0;

    const char* const name_;
    const std::source_location location_;
    peal::share share_;                     // fixed before it is accepted
    rt::scheduler* accepted_by_ = nullptr;  // the pool that counts it; null for sync_wait()

    task_list* list_ = nullptr;             // guarded by the list's lock, as are the links
    spawned_context* previous_ = nullptr;
    spawned_context* following_ = nullptr;
};

}  // namespace detail

inline const char* context::name() const noexcept { return task_->spawned_as(); }
inline const std::source_location& context::spawn_location() const noexcept { return task_->spawned_at(); }
inline share context::share() const noexcept { return is_shared_ ? task_->root_share() : peal::share(); }

/// Asks one task to stop, from anywhere and at any time: also after it has ended, and after its join_handle is gone.
/// Threads: one at a time; copies are independent.
class stop_handle {
  public:
    explicit stop_handle(detail::spawned_context& task) noexcept : task_(&task) { task.add_reference(); }
    stop_handle(const stop_handle& other) noexcept : task_(other.task_) { task_->add_reference(); }
    stop_handle& operator=(const stop_handle& other) noexcept {
        other.task_->add_reference();
        task_->release();
        task_ = other.task_;
        return *this;
    }
    ~stop_handle() { task_->release(); }

    void request_stop() noexcept { task_->request_stop(); }

  private:
    detail::spawned_context* task_;
};

namespace this_task {

/// True once the calling task was asked to stop. False outside a task.
PEAL_EXPORT bool stop_requested() noexcept;
/// The name given at spawn, "" if none.
PEAL_EXPORT const char* name() noexcept;
/// The earliest of the deadlines and timeouts around the calling code; context::no_deadline if there is none.
PEAL_EXPORT context::time_point deadline() noexcept;

}  // namespace this_task
}  // namespace peal
