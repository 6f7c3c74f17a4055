// SPDX-License-Identifier: MIT
#pragma once

// What threads share and wait with, under one name each. In the library these are the standard's own types: the aliases cost nothing.
//
// The tests of tests/model are built with PEAL_MODEL, the name of a header that puts the explorer's types in their place: they run the
// same sources under every schedule and with every stale value that the memory orders permit (tests/model/README.md). So every
// atomic whose order matters, and every lock held by code that is explored there, is declared by these names. bench/scaling counts by them how
// lines go from core to core. No user needs the macro.

#ifdef PEAL_MODEL
#include PEAL_MODEL
#else

#include <atomic>

namespace peal::detail {

inline constexpr bool is_explored = false;  // true in tests/model: arrays of atomics are short there, each execution makes them anew

template <class T>
using atomic = std::atomic<T>;

/// Once per turn of a loop that waits for another thread to write something, and for nothing else.
inline void spin_hint() noexcept {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

}  // namespace peal::detail

#endif
