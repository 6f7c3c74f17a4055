// SPDX-License-Identifier: MIT
#pragma once

// From an operation, in peal's words, to a submission, in the kernel's: one case per kind.

#include <liburing.h>

#include <peal/detail/operation.hpp>

namespace peal::rt {

/// The kernel's number for the operation.
unsigned opcode_of(detail::operation_kind kind) noexcept;

inline constexpr std::uint32_t plain = 1;  // in the flags of receive_leases: asked for once, as receive_lease is

/// Fills a cleared entry, except its user_data. The operation must stay where it is until it completes.
void prepare(io_uring_sqe& entry, detail::operation& operation) noexcept;

}  // namespace peal::rt
