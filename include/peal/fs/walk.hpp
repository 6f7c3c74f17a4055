// SPDX-License-Identifier: MIT
#pragma once

// walk: the files below a folder.

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

/// One file or folder that a walk met, or could not enter.
class entry {
  public:
    entry(std::string path, file_type type, int error_number) : path(std::move(path)), type(type), error_number(error_number) {}
    std::string path;   // begins with the root as it was given
    file_type type;     // of the name itself: symbolic links are not followed
    int error_number;   // 0; or why this folder (or the root) could not be read
};

/// Walks a folder and everything below it, a batch of entries at a time.
///
/// The kernel has no asynchronous way to list a folder: this runs on a blocking thread of the pool, and no worker waits. Symbolic links are
/// reported and not followed, so a walk ends. A folder that cannot be read is reported as an entry with an error, and the walk
/// goes on. Folders come before what is in them; the order within a folder is the file system's.
///
///     peal::fs::directory_walk walk("/usr/share");
///     for (auto batch = co_await walk.next(); !batch.empty(); batch = co_await walk.next()) ...
///
/// Threads:  on a worker (asserted); next() by any number of tasks at once, each gets other entries.
/// Bound:    holds one open folder per level and at most `batch_size` entries.
class PEAL_EXPORT directory_walk {
  public:
    /// `depth`: so many levels of folders are entered; 1: the root alone. Folders below are reported and not entered.
    explicit directory_walk(std::string root, std::size_t batch_size = 256, std::size_t depth = static_cast<std::size_t>(-1));
    directory_walk(directory_walk&&) noexcept;
    directory_walk& operator=(directory_walk&&) noexcept;
    ~directory_walk();

    /// The next entries; none: the walk is over, for every task that asks.
    [[nodiscard]] task<std::vector<entry>> next();

  private:
    class state;
    std::unique_ptr<state> state_;
};

}  // namespace peal::fs
