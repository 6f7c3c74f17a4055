// SPDX-License-Identifier: MIT
#pragma once

// Waiting for descriptors of others: a library that does its own reading and writing, a device, an eventfd, a timerfd.

#include <peal/detail/operation.hpp>

namespace peal::io {

/// Until a read of `fd` (or an accept) would not wait: there is something, the other side has ended, or there is an error, which the read then
/// tells. What else reads there may be quicker: make the descriptor non-blocking, and wait again if it has nothing.
///
/// Cancellation: nothing has been taken from the descriptor.
/// Lifetime:     `fd` stays the caller's and must stay open until this ends; what closes it elsewhere does not end the wait.
/// Errors:       std::system_error with the errno and "poll": bad_file_descriptor. What cannot wait, a file, is always ready.
/// Kernel:       one poll on the ring of the worker that awaits.
[[nodiscard]] PEAL_EXPORT peal::detail::void_operation wait_readable(int fd) noexcept;
/// The same for a write (or the end of a connect).
[[nodiscard]] PEAL_EXPORT peal::detail::void_operation wait_writable(int fd) noexcept;

}  // namespace peal::io
