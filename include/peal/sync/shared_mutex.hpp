// SPDX-License-Identifier: MIT
#pragma once

// shared_mutex: many readers or one writer. A task that waits suspends; no thread does.
//
// Everything is guarded by `lock_`, for a handful of instructions. In order of arrival: a reader that comes after a waiting writer waits
// behind it, and readers that wait side by side are let in together.

#include <cstddef>
#include <optional>
#include <utility>

#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// Exclusion of readers and writers, on any workers and pools. May be held over a `co_await`. Not recursive, no upgrade.
///
/// Threads:  any.   Fairness: in order of arrival.   Lifetime: outlives whoever holds it or waits (asserted).
class PEAL_EXPORT shared_mutex {
  public:
    enum class mode : bool { shared, exclusive };

    /// Holds the mutex in one of the modes while it lives.
    class [[nodiscard("the mutex is unlocked again at once")]] guard {
      public:
        guard(shared_mutex& held, mode how) noexcept : held_(&held), mode_(how) {}
        guard(guard&& other) noexcept : held_(std::exchange(other.held_, nullptr)), mode_(other.mode_) {}
        guard& operator=(guard&& other) noexcept {
            if (this != &other) {
                unlock();
                held_ = std::exchange(other.held_, nullptr);
                mode_ = other.mode_;
            }
            return *this;
        }
        ~guard() { unlock(); }

        void unlock() noexcept {
            if (held_ != nullptr) std::exchange(held_, nullptr)->unlock(mode_);
        }

      private:
        shared_mutex* held_;
        mode mode_;
    };

    class [[nodiscard("await it")]] lock_operation;

    shared_mutex() noexcept = default;
    shared_mutex(const shared_mutex&) = delete;
    shared_mutex& operator=(const shared_mutex&) = delete;
    ~shared_mutex() { lock_.wait_until_free(); }

    /// Alone: `auto guard = co_await table.lock();`
    /// Cancellation: leaves the line with operation_canceled; a mutex that was handed over first wins.   Allocates: never.   Kernel: none.
    lock_operation lock() noexcept;
    /// With other readers: `auto guard = co_await table.lock_shared();`
    lock_operation lock_shared() noexcept;
    /// Never wait, and do not jump the line.
    std::optional<guard> try_lock() noexcept { return try_take(mode::exclusive); }
    std::optional<guard> try_lock_shared() noexcept { return try_take(mode::shared); }

  private:
    std::optional<guard> try_take(mode how) noexcept;
    bool is_free_for(mode how) const noexcept { return !writer_ && (how == mode::shared || readers_ == 0); }
    void take(mode how) noexcept;
    /// True: it waits. False: it holds the mutex.
    bool wait_or_take(lock_operation& waiter) noexcept;
    bool forget(lock_operation& waiter) noexcept;
    void unlock(mode how) noexcept;
    void let_in(detail::wake_chain& admitted) noexcept;

    detail::spin_lock lock_;
    bool writer_ = false;
    std::size_t readers_ = 0;
    detail::wait_list waiting_;
};

class shared_mutex::lock_operation : detail::wait_operation {
  public:
    lock_operation(shared_mutex& wanted, mode how) noexcept
        : wait_operation(&lock_operation::stop_waiting), wanted_(wanted), mode_(how) {}

    bool await_ready() const noexcept { return false; }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return wait(awaiting, awaiting.promise().owner(), [this] { return wanted_.wait_or_take(*this); });
    }
    guard await_resume() {
        if (was_canceled()) detail::throw_canceled("shared_mutex lock");
        return guard(wanted_, mode_);
    }
    peal::result<guard> result() {
        if (was_canceled()) return error(std::make_error_code(std::errc::operation_canceled), "shared_mutex lock");
        return guard(wanted_, mode_);
    }

  private:
    friend class shared_mutex;
    static void stop_waiting(detail::cancelable& self) noexcept {
        auto& me = static_cast<lock_operation&>(self);
        me.stop([&me] { return me.wanted_.forget(me); });
    }

    shared_mutex& wanted_;
    const mode mode_;
};

inline shared_mutex::lock_operation shared_mutex::lock() noexcept { return lock_operation(*this, mode::exclusive); }
inline shared_mutex::lock_operation shared_mutex::lock_shared() noexcept { return lock_operation(*this, mode::shared); }

}  // namespace peal
