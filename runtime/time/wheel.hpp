// SPDX-License-Identifier: MIT
#pragma once

// wheel: the timers of one worker. A hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels",
// 1987), after the shape of Tokio's: 9 levels of 64 slots, a level is 64 times as coarse as the one below. A timer lies on the
// level of the highest bits in which its deadline differs from the present, and moves down as the present comes near.
// Arming and disarming are O(1); the next deadline is found in a bit mask per level.
//
// Tick: 16.384 us (2^14 ns). A timer fires in the tick after its deadline, never before it.
// Threads: the owner arms and advances; any thread may disarm, and any may advance while the owner does not come to it (advance_for_owner). `lock_` guards
// everything, for a few instructions. What is due is fired one by one, outside of it: until it is its turn, a timer can be disarmed.
// Who arms a timer in the middle of suspending counts on it that it does not fire before that is done: on the owner's thread it cannot. Others fire only what
// was armed in items of the owner's work that have ended, and keep the rest for it.
// Bound: the timers lie in frames; as many as tasks that wait.
//
//   item_   owner writes, who advances for it reads   [W1] release / acquire: whose item is over has happened before, suspending included

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

    /// Fires at or after `deadline`. False, and nothing armed, if that is not later than `now`. Owner only. `now` is no later than the time (a wheel that was
    /// empty catches up with it, and what is armed next by the time itself must lie behind that).
    [[nodiscard]] bool arm(detail::timer& timer, time_point deadline, time_point now) noexcept;

    /// The same, but in the next tick if that is over. Owner only.
    void arm_soon(detail::timer& timer, time_point deadline, time_point now) noexcept;

    /// Any thread. False if it has fired, or is at it: then its fire function has been called, or is.
    [[nodiscard]] bool disarm(detail::timer& timer) noexcept;

    /// Fires everything due. Owner only. Gives the number fired.
    std::size_t advance(time_point now) noexcept;

    /// An item of the owner's work has ended: others may fire what it has armed until now. Owner only.
    void end_item() noexcept { item_.store(item_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }  // [W1]
    /// How many have ended; any thread, as a hint.
    std::uint64_t item() const noexcept { return item_.load(std::memory_order_relaxed); }

    /// Any thread but the owner: fires what is due, unless it was armed in the item that the owner is in. Gives the number fired.
    std::size_t advance_for_owner(time_point now) noexcept;

    /// When advance() should be called next; `never` without timers. May be earlier than the next deadline (a move to a finer
    /// level), never later.
    time_point next_advance() const noexcept;

    std::size_t size() const noexcept { return size_.load(std::memory_order_relaxed); }  // written under the lock; a hint outside

  private:
    static constexpr unsigned tick_bits = 14;
    static constexpr unsigned level_bits = 6;
    static constexpr unsigned slots = 1u << level_bits;
    static constexpr unsigned levels = 9;
    // Two slots more, behind those of the levels: lists of what is due and not fired yet.
    static constexpr unsigned due = levels * slots;
    static constexpr unsigned kept = due + 1;  // for the owner: was armed in the item `kept_item_`

    struct expiration {
        bool found = false;
        unsigned level = 0;
        unsigned index = 0;
        std::uint64_t tick = 0;
    };

    static std::uint64_t tick_at_or_after(time_point when) noexcept;
    static std::uint64_t tick_of(time_point when) noexcept;
    void arm_at(detail::timer& timer, std::uint64_t tick) noexcept;
    void insert(detail::timer& timer) noexcept;
    void link(detail::timer& timer, unsigned slot) noexcept;
    void unlink(detail::timer& timer) noexcept;
    detail::timer* take_slot(unsigned slot) noexcept;
    void set_aside(std::uint64_t now_tick, const std::uint32_t* not_of_item) noexcept;
    std::size_t fire_due() noexcept;
    expiration next_expiration() const noexcept;

    mutable detail::spin_lock lock_;
    std::uint64_t present_ = 0;                 // everything up to this tick has fired, or is set aside
    std::uint64_t occupied_[levels + 1] = {};   // bit i: slot i holds a timer
    detail::timer* slot_[levels * slots + 2] = {};
    std::uint32_t kept_item_ = 0;
    detail::atomic<std::size_t> size_{0};
    alignas(64) detail::atomic<std::uint64_t> item_{0};  // apart: others look at it
};

}  // namespace peal::rt
