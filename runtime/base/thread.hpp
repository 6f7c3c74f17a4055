// SPDX-License-Identifier: MIT
#pragma once

// The threads that peal makes and how they pause, by the names of <peal/detail/atomic.hpp> and for its reasons.

#include <peal/detail/atomic.hpp>

#ifndef PEAL_MODEL

#include <chrono>
#include <thread>
#include <utility>

namespace peal::detail {

using thread = std::thread;

/// A thread that nobody joins. Throws std::system_error if the system refuses.
template <class Function>
void begin_detached_thread(Function function) {
    std::thread(std::move(function)).detach();
}

/// Looks again later: for a thread that waits for something nobody tells it of.
inline void pause_thread(std::chrono::microseconds length) { std::this_thread::sleep_for(length); }

}  // namespace peal::detail

#endif
