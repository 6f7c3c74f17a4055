// SPDX-License-Identifier: MIT
#pragma once

// The small text files by which the system tells its settings (/proc, /sys).

#include <string>

namespace peal::rt {

/// The beginning of the file, at most 64 KiB; empty if it cannot be read, for whatever reason. Any thread.
std::string read_system_file(const std::string& path);

}  // namespace peal::rt
