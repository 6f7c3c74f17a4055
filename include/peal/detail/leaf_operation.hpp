// SPDX-License-Identifier: MIT
#pragma once

// leaf_operation: what a coroutine is suspended on when it waits for something inside the process (the end of a task, a timer):
// one event that happens at most once, and one stopper that comes at most once. Operations of the kernel have their own
// protocol (runtime/task/driver.hpp), because their memory is the kernel's until the last completion.
//
//   start      lock; arm the cancel slot; register for the event; unlock          (the coroutine's thread)
//   event      wait for start; disarm: done -> resume | taken -> second of two    (any thread)
//   stopper    wait for start; unregister: done -> resume canceled | too late -> second of two    (any thread)
//
// The lock is that of the list on which the operation waits, where there is one (detail/wait_list.hpp): then to register, and to be
// taken off the list, is to wait for start. Where there is none, it is the operation's own: registering_operation.
//
// Why nobody touches a dead operation: the coroutine is resumed by the event or the stopper alone if the other can no longer come
// (disarm, or unregister, succeeded), else by the second of the two. Neither goes on before start has let go of the lock, and start
// touches nothing after that. Why no cancel is lost: when the stopper looks, the registration is complete.
//
// second_   [O1] acq_rel exchange: the second party sees what the first did and resumes.

#include <coroutine>

#include <peal/detail/atomic.hpp>
#include <peal/detail/schedule.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/task/context.hpp>

namespace peal::detail {

class leaf_operation : public work_item, public cancelable {
  public:
    leaf_operation(const leaf_operation&) = delete;
    leaf_operation& operator=(const leaf_operation&) = delete;

    bool was_canceled() const noexcept { return canceled_; }

  protected:
    explicit leaf_operation(cancel_function cancel) noexcept : cancelable(cancel) {}

    void belong_to(std::coroutine_handle<> awaiting, context& task) noexcept {
        PEAL_ASSERT(owner == nullptr, "sleep_for() or another wait was awaited twice: make it anew for each");
        handle = awaiting;
        owner = &task;
    }
    /// False: a stop was requested, it ends as canceled.
    [[nodiscard]] bool try_arm() noexcept {
        canceled_ = !owner->arm(*this);
        return !canceled_;
    }
    /// A stop was requested before it began to wait.
    void end_canceled() noexcept { canceled_ = true; }

    /// Start is over and the event has happened. The registration is used up.
    void event_came() noexcept {
        if (must_resume()) enqueue_woken(*this);
    }
    /// The same for a caller that queues it himself. False: the stopper does.
    [[nodiscard]] bool must_resume() noexcept { return owner->disarm(*this) || is_second(); }
    /// Start is over and the stopper has come. Not `unregistered`: the event was first, event_came() is or will be called.
    void stopper_came(bool unregistered) noexcept {
        if (unregistered) canceled_ = true;
        if (unregistered || is_second()) enqueue_woken(*this);
    }

    /// The caller is one of two; true: the other one has been here.
    bool is_second() noexcept { return second_.exchange(true, std::memory_order_acq_rel); }  // [O1]
    /// For a wait that goes on although a stop was requested: it could not be armed, and the event alone resumes.
    void expect_no_stopper() noexcept { second_.store(true, std::memory_order_relaxed); }  // published by the registration

  private:
    atomic<bool> second_{false};
    bool canceled_ = false;
};

/// For events to which one registers without a lock that could be held meanwhile.
class registering_operation : public leaf_operation {
  protected:
    using leaf_operation::leaf_operation;

    /// Body of await_suspend. `try_register` returns false if the event has happened already; then nothing was registered.
    template <class Register>
    bool suspend(std::coroutine_handle<> awaiting, context& task, Register try_register) noexcept {
        belong_to(awaiting, task);
        starting_.lock();
        if (!try_arm()) {
            starting_.unlock();
            return false;
        }
        if (try_register()) {
            starting_.unlock();
            return true;
        }
        if (owner->disarm(*this)) return false;
        starting_.unlock();
        return !is_second();  // false: the stopper was first, go on at once
    }

    /// The same without a cancel slot: nothing from outside ends it early.
    template <class Register>
    bool suspend_for_good(std::coroutine_handle<> awaiting, context& task, Register try_register) noexcept {
        handle = awaiting;
        owner = &task;
        expect_no_stopper();
        starting_.lock();
        bool registered = try_register();
        starting_.unlock();
        return registered;
    }

    /// The event has happened. The registration is used up.
    void happened() noexcept {
        await_start();
        event_came();
    }

    /// Body of the cancel function. `try_unregister` returns false if the event has been taken by happened().
    template <class Unregister>
    void stop(Unregister try_unregister) noexcept {
        await_start();
        stopper_came(try_unregister());
    }

  private:
    void await_start() noexcept {
        starting_.lock();
        starting_.unlock();
    }

    spin_lock starting_;
};

/// What a canceled operation throws.
[[noreturn]] PEAL_EXPORT void throw_canceled(const char* operation);

}  // namespace peal::detail
