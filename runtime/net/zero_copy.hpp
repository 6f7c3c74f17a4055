// SPDX-License-Identifier: MIT
#pragma once

namespace peal::rt {

/// True lets tcp_stream::set_zero_copy() take effect to a peer on this machine: a test has no other.
inline constinit bool zero_copy_on_this_machine = false;

}  // namespace peal::rt
