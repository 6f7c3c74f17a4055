// SPDX-License-Identifier: MIT
#pragma once

#include <peal/detail/config.hpp>

namespace support {

/// Built for a sanitizer under which every round is slow: fewer of them.
#if defined(PEAL_TSAN) || defined(PEAL_ASAN)
inline constexpr bool is_sanitized = true;
#else
inline constexpr bool is_sanitized = false;
#endif

}  // namespace support
