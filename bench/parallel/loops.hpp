// SPDX-License-Identifier: MIT
#pragma once

// Loops over a long array with next to nothing to do per element, serial: what it costs to divide shows, and whether the compiler
// still vectorises what is left.

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

#include "support/sizes.hpp"

namespace loops {

using element = std::uint32_t;

inline std::vector<element> make() {
    std::vector<element> made(static_cast<std::size_t>(bench::scaled(1'000'000, 1'000)));
    std::iota(made.begin(), made.end(), element{0});
    return made;
}
/// A step of the loop that changes every element.
inline element next(element x) noexcept { return 3 * x + 1; }
[[gnu::noinline]] inline void change_all(std::vector<element>& all) {
    for (element& each : all) each = next(each);
}
/// What the loop that reduces gives.
[[gnu::noinline]] inline std::uint64_t sum(const std::vector<element>& all) {
    return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

}  // namespace loops
