// SPDX-License-Identifier: MIT
#pragma once

// timer: a node of a timer wheel (runtime/time/wheel.hpp). Lies in the frame of whoever waits.

#include <cstdint>

namespace peal::rt {
class wheel;
}

namespace peal::detail {

struct timer {
    using fire_function = void (*)(timer&) noexcept;
    explicit timer(fire_function fire) noexcept : fire(fire) {}

    fire_function fire;             // called once when the deadline has passed, outside the wheel's lock
    rt::wheel* home = nullptr;      // fixed before it is armed
    std::uint64_t deadline = 0;     // ticks of the wheel
    // Guarded by the wheel's lock:
    timer* next = nullptr;
    timer* previous = nullptr;      // the first of a slot points to itself
    std::uint32_t item = 0;         // of the owner's work, in which it was armed: the low half of its number
    std::uint16_t slot = 0;         // level * 64 + index
    bool armed = false;
};

}  // namespace peal::detail
