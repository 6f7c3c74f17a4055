// SPDX-License-Identifier: MIT
#pragma once

// handover: operations on their way from the owner of a driver, which submits, to whoever holds the driver's lock. A ring of pointers.
//
// tail_   written by the owner    [U1] release store / acquire load: the slot and the operation are filled
// head_   written under the lock  [U2] release store / acquire load: the slot may be used again
// Bound: `capacity` pointers. When it is full, the owner takes the lock and hands over.

#include <array>
#include <cstdint>

#include <peal/detail/atomic.hpp>
#include <peal/detail/operation.hpp>

#include "../base/sanitizer.hpp"

namespace peal::rt {

class handover {
  public:
    static constexpr std::uint32_t capacity = detail::is_explored ? 2 : 256;

    /// Owner only. False if it is full.
    [[nodiscard]] bool try_push(detail::operation& operation) noexcept {
        std::uint32_t tail = tail_.load(std::memory_order_relaxed);  // the owner is the only writer
        if (tail - head_.load(std::memory_order_acquire) == capacity) return false;  // [U2]
        tsan_release(&operation);
        slots_[tail % capacity].store(&operation, std::memory_order_relaxed);
        tail_.store(tail + 1, std::memory_order_release);  // [U1]
        return true;
    }

    /// Under the lock. Calls `take(operation)` for each, oldest first.
    template <class Take>
    void take_all(Take take) noexcept {
        std::uint32_t head = head_.load(std::memory_order_relaxed);  // written under the lock only
        std::uint32_t tail = tail_.load(std::memory_order_acquire);  // [U1]
        if (head == tail) return;
        for (; head != tail; ++head) {
            detail::operation& operation = *slots_[head % capacity].load(std::memory_order_relaxed);
            tsan_acquire(&operation);
            take(operation);
        }
        head_.store(head, std::memory_order_release);  // [U2]
    }

    /// A hint.
    bool empty() const noexcept { return head_.load(std::memory_order_relaxed) == tail_.load(std::memory_order_relaxed); }

  private:
    std::array<detail::atomic<detail::operation*>, capacity> slots_{};
    alignas(64) detail::atomic<std::uint32_t> tail_{0};
    alignas(64) detail::atomic<std::uint32_t> head_{0};
};

}  // namespace peal::rt
