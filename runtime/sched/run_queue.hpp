// SPDX-License-Identifier: MIT
#pragma once

// run_queue: the work of one worker, first in first out, from which other workers may take half.
//
// A ring of slots. The owner pushes at the tail and pops at the head; a thief takes the older half in two steps: it claims a
// run of slots, copies them, and gives them free. After the local queue of Tokio (tokio/src/runtime/scheduler/multi_thread/queue.rs,
// 1.4x), with items instead of reference-counted tasks.
//
// head_ packs two 32-bit positions: `real`, the next slot to pop, and `steal`, the first slot that a thief still reads. They are equal
// when nobody steals. Slots in [steal, real) are claimed, [real, tail) hold work, the rest is free.
//
// field    written by        order
// slots_   owner             relaxed: published by tail_ [Q1], given free by head_ [Q2]
// tail_    owner             [Q1] seq_cst store / acquire load: slots below tail are filled. seq_cst, because a push is followed by
//                                 a look at the idle workers (scheduler.hpp) and a parking worker looks here after it became one.
// head_    owner, thieves    [Q2] acq_rel CAS: exactly one taker per slot; a slot is reused only after the thief's copy is made.
//
// Bound: `Capacity` items; more goes to the injection queue.

#include <algorithm>
#include <array>
#include <cstdint>

#include <peal/detail/atomic.hpp>
#include <peal/detail/work_item.hpp>

namespace peal::rt {

/// Requires: a capacity that divides 2^32.
template <std::uint32_t Capacity>
class basic_run_queue {
  public:
    static constexpr std::uint32_t capacity = Capacity;

    /// Owner only. False if it is full.
    [[nodiscard]] bool try_push(detail::work_item& item) noexcept {
        std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // the owner is the only writer
        if (tail - steal_of(head_.load(std::memory_order_acquire)) >= capacity) return false;  // [Q2]
        slots_[tail % capacity].store(&item, std::memory_order_relaxed);
        tail_.store(tail + 1, std::memory_order_seq_cst);  // [Q1]
        return true;
    }

    /// Owner only. Null if it is empty.
    [[nodiscard]] detail::work_item* try_pop() noexcept {
        std::uint64_t head = head_.load(std::memory_order_acquire);  // [Q2]
        for (;;) {
            std::uint32_t real = real_of(head);
            if (real == tail_.load(std::memory_order_relaxed)) return nullptr;  // the owner is the only writer
            std::uint32_t steal = steal_of(head);
            // Without a thief both positions move; with one, only `real`: the thief moves `steal` when it has copied.
            std::uint64_t next = steal == real ? pack(real + 1, real + 1) : pack(steal, real + 1);
            if (head_.compare_exchange_weak(head, next, std::memory_order_acq_rel, std::memory_order_acquire)) {  // [Q2]
                return slots_[real % capacity].load(std::memory_order_relaxed);
            }
        }
    }

    /// Owner only. Moves the oldest items, at most so many, to the end of `into`.
    void pop(detail::work_list& into, std::uint32_t most) noexcept {
        std::uint64_t head = head_.load(std::memory_order_acquire);  // [Q2]
        std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // the owner is the only writer
        for (;;) {
            std::uint32_t real = real_of(head);
            std::uint32_t count = std::min(tail - real, most);
            if (count == 0) return;
            std::uint32_t steal = steal_of(head);
            std::uint64_t next = steal == real ? pack(real + count, real + count) : pack(steal, real + count);  // as in try_pop()
            if (head_.compare_exchange_weak(head, next, std::memory_order_acq_rel, std::memory_order_acquire)) {  // [Q2]
                for (std::uint32_t i = 0; i < count; ++i) into.push_back(*slots_[(real + i) % capacity].load(std::memory_order_relaxed));
                return;
            }
        }
    }

    /// Owner of `into` only, which must be empty. Moves the older half (at least one) of this queue there, and gives one of them
    /// back to run at once. Null if there is nothing to take, or another thief is at it.
    [[nodiscard]] detail::work_item* steal_half(basic_run_queue& into) noexcept {
        // A thief may still be reading what it claimed of `into`: those slots must not be written. Rare; then nothing is taken.
        std::uint32_t still_read = into.tail_.load(std::memory_order_relaxed) - steal_of(into.head_.load(std::memory_order_acquire));
        if (still_read > capacity / 2) return nullptr;  // [Q2] at most capacity / 2 items come
        std::uint64_t head = head_.load(std::memory_order_acquire);  // [Q2]
        std::uint32_t first;
        std::uint32_t count;
        for (;;) {
            first = real_of(head);
            if (steal_of(head) != first) return nullptr;
            std::uint32_t available = tail_.load(std::memory_order_acquire) - first;  // [Q1]
            count = available - available / 2;
            if (count == 0) return nullptr;
            if (count > capacity / 2) {  // head_ and tail_ were read at different times: look again
                head = head_.load(std::memory_order_acquire);
                continue;
            }
            if (head_.compare_exchange_weak(head, pack(first, first + count), std::memory_order_acq_rel,
                                            std::memory_order_acquire)) {  // [Q2] claims
                break;
            }
        }
        std::uint32_t into_tail = into.tail_.load(std::memory_order_relaxed);  // the caller is the only writer
        for (std::uint32_t i = 0; i + 1 < count; ++i) {
            into.slots_[(into_tail + i) % capacity].store(slots_[(first + i) % capacity].load(std::memory_order_relaxed),
                                                          std::memory_order_relaxed);
        }
        detail::work_item* last = slots_[(first + count - 1) % capacity].load(std::memory_order_relaxed);
        head = head_.load(std::memory_order_acquire);  // [Q2]
        while (!head_.compare_exchange_weak(head, pack(real_of(head), real_of(head)), std::memory_order_acq_rel,
                                            std::memory_order_acquire)) {  // [Q2] gives the slots free
        }
        if (count > 1) into.tail_.store(into_tail + count - 1, std::memory_order_seq_cst);  // [Q1]
        return last;
    }

    /// Any thread. Exact for the owner while nobody steals.
    std::uint32_t size() const noexcept {
        std::uint32_t real = real_of(head_.load(std::memory_order_acquire));
        std::uint32_t tail = tail_.load(std::memory_order_seq_cst);  // [Q1]
        std::uint32_t difference = tail - real;
        return difference > capacity ? 0 : difference;  // read at different times: more came since than was there, and that is told to those who sleep
    }

  private:
    static std::uint32_t real_of(std::uint64_t head) noexcept { return static_cast<std::uint32_t>(head); }
    static std::uint32_t steal_of(std::uint64_t head) noexcept { return static_cast<std::uint32_t>(head >> 32); }
    static std::uint64_t pack(std::uint32_t steal, std::uint32_t real) noexcept {
        return std::uint64_t{steal} << 32 | real;
    }

    alignas(64) detail::atomic<std::uint64_t> head_{0};
    alignas(64) detail::atomic<std::uint32_t> tail_{0};
    alignas(64) std::array<detail::atomic<detail::work_item*>, capacity> slots_{};
};

/// That of a worker. (The model checker explores smaller ones.)
using run_queue = basic_run_queue<detail::is_explored ? 16 : 256>;

}  // namespace peal::rt
