// SPDX-License-Identifier: MIT

#include "wheel.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

namespace peal::rt {

std::uint64_t wheel::tick_of(time_point when) noexcept {
    auto since = when.time_since_epoch().count();
    return since <= 0 ? 0 : static_cast<std::uint64_t>(since) >> tick_bits;
}

std::uint64_t wheel::tick_at_or_after(time_point when) noexcept {
    auto since = when.time_since_epoch().count();
    if (since <= 0) return 0;
    return (static_cast<std::uint64_t>(since) + (1u << tick_bits) - 1) >> tick_bits;
}

bool wheel::arm(detail::timer& timer, time_point deadline, time_point now) noexcept {
    if (deadline <= now) return false;
    std::lock_guard guard(lock_);
    if (size_.load(std::memory_order_relaxed) == 0) present_ = tick_of(now);  // empty: nothing to move, catch up
    const std::uint64_t tick = tick_at_or_after(deadline);
    if (tick <= present_) return false;  // another has advanced meanwhile, by a later time
    arm_at(timer, tick);
    return true;
}

void wheel::arm_soon(detail::timer& timer, time_point deadline, time_point now) noexcept {
    std::lock_guard guard(lock_);
    if (size_.load(std::memory_order_relaxed) == 0) present_ = tick_of(now);
    arm_at(timer, std::max(tick_at_or_after(deadline), present_ + 1));
}

void wheel::arm_at(detail::timer& timer, std::uint64_t tick) noexcept {
    timer.deadline = tick;
    timer.item = static_cast<std::uint32_t>(item_.load(std::memory_order_relaxed));
    timer.armed = true;
    insert(timer);
    size_.store(size_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
}

bool wheel::disarm(detail::timer& timer) noexcept {
    std::lock_guard guard(lock_);
    if (!timer.armed) return false;
    timer.armed = false;
    unlink(timer);
    size_.store(size_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    return true;
}

void wheel::insert(detail::timer& timer) noexcept {
    std::uint64_t differing = (timer.deadline ^ present_) | (slots - 1);
    unsigned level = static_cast<unsigned>(63 - std::countl_zero(differing)) / level_bits;
    if (level >= levels) level = levels - 1;  // further than the wheel reaches (9,000 years): looked at again when the level turns
    unsigned index = static_cast<unsigned>(timer.deadline >> (level * level_bits)) % slots;
    link(timer, level * slots + index);
}

void wheel::link(detail::timer& timer, unsigned slot) noexcept {
    timer.slot = static_cast<std::uint16_t>(slot);
    detail::timer*& first = slot_[slot];
    timer.next = first;
    timer.previous = &timer;
    if (first != nullptr) first->previous = &timer;
    first = &timer;
    occupied_[slot / slots] |= std::uint64_t{1} << (slot % slots);
}

void wheel::unlink(detail::timer& timer) noexcept {
    detail::timer*& first = slot_[timer.slot];
    if (first == &timer) {
        first = timer.next;
        if (first != nullptr) {
            first->previous = first;
        } else {
            occupied_[timer.slot / slots] &= ~(std::uint64_t{1} << (timer.slot % slots));
        }
    } else {
        timer.previous->next = timer.next;
        if (timer.next != nullptr) timer.next->previous = timer.previous;
    }
}

wheel::expiration wheel::next_expiration() const noexcept {
    // A lower level always expires before a higher one.
    for (unsigned level = 0; level < levels; ++level) {
        if (occupied_[level] == 0) continue;
        unsigned shift = level * level_bits;
        unsigned now_index = static_cast<unsigned>(present_ >> shift) % slots;
        unsigned ahead = static_cast<unsigned>(std::countr_zero(std::rotr(occupied_[level], static_cast<int>(now_index))));
        unsigned index = (now_index + ahead) % slots;
        std::uint64_t slot_ticks = std::uint64_t{1} << shift;
        std::uint64_t turn_ticks = slot_ticks << level_bits;
        std::uint64_t tick = (present_ & ~(turn_ticks - 1)) + index * slot_ticks;
        if (tick <= present_) tick += turn_ticks;
        expiration next;
        next.found = true;
        next.level = level;
        next.index = index;
        next.tick = tick;
        return next;
    }
    return {};
}

detail::timer* wheel::take_slot(unsigned slot) noexcept {
    occupied_[slot / slots] &= ~(std::uint64_t{1} << (slot % slots));
    return std::exchange(slot_[slot], nullptr);
}

/// Moves what is due to the list of what is, the earliest first; what was armed in `not_of_item` to that of the kept, if one is named. Under the lock.
void wheel::set_aside(std::uint64_t now_tick, const std::uint32_t* not_of_item) noexcept {
    detail::timer* found = nullptr;  // the latest first
    auto find = [&found](detail::timer& timer) {
        timer.next = found;
        found = &timer;
    };
    if (not_of_item == nullptr || kept_item_ != *not_of_item) {  // what was kept is of an item that is over, or the owner is here itself
        for (detail::timer* timer = take_slot(kept); timer != nullptr;) find(*std::exchange(timer, timer->next));
    }
    if (not_of_item != nullptr) kept_item_ = *not_of_item;
    for (;;) {
        expiration next = next_expiration();
        if (!next.found || next.tick > now_tick) break;
        present_ = next.tick;
        for (detail::timer* timer = take_slot(next.level * slots + next.index); timer != nullptr;) {
            detail::timer* following = timer->next;
            if (timer->deadline <= present_) {
                find(*timer);
            } else {
                insert(*timer);
            }
            timer = following;
        }
    }
    if (now_tick > present_) present_ = now_tick;
    while (found != nullptr) {
        detail::timer* following = found->next;
        const bool is_kept = not_of_item != nullptr && found->item == *not_of_item;
        link(*found, is_kept ? kept : due);
        found = following;
    }
}

/// One by one: any that is left can be disarmed meanwhile, and fired by others.
std::size_t wheel::fire_due() noexcept {
    for (std::size_t fired = 0;; ++fired) {
        detail::timer* timer;
        {
            std::lock_guard guard(lock_);
            timer = slot_[due];
            if (timer == nullptr) return fired;
            unlink(*timer);
            timer->armed = false;
            size_.store(size_.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
        }
        timer->fire(*timer);  // may end the timer
    }
}

std::size_t wheel::advance(time_point now) noexcept {
    if (size_.load(std::memory_order_relaxed) == 0) return 0;  // only the owner adds
    {
        std::lock_guard guard(lock_);
        set_aside(tick_of(now), nullptr);
    }
    return fire_due();
}

std::size_t wheel::advance_for_owner(time_point now) noexcept {
    if (size_.load(std::memory_order_relaxed) == 0) return 0;  // what is armed just now is not for us
    {
        std::lock_guard guard(lock_);
        const auto owners = static_cast<std::uint32_t>(item_.load(std::memory_order_acquire));  // [W1]
        set_aside(tick_of(now), &owners);
    }
    return fire_due();
}

wheel::time_point wheel::next_advance() const noexcept {
    std::lock_guard guard(lock_);
    if (occupied_[levels] != 0) return time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(present_ << tick_bits)));  // due already
    expiration next = next_expiration();
    if (!next.found) return never;
    if (next.tick > static_cast<std::uint64_t>(time_point::max().time_since_epoch().count()) >> tick_bits) return never;
    return time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(next.tick << tick_bits)));
}

}  // namespace peal::rt
