// SPDX-License-Identifier: MIT
#pragma once

// wheel: the timers of one worker. A hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels",
// 1987), after the shape of Tokio's: 9 levels of 64 slots, a level is 64 times as coarse as the one below. A timer lies on the
// level of the highest bits in which its deadline differs from the present, and moves down as the present comes near.
// Arming and disarming are O(1); the next deadline is found in a bit mask per level.
//
// Tick: 16.384 us (2^14 ns). A timer fires in the tick after its deadline, never before it.
// Threads: the owner arms and advances; any thread may disarm. `lock_` guards everything, for a few instructions.
// Bound: the timers lie in frames; as many as tasks that wait.

#include <bit>
#include <chrono>
#include <cstdint>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/timer.hpp>

namespace peal::rt {

class wheel {
  public:
    using time_point = std::chrono::steady_clock::time_point;
    static constexpr time_point never = time_point::max();

    /// Fires at or after `deadline`. False, and nothing armed, if that is not later than `now`. Owner only.
    [[nodiscard]] bool arm(detail::timer& timer, time_point deadline, time_point now) noexcept;

    /// Any thread. False if it has fired, or is about to: then its fire function has been or will be called.
    [[nodiscard]] bool disarm(detail::timer& timer) noexcept;

    /// Fires everything due. Owner only. Gives the number fired.
    std::size_t advance(time_point now) noexcept;

    /// When advance() should be called next; `never` without timers. May be earlier than the next deadline (a move to a finer
    /// level), never later.
    time_point next_advance() const noexcept;

    std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }  // written under the lock; a hint outside

  private:
    static constexpr unsigned tick_bits = 14;
    static constexpr unsigned level_bits = 6;
    static constexpr unsigned slots = 1u << level_bits;
    static constexpr unsigned levels = 9;

    struct expiration {
        bool found = false;
        unsigned level = 0;
        unsigned index = 0;
        std::uint64_t tick = 0;
    };

    static std::uint64_t tick_at_or_after(time_point when) noexcept;
    static std::uint64_t tick_of(time_point when) noexcept;
    void insert(detail::timer& timer) noexcept;
    void unlink(detail::timer& timer) noexcept;
    expiration next_expiration() const noexcept;

    mutable detail::spin_lock lock_;
    std::uint64_t present_ = 0;                 // everything up to this tick has fired
    std::uint64_t occupied_[levels] = {};       // bit i: slot i holds a timer
    detail::timer* slot_[levels * slots] = {};
    detail::atomic<std::size_t> size_{0};
};

}  // namespace peal::rt
