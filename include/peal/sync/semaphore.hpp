// SPDX-License-Identifier: MIT
#pragma once

// semaphore: a number of permits. A task that waits suspends; no thread does.
//
// state_     permits, and a bit that says whether somebody waits
//            [S1] acquire by who takes, release by who gives: who gets a permit sees what its last holder did. Written by
//            read-modify-writes only, so every release is seen by all that come after it.
//            while the bit is set, state_ changes under `lock_` only
// waiting_   guarded by lock_; not empty exactly while the bit is set

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/wait_list.hpp>
#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal {

/// Limits how many tasks do something at the same time, on any workers and pools.
///
/// Threads:  any; blocking_acquire() for threads of the program.
/// Fairness: in order of arrival; a large request at the front holds back smaller ones.
/// Lifetime: outlives whoever holds permits or waits (asserted for those who wait).
class PEAL_EXPORT semaphore {
  public:
    /// Permits that are given back when it ends.
    class [[nodiscard("the permits are given back at once")]] permit {
      public:
        permit(semaphore& from, std::size_t count) noexcept : from_(&from), count_(count) {}
        permit(permit&& other) noexcept : from_(std::exchange(other.from_, nullptr)), count_(other.count_) {}
        permit& operator=(permit&& other) noexcept {
            if (this != &other) {
                release();
                from_ = std::exchange(other.from_, nullptr);
                count_ = other.count_;
            }
            return *this;
        }
        ~permit() { release(); }

        /// Before the end of its life. Idempotent.
        void release() noexcept {
            if (from_ != nullptr) std::exchange(from_, nullptr)->release(count_);
        }
        /// They are not given back by this object: somebody else will call semaphore::release().
        void forget() noexcept { from_ = nullptr; }

      private:
        semaphore* from_;
        std::size_t count_;
    };

    class [[nodiscard("await it")]] acquire_operation;

    /// Requires: permits < 2^62 (asserted), also in sum with what release() adds.
    explicit semaphore(std::size_t permits) noexcept : state_(permits) {
        PEAL_ASSERT(permits < waiting_bit, "semaphore: too many permits");
    }
    semaphore(const semaphore&) = delete;
    semaphore& operator=(const semaphore&) = delete;
    ~semaphore() { lock_.wait_until_free(); }

    /// Takes `count` permits, waiting until that many are free and nobody came before: `auto permit = co_await limit.acquire();`
    ///
    /// Cancellation: takes nothing and leaves the line. Permits handed over first win; then it returns them.
    /// Allocates:    never.   Kernel: none.
    acquire_operation acquire(std::size_t count = 1) noexcept;
    /// Never waits, and does not jump the line.
    std::optional<permit> try_acquire(std::size_t count = 1) noexcept {
        if (!try_take(count)) return std::nullopt;
        return permit(*this, count);
    }
    /// Blocks the calling thread, which must not be a worker (asserted).
    permit blocking_acquire(std::size_t count = 1);

    /// Adds permits. Those of a `permit` come back by themselves.
    void release(std::size_t count = 1) noexcept {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        while ((seen & waiting_bit) == 0) {
            if (state_.compare_exchange_weak(seen, seen + count, std::memory_order_release, std::memory_order_relaxed)) return;  // [S1]
        }
        release_and_grant(count);
    }
    /// At this moment.
    std::size_t available() const noexcept { return state_.load(std::memory_order_relaxed) & ~waiting_bit; }

  private:
    static constexpr std::uint64_t waiting_bit = std::uint64_t{1} << 62;

    bool try_take(std::size_t count) noexcept {
        std::uint64_t seen = state_.load(std::memory_order_relaxed);
        while ((seen & waiting_bit) == 0 && seen >= count) {
            if (state_.compare_exchange_weak(seen, seen - count, std::memory_order_acquire, std::memory_order_relaxed)) return true;  // [S1]
        }
        return false;
    }
    /// True: it waits. False: it has the permits.
    bool wait_or_take(acquire_operation& waiter) noexcept;
    bool forget(acquire_operation& waiter) noexcept;
    void release_and_grant(std::size_t count) noexcept;
    void grant(detail::wake_chain& granted) noexcept;

    detail::atomic<std::uint64_t> state_;
    detail::spin_lock lock_;
    detail::wait_list waiting_;
};

class semaphore::acquire_operation : detail::wait_operation {
  public:
    acquire_operation(semaphore& from, std::size_t count) noexcept
        : wait_operation(&acquire_operation::stop_waiting), from_(from), count_(count) {}

    bool await_ready() noexcept { return from_.try_take(count_); }
    template <detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return wait(awaiting, awaiting.promise().owner(), [this] { return from_.wait_or_take(*this); });
    }
    permit await_resume() {
        if (was_canceled()) detail::throw_canceled("semaphore acquire");
        return permit(from_, count_);
    }
    peal::result<permit> result() {
        if (was_canceled()) return error(std::make_error_code(std::errc::operation_canceled), "semaphore acquire");
        return permit(from_, count_);
    }

  private:
    friend class semaphore;
    static void stop_waiting(detail::cancelable& self) noexcept {
        auto& me = static_cast<acquire_operation&>(self);
        me.stop([&me] { return me.from_.forget(me); });
    }

    semaphore& from_;
    const std::size_t count_;
};

inline semaphore::acquire_operation semaphore::acquire(std::size_t count) noexcept { return acquire_operation(*this, count); }

}  // namespace peal
