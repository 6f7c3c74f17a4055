// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace peal::fs {

/// Where the last name of `path` is.
inline std::string folder_of(const std::string& path) {
    std::size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace peal::fs
