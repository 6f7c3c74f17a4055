// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace peal {

/// What a pool did so far. accepted = completed + failed + canceled + live. A task is counted as ended when nothing of it is left, a
/// moment after the one who waits for it was told; after shutdown() the counts are final.
class pool_counts {
  public:
    pool_counts() noexcept {}
    std::uint64_t accepted = 0;
    std::uint64_t completed = 0;  // ended with a value
    std::uint64_t failed = 0;     // ended with an exception
    std::uint64_t canceled = 0;   // ended with operation_canceled
    std::uint64_t live = 0;       // not ended yet
};

}  // namespace peal
