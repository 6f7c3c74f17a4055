// SPDX-License-Identifier: MIT
#pragma once

// names: folders and links are made, things are renamed and removed. By path; relative to an open folder: fs::directory.

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include <peal/fs/walk.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

// For all of these, unless they say otherwise:
//
// Threads:      on a worker (asserted).
// Cancellation: what the system has begun it mostly finishes; then it succeeds.
// Errors:       std::system_error with the errno, the name of the system call and the path.
// Kernel:       one request on the ring of the worker that awaits, done by the ring's kernel threads. What has no such request (read_link,
//               remove_all, list) runs on a blocking thread of the pool.

/// Makes a folder. Errors: file_exists if there is anything of that name.
PEAL_EXPORT task<void> make_directory(std::string path, std::uint32_t permissions = 0777);

/// The same, with those above it that are missing. A folder that exists is no error.
PEAL_EXPORT task<void> make_directories(std::string path, std::uint32_t permissions = 0777);

/// Removes an empty folder.
PEAL_EXPORT task<void> remove_directory(std::string path);

/// Removes `path` and all that is below it; gives the number of names removed, 0 if there was none. Links are removed and not followed, also when
/// somebody puts one in the place of a folder meanwhile.
///
/// Cancellation: between some hundred removals; what is removed is gone.
/// Errors:       the first that comes ends it. operation_not_permitted for the root of the system.
/// Bound:        one open folder and one name per level.
PEAL_EXPORT task<std::uint64_t> remove_all(std::string path);

enum class if_exists : std::uint8_t {
    replace,   // what is there goes, in one step: nobody sees that nothing is there
    fail,      // file_exists
    exchange,  // both names change places; both must exist
};
/// Renames, or moves within a file system. Errors: cross_device_link to another one; invalid_argument from file systems that know only `replace`.
PEAL_EXPORT task<void> rename(std::string from, std::string to, if_exists what = if_exists::replace);

/// A second name for a file. A symbolic link is not followed, it gets a second name itself.
PEAL_EXPORT task<void> link(std::string existing, std::string path);

/// A symbolic link `path` that says `target`, whatever that is.
PEAL_EXPORT task<void> symlink(std::string target, std::string path);

/// What a symbolic link says. Errors: invalid_argument if it is none.
PEAL_EXPORT task<std::string> read_link(std::string path);

/// What is in a folder, in no order; paths begin with `path`. For folders of any size, and for what is below: directory_walk.
/// Errors: value_too_large for more than `most` names.
PEAL_EXPORT task<std::vector<entry>> list(std::string path, std::size_t most = 100'000);

}  // namespace peal::fs
