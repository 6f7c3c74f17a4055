// SPDX-License-Identifier: MIT
#pragma once

// The threads that peal makes and how they pause, by the names of <peal/detail/atomic.hpp> and for its reasons.

#include <peal/detail/atomic.hpp>

#ifndef PEAL_MODEL

#include <chrono>
#include <thread>

namespace peal::detail {

using thread = std::thread;

/// Looks again later: for a thread that waits for something nobody tells it of.
inline void pause_thread(std::chrono::microseconds length) { std::this_thread::sleep_for(length); }

}  // namespace peal::detail

#endif
