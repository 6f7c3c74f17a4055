// SPDX-License-Identifier: MIT
#pragma once

// What fork_join() awaits: the children of one parent. The first runs at once on the parent's thread, in the parent's context; the others
// lie in the worker's fork_queue. A child that ends takes the next one back from there, if it is the newest, and hands the thread over to
// it: they run one after the other, as if each had been awaited, and the last goes on with the parent. Nothing atomic happens then.
//
// A child that another worker has taken, or that this one began while a sibling was suspended, runs apart: it gets a context of its own
// (fork_branch), which the parent's context knows and passes a stop on to. From then on the ends are counted: whoever counts last goes on
// with the parent. A line of children that ran one after the other counts once, when it comes to one that is not there any more.
//
// pending_   whoever ends   [G1] acq_rel: the last one sees what the others did
// failed_    whoever fails  [G2] relaxed: a hint not to begin more. To stop those that run apart: whoever fails writes it and then goes
//                           through them under apart_lock_; who begins one is entered there under that lock and then reads it.
// The rest is written by the parent before the first child is pushed ([K1] publishes it), or by the line of children in order.

#include <coroutine>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>

#include <peal/detail/atomic.hpp>
#include <peal/detail/fork_queue.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/detail/work_item.hpp>
#include <peal/task/context.hpp>
#include <peal/task/task.hpp>

namespace peal::detail {

class forked_task;

class fork_group : public work_item {
  public:
    fork_group() noexcept = default;
    fork_group(const fork_group&) = delete;
    fork_group& operator=(const fork_group&) = delete;

    void begin(std::coroutine_handle<> parent, context& task, std::uint32_t children) noexcept {
        PEAL_ASSERT(owner == nullptr, "fork_join() was awaited twice: make it anew for each");
        parent_ = parent;
        owner = &task;
        pending_.store(children, std::memory_order_relaxed);  // published with the children
    }
    std::coroutine_handle<> parent() const noexcept { return parent_; }

    /// So many children have ended. Gives the coroutine that goes on with this thread, if one does.
    PEAL_EXPORT std::coroutine_handle<> arrive(std::uint32_t children) noexcept;
    /// One has failed: what has not begun will not, and what runs apart is asked to stop.
    PEAL_EXPORT void fail() noexcept;
    bool has_failed() const noexcept { return failed_.load(std::memory_order_relaxed); }  // [G2]

    /// It is time to look at the ring, and others wait: the first child lines up behind them. False: go on.
    PEAL_EXPORT bool pause(std::coroutine_handle<> first) noexcept;

  private:
    std::coroutine_handle<> parent_;
    atomic<std::uint32_t> pending_{0};
    atomic<bool> failed_{false};
};

/// The first failure that says more than that its child was canceled, maybe only because another failed; else the first.
[[noreturn]] PEAL_EXPORT void rethrow_one_of(std::span<const std::exception_ptr> failures);

/// A child, and what runs after it on the same thread if that is still there.
struct fork_link : fork_place {
    fork_link() noexcept : fork_place{&fork_link::child_ended} {}
    inline static std::coroutine_handle<> child_ended(fork_place& place, bool failed) noexcept;

    fork_group* group = nullptr;
    forked_task* following = nullptr;
    std::uint32_t position = 0;  // siblings before it
};

/// A child that may be taken by others: any but the first.
class forked_task final : public fork_record, public fork_link, public work_item {
  public:
    forked_task() noexcept : fork_record(&forked_task::begin_apart, kind::task) {}
    ~forked_task() {}

    void set(promise_base& promise, std::coroutine_handle<> coroutine) noexcept {
        promise_ = &promise;
        handle = coroutine;
    }
    /// On the parent's thread. False: there is no worker, or its queue is full; it stays with its line.
    bool push(fork_queue* queue) noexcept { return is_pushed_ = queue != nullptr && queue->push(*this); }
    /// True: it belongs to the caller now.
    bool take_back() noexcept { return !is_pushed_ || (this_thread.forks != nullptr && this_thread.forks->take_back(*this)); }
    /// Taken back by its line: it runs in the parent's context.
    std::coroutine_handle<> begin_in_line() noexcept {
        promise_->set_owner(*group->owner);
        if (following != nullptr) {
            promise_->set_fork(*this);
        } else {
            promise_->set_continuation(group->parent());
        }
        return handle;
    }

    bool is_apart() const noexcept { return is_apart_; }
    /// The end of a child that ran apart.
    PEAL_EXPORT std::coroutine_handle<> ended_apart(bool failed) noexcept;

  private:
    PEAL_EXPORT static work_item* begin_apart(fork_record& taken) noexcept;

    promise_base* promise_ = nullptr;
    bool is_pushed_ = false;
    bool is_apart_ = false;
    union {
        fork_branch branch_;  // lives while it runs apart
    };
};

inline std::coroutine_handle<> fork_link::child_ended(fork_place& place, bool failed) noexcept {
    auto& here = static_cast<fork_link&>(place);
    if (here.position != 0) {
        if (auto& child = static_cast<forked_task&>(here); child.is_apart()) [[unlikely]] return child.ended_apart(failed);
    }
    std::uint32_t ended = here.position + 1;
    if (!failed && !here.group->has_failed()) [[likely]] {
        // The last one goes on with the parent by itself, so there is a following one.
        if (here.following->take_back()) [[likely]] return here.following->begin_in_line();
    } else {
        if (failed) here.group->fail();
        for (forked_task* skipped = here.following; skipped != nullptr && skipped->take_back(); skipped = skipped->following) ++ended;
    }
    return here.group->arrive(ended);
}

/// Elements of a loop to handle in one go, where the user says nothing: sixteen parts per worker, each of which divides again when others have
/// nothing to do.
PEAL_EXPORT std::size_t automatic_grain(std::size_t size) noexcept;

/// A function that was forked by join(): on the stack of whoever waits for it.
///
/// state_   [J1] done: release by the one who ran it; the waiter sees what it did. sleeping: release by the waiter, who wants to be woken;
///               the other one sees whom to wake. Afterwards seq_cst, as all of parking (runtime/sched/README.md).
class forked_call : public fork_record {
  public:
    /// True: it belongs to the caller now, and has not begun.
    bool take_back() noexcept { return !is_pushed_ || this_thread.forks->take_back(*this); }
    /// Others have taken it: helps them until it has ended.
    PEAL_EXPORT void wait() noexcept;
    bool has_ended() const noexcept { return state_.load(std::memory_order_seq_cst) == state::done; }  // [J1]
    const std::exception_ptr& failure() const noexcept { return failure_; }

  protected:
    using run_function = void (*)(forked_call&);
    explicit forked_call(run_function run) noexcept : fork_record(&forked_call::begin_apart, kind::call), run_(run) {}
    ~forked_call() = default;

    void push() noexcept;

  private:
    enum class state : std::uint32_t { running, sleeping, done };

    PEAL_EXPORT static work_item* begin_apart(fork_record& taken) noexcept;
    PEAL_EXPORT static void look_around() noexcept;

    run_function run_;
    context* owner_ = nullptr;
    atomic<state> state_{state::running};
    rt::worker* sleeper_ = nullptr;
    bool is_pushed_ = false;
    std::exception_ptr failure_;
};

inline void forked_call::push() noexcept {
    fork_queue* queue = this_thread.forks;
    if (queue == nullptr) return;
    if (--this_thread.forks_until_look == 0) [[unlikely]] look_around();
    owner_ = this_thread.current;
    is_pushed_ = queue->push(*this);
}

}  // namespace peal::detail
