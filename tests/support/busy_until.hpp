// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <thread>

namespace support {

/// User code that computes until somebody else has done something. False if that never happens.
template <class Condition>
bool busy_until(Condition condition) {
    auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);  // a guard against a hang
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}

}  // namespace support
