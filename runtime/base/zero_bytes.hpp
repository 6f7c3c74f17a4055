// SPDX-License-Identifier: MIT
#pragma once

// zero_bytes: the system reads names and texts up to their first zero byte, and would take one that holds such a byte for another one. So it is refused.

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

namespace peal::rt {

inline bool holds_zero(std::string_view text) noexcept { return text.find('\0') != text.npos; }

/// For messages, which would end there, too.
inline std::string shown(std::string_view text) {
    std::string clean(text);
    std::replace(clean.begin(), clean.end(), '\0', '?');
    return clean;
}

/// For calls that are no operations. `doing` names the call and what it is given, as its error would: it throws EINVAL if that would be cut.
inline void check_whole(const std::string& doing) {
    if (holds_zero(doing)) throw std::system_error(EINVAL, std::system_category(), shown(doing));
}

}  // namespace peal::rt
