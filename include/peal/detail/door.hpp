// SPDX-License-Identifier: MIT
#pragma once

// The door of a pool, as far as headers need it: who waits there for room, or until all that waited has had its turn (runtime/sched/admission.hpp).

#include <coroutine>

#include <peal/detail/awaitable.hpp>
#include <peal/detail/leaf_operation.hpp>
#include <peal/task/context.hpp>

namespace peal::rt {
class admission;
}

namespace peal::detail {

/// Stands in the queue before the door.
class door_waiter {
  public:
    enum class wish : unsigned char { room, drained };
    enum class kind : bool { task, thread };
    /// Called when it was taken off, and has what it wished for: room for one task, until give_place_back(); or nothing, if the pool does not accept any more. Any thread, no
    /// lock held.
    using let_in_function = void (*)(door_waiter&) noexcept;
    door_waiter(let_in_function let_in, kind kind, wish wish, peal::priority urgency, const share_state* share) noexcept
        : let_in_(let_in), kind_(kind), wish_(wish), urgency_(urgency), share_(share) {}
    door_waiter(const door_waiter&) = delete;
    door_waiter& operator=(const door_waiter&) = delete;

    /// For who was let in, and has not given it back.
    bool has_place() const noexcept { return has_place_; }

  private:
    friend class rt::admission;
    const let_in_function let_in_;
    const kind kind_;
    const wish wish_;
    const peal::priority urgency_;
    const share_state* const share_;
    // guarded by the lock of the door
    bool waits_ = false;
    bool has_place_ = false;
    door_waiter* following_ = nullptr;
    door_waiter* previous_ = nullptr;
};

class door_operation;

/// True: it has it already. Any thread.
PEAL_EXPORT bool pass_door(rt::scheduler& pool, door_waiter& waiter) noexcept;
/// False: it has it already, or a stop was requested. Else it waits.
PEAL_EXPORT bool wait_at_door(rt::scheduler& pool, door_operation& waiter) noexcept;
/// False: it was let in.
PEAL_EXPORT bool leave_door(rt::scheduler& pool, door_waiter& waiter) noexcept;
/// As pass_door(), but makes room if the pool sheds (pool_options::when_full). Any thread.
PEAL_EXPORT bool ask_to_come_in(rt::scheduler& pool, door_waiter& waiter) noexcept;
/// It does not use its place. Requires: has_place(). (accept_task() gives back what is used.)
PEAL_EXPORT void give_place_back(rt::scheduler& pool, door_waiter& waiter) noexcept;

/// Gives the waiter itself its place until it goes: it lies in the frame of the task.
class [[nodiscard("await it")]] door_operation : public leaf_operation, public door_waiter {
  public:
    door_operation(rt::scheduler& pool, wish wish, peal::priority urgency, const share_state* share, const char* name) noexcept
        : leaf_operation(&door_operation::stop_waiting), door_waiter(&door_operation::goes_on, kind::task, wish, urgency, share), pool_(pool), name_(name) {}
    ~door_operation() {
        if (has_place()) give_place_back(pool_, *this);
    }

    bool await_ready() noexcept { return pass_door(pool_, *this); }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        belong_to(awaiting, awaiting.promise().owner());
        return wait_at_door(pool_, *this);
    }
    void await_resume() {
        if (was_canceled()) throw_canceled(name_);
    }

  private:
    friend class rt::admission;
    static void goes_on(door_waiter& self) noexcept { static_cast<door_operation&>(self).event_came(); }
    static void stop_waiting(cancelable& self) noexcept {
        auto& me = static_cast<door_operation&>(self);
        me.stopper_came(leave_door(me.pool_, me));
    }

    rt::scheduler& pool_;
    const char* const name_;
};

}  // namespace peal::detail
