// SPDX-License-Identifier: MIT
#pragma once

// each_ring_mode: for tests of what differs by ring_mode.

#include <peal/pool/pool.hpp>

#include "catch.hpp"

namespace support {

/// The test case runs once for each mode, and says which. Call it once.
inline peal::pool_options each_ring_mode(unsigned workers) {
    peal::pool_options options(workers);
    bool exclusive = GENERATE(false, true);
    if (exclusive) options.ring_mode = peal::ring_mode::exclusive;
    UNSCOPED_INFO((exclusive ? "exclusive rings" : "shared rings"));
    return options;
}

}  // namespace support
