// SPDX-License-Identifier: MIT
#pragma once

// attempt: an operation as a system call that does not wait.

#include <cstdint>

#include <peal/detail/operation.hpp>

namespace peal::rt {

inline constexpr std::int32_t would_wait = INT32_MIN;      // for the outside
inline constexpr std::int32_t must_block = INT32_MIN + 1;  // cannot be tried: a thread has to wait for it

enum class readiness : bool { unknown, told };  // told: by epoll, just now

/// What the kernel returned, -errno, or one of these two. Requires: a kind that transfers, accepts, connects or waits.
std::int32_t attempt(detail::operation& operation, readiness known) noexcept;

}  // namespace peal::rt
