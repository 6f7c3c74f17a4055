// SPDX-License-Identifier: MIT
#pragma once

// faults: what goes wrong with operations, said by a test. Every driver asks before it hands an operation to the outside, for each round of it.
//
// Threads: set while no pool exists. The source is called by workers and blocking threads, under the locks of drivers.

#include <cstdint>

#include <peal/detail/operation.hpp>

namespace peal::rt {

/// Gives 0, or what comes of the operation instead of performing it: -errno.
using fault_source = std::int32_t (*)(const detail::operation& operation);

inline constinit fault_source the_fault_source = nullptr;

inline std::int32_t fault_of(const detail::operation& operation) noexcept {
    return the_fault_source != nullptr ? the_fault_source(operation) : 0;
}

/// Bytes of a plain transfer: the kernel moves at most 2 GiB - 4 KiB per request, and the caller's loop goes on. A test makes it less.
inline constinit std::uint64_t longest_transfer = 1u << 30;

}  // namespace peal::rt
