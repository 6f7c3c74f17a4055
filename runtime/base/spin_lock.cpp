// SPDX-License-Identifier: MIT

#include <sched.h>

#include <peal/detail/spin_lock.hpp>

namespace peal::detail {

void spin_lock::lock_slow() noexcept {
    // Who finds it taken stays away for a while, each time twice as long (Anderson 1990): the other one then does several things in a row
    // out of its own cache, where both would only pass the line to and fro. If the system has taken the holder's CPU, it gets ours.
    constexpr unsigned pause = is_explored ? 1 : 32;
    for (unsigned round = 0;; ++round) {
        for (unsigned i = 0; i < pause; ++i) spin_hint();
        if (!locked_.load(std::memory_order_relaxed) && !locked_.exchange(true, std::memory_order_acquire)) return;  // [L1]
        if (round >= 0) ::sched_yield();
    }
}

}  // namespace peal::detail
