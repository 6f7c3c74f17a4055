// SPDX-License-Identifier: MIT
#pragma once

// branch: a part of a task that ends, and can be stopped, by itself. What timeout(), shield(), when_all() and their like await lies in a
// branch each; the branches of one such await form a branch_group, which lies in the frame of the task that waits for all of them.
//
// A branch has a context of its own, so its leaf is named in its own cancel slot. The slot of the waiting context names the group, which
// passes a stop on to its branches. The waiting coroutine is resumed after the last branch has ended and after the last use of the
// group by a stopper (as any leaf, detail/leaf_operation.hpp); so branches may be asked to stop at any time until then, by anyone who is
// counted in `held_`: a branch that has not ended, the coroutine that starts them, a timer that is armed.
//
// held_     branches, starter, timer   [B1] acq_rel: the last one sees what the others did, and goes on
// second_   last holder, stopper       [B2] acq_rel exchange: with a stopper underway, the second of the two resumes

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/detail/this_thread.hpp>
#include <peal/task/context.hpp>
#include <peal/task/task.hpp>

namespace peal::detail {

class branch_group;

class branch : public context {
  public:
    using context::set_claim;
    using context::set_deadline;
    using context::shut_out_deadlines;

    /// Before anybody may stop it.
    void prepare(branch_group& group, const context& parent) noexcept {
        inherit(parent);
        group_ = &group;
    }
    /// What it ended with, null if with a value.
    virtual std::exception_ptr failure() const noexcept = 0;

  protected:
    branch() noexcept : context(nullptr, nullptr) {}
    ~branch() = default;

    /// Runs the outermost coroutine on the calling thread until it suspends or ends.
    PEAL_EXPORT void run(std::coroutine_handle<> outermost) noexcept;

  private:
    std::coroutine_handle<> ended() noexcept override;

    branch_group* group_ = nullptr;
};

/// A branch that gives a T, with the task that runs in it.
template <class T>
class branch_of final : public branch {
  public:
    using value_type = T;

    branch_of() noexcept {}
    explicit branch_of(task<T>&& outermost) noexcept { set(std::move(outermost)); }
    ~branch_of() {
        if (coroutine_) coroutine_.destroy();
    }

    void set(task<T>&& outermost) noexcept {
        coroutine_ = outermost.release();
        PEAL_ASSERT(coroutine_, "an empty task was awaited: it was moved from or awaited before");
    }
    void start() noexcept {
        coroutine_.promise().set_owner(*this);
        run(coroutine_);
    }
    std::exception_ptr failure() const noexcept override { return coroutine_.promise().failure(); }
    T take() { return coroutine_.promise().take(); }

  private:
    std::coroutine_handle<typename task<T>::promise_type> coroutine_;
};

/// Not movable, and in a frame.
class PEAL_EXPORT branch_group : public work_item, public cancelable {
  public:
    branch_group(const branch_group&) = delete;
    branch_group& operator=(const branch_group&) = delete;

    /// On the thread that ran it. Gives the coroutine that goes on.
    std::coroutine_handle<> branch_ended(branch& which) noexcept;

  protected:
    enum class stops : bool { pass_on, stay_out };

    explicit branch_group(stops from_outside = stops::pass_on) noexcept
        : cancelable(&branch_group::stop_from_outside), from_outside_(from_outside) {}
    ~branch_group() = default;

    /// Before the branches start, which must be prepared. `holders`: branches, and a timer if there is one.
    void begin(std::coroutine_handle<> awaiting, context& parent, std::uint32_t holders) noexcept;
    /// All branches are started. False: all have ended, and the caller goes on here; otherwise it is suspended, and nothing of this may
    /// be touched.
    [[nodiscard]] bool all_started() noexcept;
    /// Branches that are not started. Before all_started().
    void skip(std::uint32_t branches) noexcept { held_.fetch_sub(branches, std::memory_order_relaxed); }  // the starter stays
    /// A holder that is no branch leaves, on any thread. Whoever is last resumes the waiting coroutine by a queue.
    void leave() noexcept;

    virtual void stop_branches() noexcept = 0;
    /// `which` has ended and is still counted. Gives the number of holders that leave with it: itself, and the timer if it was disarmed.
    virtual std::uint32_t note_end(branch& which) noexcept = 0;

    context& parent() const noexcept { return *owner; }

  private:
    static void stop_from_outside(cancelable& self) noexcept;
    /// The last holder has left. True: the waiting coroutine goes on; else the stopper will see to it.
    bool may_resume() noexcept;

    detail::atomic<std::uint32_t> held_{0};
    detail::atomic<bool> second_{false};
    const stops from_outside_;
    bool armed_ = false;  // fixed before the first branch starts
};

inline std::coroutine_handle<> branch::ended() noexcept { return group_->branch_ended(*this); }

}  // namespace peal::detail
