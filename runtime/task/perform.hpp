// SPDX-License-Identifier: MIT
#pragma once

// The plain system calls behind the file operations: for kernels that lack the ring operation, and for when the ring cannot run it.

#include <peal/detail/operation.hpp>

namespace peal::rt {

/// True for operations that perform_now() knows: those that end by themselves. Sockets are not among them, they could block for ever.
bool can_perform(detail::operation_kind kind) noexcept;

/// Performs the operation and gives what the ring would: a result or -errno. Blocks; not on a worker.
std::int32_t perform_now(detail::operation& operation) noexcept;


/// By the system: not opened with O_DIRECT. There RWF_NOWAIT would wait for the device.
bool is_cached(int fd) noexcept;

/// A read of what lies in the page cache: all that was asked for, or the end of the file. False: something is missing, or this file has no such thing.
/// Requires: is_cached(fd).
bool read_from_cache(detail::operation& operation) noexcept;

}  // namespace peal::rt
