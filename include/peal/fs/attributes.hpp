// SPDX-License-Identifier: MIT
#pragma once

// attributes: permissions, owner, times and extended attributes of files.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

// For all of these:
//
// Threads:      on a worker (asserted).
// Cancellation: only before the call has begun.
// Errors:       std::system_error with the errno, the name of the system call and the path.
// Kernel:       a system call by a blocking thread of the pool. It follows symbolic links unless told otherwise.

/// Sets the lower twelve bits of the mode, whatever the umask.
PEAL_EXPORT task<void> set_permissions(std::string path, std::uint32_t permissions);

/// What is absent stays as it is. Numbers of users and groups.
PEAL_EXPORT task<void> set_owner(std::string path, std::optional<std::uint32_t> user, std::optional<std::uint32_t> group,
                                 follow_links follow = follow_links::yes);

/// What is absent stays as it is. To the nanosecond, as far as the file system goes.
PEAL_EXPORT task<void> set_times(std::string path, std::optional<std::chrono::system_clock::time_point> accessed,
                                 std::optional<std::chrono::system_clock::time_point> modified, follow_links follow = follow_links::yes);

enum class attribute_mode : std::uint8_t {
    set,      // made or replaced
    create,   // file_exists if there is one of that name
    replace,  // no_message_available (ENODATA) if there is none
};
/// Extended attributes; names begin with what they are for, mostly "user.". Errors: operation_not_supported from file systems that have none, or not
/// of that kind; no_message_available (ENODATA) for one that is missing.
PEAL_EXPORT task<std::vector<std::byte>> get_attribute(std::string path, std::string name);
/// Lifetime: `value` until it ends.
PEAL_EXPORT task<void> set_attribute(std::string path, std::string name, std::span<const std::byte> value, attribute_mode mode = attribute_mode::set);
PEAL_EXPORT task<void> remove_attribute(std::string path, std::string name);
/// The names. Bound: the system's, 64 KiB.
PEAL_EXPORT task<std::vector<std::string>> list_attributes(std::string path);

}  // namespace peal::fs
