// SPDX-License-Identifier: MIT
#pragma once

// The system's view of a message_operation.

#include <sys/socket.h>

#include <cstddef>

namespace peal::rt {

inline msghdr& header_of(std::byte* header) noexcept { return *reinterpret_cast<msghdr*>(header); }

}  // namespace peal::rt
