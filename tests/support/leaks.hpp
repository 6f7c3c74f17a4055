// SPDX-License-Identifier: MIT
#pragma once

// What must be the same before and after: open descriptors, live frames.

#include <dirent.h>

#include <cstddef>
#include <cstdint>

namespace support {

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* folder = ::opendir("/proc/self/fd");
    if (folder == nullptr) return 0;
    while (::readdir(folder) != nullptr) ++count;
    ::closedir(folder);
    return count - 3;  // ".", "..", and the folder itself
}

/// Frames that a test abandoned on purpose (a pool whose tasks do not stop): it adds them here.
inline std::int64_t expected_frames = 0;
/// Descriptors of such pools: a ring and an event descriptor per worker, which the kernel and late stoppers may still use.
inline std::size_t expected_descriptors = 0;

}  // namespace support
