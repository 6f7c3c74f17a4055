// SPDX-License-Identifier: MIT

#include <peal/sync/condition_variable.hpp>

#include <mutex>

#include <peal/combine/timeout.hpp>

namespace peal {

class condition_variable::wait_operation final : detail::wait_operation {
  public:
    wait_operation(condition_variable& awaited, peal::mutex::guard& guard) noexcept
        : detail::wait_operation(&wait_operation::stop_waiting), awaited_(awaited), guard_(guard) {}

    bool await_ready() const noexcept { return false; }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        // Once it waits, the coroutine may go on and look at its guard: by itself, or inside the unlock, if there is no pool and whoever gets
        // the mutex notifies it.
        peal::mutex::guard held = std::move(guard_);
        bool waits = wait(awaiting, awaiting.promise().owner(), [this] {
            std::lock_guard lock(awaited_.lock_);
            return enlist(awaited_.waiting_);
        });
        if (!waits) guard_ = std::move(held);
        return waits;
    }
    /// False: canceled.
    bool await_resume() const noexcept { return !was_canceled(); }

  private:
    static void stop_waiting(detail::cancelable& self) noexcept {
        auto& me = static_cast<wait_operation&>(self);
        me.stop([&me] {
            std::lock_guard lock(me.awaited_.lock_);
            return me.awaited_.waiting_.remove(me);
        });
    }

    condition_variable& awaited_;
    peal::mutex::guard& guard_;
};

task<> condition_variable::wait(mutex::guard& guard) {
    mutex* held = guard.held();
    PEAL_ASSERT(held != nullptr, "condition_variable::wait() with a guard that holds no mutex");
    wait_operation waiting(*this, guard);
    bool notified = co_await waiting;
    if (guard.held() == nullptr) guard = co_await shield(held->lock());  // it holds again, also when it was asked to stop
    if (!notified) detail::throw_canceled("condition wait");
}

void condition_variable::notify_one() noexcept {
    detail::wait_operation* next;
    {
        std::lock_guard lock(lock_);
        next = waiting_.pop_front();
    }
    if (next != nullptr) next->wake();
}

void condition_variable::notify_all() noexcept {
    detail::wake_chain passing;
    {
        std::lock_guard lock(lock_);
        waiting_.move_to(passing);
    }
    passing.wake_all();
}

}  // namespace peal
