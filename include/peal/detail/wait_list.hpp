// SPDX-License-Identifier: MIT
#pragma once

// wait_list: who waits for a mutex, a permit, an item, in order of arrival. The waiter is the awaitable in the frame of its task.
//
// Threads: the lock of whoever owns the list guards the list and the links. A waiter comes to the list by enlist() under the lock, as the
// last thing its await_suspend() does to it. It is taken off under the lock and woken after it, by wake(): its memory may be gone right
// after. A stopper takes it off by remove(); if it is no longer there, it has been woken or is about to be, and what was handed to it
// is its own (detail/leaf_operation.hpp).

#include <utility>

#include <peal/detail/leaf_operation.hpp>

namespace peal::detail {

class wait_list;

class wait_operation : public leaf_operation {
  public:
    /// It was taken off its list and has got what it waited for.
    void wake() noexcept { event_came(); }

    /// Under the lock of `list`: waits there, and from then on belongs to whoever takes it off. False: a stop was requested.
    [[nodiscard]] bool enlist(wait_list& list) noexcept;

  protected:
    using leaf_operation::leaf_operation;

    /// Body of await_suspend. `pass_or_enlist`, under the lock of the list, lets it pass (false) or gives what enlist() gives.
    template <class PassOrEnlist>
    bool wait(std::coroutine_handle<> awaiting, context& task, PassOrEnlist pass_or_enlist) noexcept {
        belong_to(awaiting, task);
        if (task.stop_requested()) {
            end_canceled();
            return false;
        }
        return pass_or_enlist();
    }
    /// Body of the cancel function. `try_remove`, under the lock: false if it is not on the list any more.
    template <class Remove>
    void stop(Remove try_remove) noexcept {
        stopper_came(try_remove());
    }

  private:
    friend class wait_list;
    friend class wake_chain;
    wait_operation* following_ = nullptr;
    wait_operation* previous_ = nullptr;
    bool waits_ = false;
};

/// Waiters that were taken off their list under its lock, to be woken after it. For local variables.
class wake_chain {
  public:
    bool empty() const noexcept { return first_ == nullptr; }
    /// Requires: on no list.
    void push_back(wait_operation& taken) noexcept {
        taken.following_ = nullptr;
        (last_ == nullptr ? first_ : last_->following_) = &taken;
        last_ = &taken;
    }
    void wake_all() noexcept {
        for (wait_operation* next = first_; next != nullptr;) {
            wait_operation* waiter = std::exchange(next, next->following_);
            waiter->wake();
        }
        first_ = last_ = nullptr;
    }

  private:
    wait_operation* first_ = nullptr;
    wait_operation* last_ = nullptr;
};

class wait_list {
  public:
    wait_list() noexcept = default;
    wait_list(const wait_list&) = delete;
    wait_list& operator=(const wait_list&) = delete;
    ~wait_list() { PEAL_ASSERT(first_ == nullptr, "a mutex, channel or its like was destroyed while a task waits for it"); }

    bool empty() const noexcept { return first_ == nullptr; }
    wait_operation* front() const noexcept { return first_; }

    wait_operation* after(const wait_operation& waiter) const noexcept { return waiter.following_; }

    /// Null if nobody waits.
    wait_operation* pop_front() noexcept {
        wait_operation* waiter = first_;
        if (waiter != nullptr) static_cast<void>(remove(*waiter));
        return waiter;
    }
    /// False: it is not here any more.
    [[nodiscard]] bool remove(wait_operation& waiter) noexcept {
        if (!waiter.waits_) return false;
        waiter.waits_ = false;
        (waiter.previous_ == nullptr ? first_ : waiter.previous_->following_) = waiter.following_;
        (waiter.following_ == nullptr ? last_ : waiter.following_->previous_) = waiter.previous_;
        return true;
    }
    void move_to(wake_chain& taken) noexcept {
        while (wait_operation* waiter = pop_front()) taken.push_back(*waiter);
    }

  private:
    friend class wait_operation;
    void push_back(wait_operation& waiter) noexcept {
        waiter.previous_ = last_;
        waiter.following_ = nullptr;
        waiter.waits_ = true;
        (last_ == nullptr ? first_ : last_->following_) = &waiter;
        last_ = &waiter;
    }

    wait_operation* first_ = nullptr;
    wait_operation* last_ = nullptr;
};

inline bool wait_operation::enlist(wait_list& list) noexcept {
    if (!try_arm()) return false;
    list.push_back(*this);
    return true;
}

}  // namespace peal::detail
