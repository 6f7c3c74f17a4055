// SPDX-License-Identifier: MIT
#pragma once

// A lock for a handful of instructions: never held while user code runs, memory is allocated or the kernel is entered. Two exceptions:
// a driver's lock is held while its worker enters the ring, and sleeps there; the lock of task/frame_return.cpp while memory goes back to the
// system. Others only try_lock() these; an owner of a driver waits for who stands in for it (runtime/sched/README.md), as long as that enters its ring.

#include <peal/detail/atomic.hpp>
#include <peal/detail/config.hpp>

namespace peal::detail {

class spin_lock {
  public:
    void lock() noexcept {
        if (locked_.exchange(true, std::memory_order_acquire)) lock_slow();  // [L1] pairs with unlock()
    }
    bool try_lock() noexcept { return !locked_.exchange(true, std::memory_order_acquire); }  // [L1]
    void unlock() noexcept { locked_.store(false, std::memory_order_release); }              // [L1]

    /// For destructors. Whoever made it known, under the lock, that the object is not needed any more may still be about to unlock.
    void wait_until_free() noexcept {
        if (locked_.load(std::memory_order_acquire)) lock_slow();  // [L1]
    }

  private:
    PEAL_EXPORT void lock_slow() noexcept;

    detail::atomic<bool> locked_{false};
};

}  // namespace peal::detail
