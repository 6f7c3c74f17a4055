// SPDX-License-Identifier: MIT

#include <sched.h>

#include <peal/detail/spin_lock.hpp>

namespace peal::detail {

void spin_lock::lock_slow() noexcept {
    // The holder is a few instructions from letting go, unless the system has taken its CPU: then give it ours.
    for (unsigned spins = 0;; ++spins) {
        while (locked_.load(std::memory_order_relaxed)) {  // [L1] a hint: the exchange below acquires
            if (spins < 64) {
                spin_hint();
                ++spins;
            } else {
                ::sched_yield();
            }
        }
        if (!locked_.exchange(true, std::memory_order_acquire)) return;  // [L1]
    }
}

}  // namespace peal::detail
