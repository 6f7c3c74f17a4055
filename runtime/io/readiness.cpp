// SPDX-License-Identifier: MIT

#include <peal/io/readiness.hpp>

namespace peal::io {

using peal::detail::operation_kind;
using peal::detail::void_operation;

void_operation wait_readable(int fd) noexcept { return void_operation(operation_kind::wait_readable, fd, 0, 0); }
void_operation wait_writable(int fd) noexcept { return void_operation(operation_kind::wait_writable, fd, 0, 0); }

}  // namespace peal::io
