// SPDX-License-Identifier: MIT

#include <sched.h>

#include <peal/detail/spin_lock.hpp>

namespace peal::detail {

void spin_lock::lock_slow() noexcept {
    // Who finds it taken stays away for a microsecond or so: the other one then does several things in a row out of its own cache, where
    // both would only pass the line to and fro (back-off, Anderson 1990). If the system has taken the holder's CPU, it gets ours.
    constexpr unsigned pauses = is_explored ? 1 : 32;
    for (;;) {
        for (unsigned i = 0; i < pauses; ++i) spin_hint();
        if (!locked_.load(std::memory_order_relaxed) && !locked_.exchange(true, std::memory_order_acquire)) return;  // [L1]
        ::sched_yield();
    }
}

}  // namespace peal::detail
