// SPDX-License-Identifier: MIT

#include "wheel.hpp"

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
    timer.deadline = tick_at_or_after(deadline);
    std::lock_guard guard(lock_);
    if (size_.load(std::memory_order_relaxed) == 0) present_ = tick_of(now);  // empty: nothing to move, catch up
    if (timer.deadline <= present_) return false;
    timer.armed = true;
    insert(timer);
    size_.store(size_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return true;
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
    timer.slot = static_cast<std::uint16_t>(level * slots + index);
    detail::timer*& first = slot_[timer.slot];
    timer.next = first;
    timer.previous = &timer;
    if (first != nullptr) first->previous = &timer;
    first = &timer;
    occupied_[level] |= std::uint64_t{1} << index;
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

std::size_t wheel::advance(time_point now) noexcept {
    if (size_.load(std::memory_order_relaxed) == 0) return 0;  // only the owner adds
    detail::timer* due = nullptr;
    std::size_t fired = 0;
    {
        std::lock_guard guard(lock_);
        std::uint64_t now_tick = tick_of(now);
        for (;;) {
            expiration next = next_expiration();
            if (!next.found || next.tick > now_tick) break;
            present_ = next.tick;
            detail::timer* timer = std::exchange(slot_[next.level * slots + next.index], nullptr);
            occupied_[next.level] &= ~(std::uint64_t{1} << next.index);
            while (timer != nullptr) {
                detail::timer* following = timer->next;
                if (timer->deadline <= present_) {
                    timer->armed = false;
                    timer->next = due;
                    due = timer;
                    ++fired;
                } else {
                    insert(*timer);
                }
                timer = following;
            }
        }
        if (now_tick > present_) present_ = now_tick;
        size_.store(size_.load(std::memory_order_relaxed) - fired, std::memory_order_relaxed);
    }
    // `due` is in reverse order of arming within a slot, and of slots: turn it, so that earlier deadlines fire first.
    detail::timer* in_order = nullptr;
    while (due != nullptr) {
        detail::timer* following = due->next;
        due->next = in_order;
        in_order = due;
        due = following;
    }
    while (in_order != nullptr) {
        detail::timer* timer = in_order;
        in_order = in_order->next;
        timer->fire(*timer);  // may end the timer
    }
    return fired;
}

wheel::time_point wheel::next_advance() const noexcept {
    std::lock_guard guard(lock_);
    expiration next = next_expiration();
    if (!next.found) return never;
    if (next.tick > static_cast<std::uint64_t>(time_point::max().time_since_epoch().count()) >> tick_bits) return never;
    return time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(next.tick << tick_bits)));
}

}  // namespace peal::rt
