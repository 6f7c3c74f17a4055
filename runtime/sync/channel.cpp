// SPDX-License-Identifier: MIT

#include <peal/sync/channel.hpp>

namespace peal::detail {

void throw_closed(const char* operation) { throw std::system_error(std::make_error_code(std::errc::broken_pipe), operation); }

}  // namespace peal::detail
