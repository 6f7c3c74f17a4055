// SPDX-License-Identifier: MIT
#pragma once

// temp_file: a file without a name, which gets one when it is complete, or goes. copy_file is made of it.

#include <cstdint>
#include <string>
#include <utility>

#include <peal/fs/file.hpp>
#include <peal/fs/names.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

/// A new file in a folder, for reading and writing, that nobody sees: when the object goes, or the program ends in whatever way, so does the file.
/// Until it is given a name.
///
///     auto temp = co_await peal::fs::temp_file::create("/var/lib/app");
///     co_await temp.content().write_at(0, bytes);
///     co_await temp.content().sync();
///     co_await temp.give_name("/var/lib/app/state");
///
/// Where the file system has no files without names it has one that begins with ".peal-temp-"; a program that is killed leaves that behind.
///
/// Threads:      one task at a time.
/// Cancellation: a give_name() that is stopped has given the name or not; a file that stood there is whole in either case.
/// Lifetime:     the destructor makes a system call or two, which on a file system that does not answer may take their time.
/// Errors:       std::system_error with the errno, the system call and the path.
/// Kernel:       O_TMPFILE.
class PEAL_EXPORT temp_file {
  public:
    static task<temp_file> create(std::string folder, std::uint32_t permissions = 0600);
    temp_file(temp_file&& other) noexcept : content_(std::move(other.content_)), name_(std::exchange(other.name_, std::string())) {}
    temp_file& operator=(temp_file&& other) noexcept {
        if (this != &other) {
            remove();
            content_ = std::move(other.content_);
            name_ = std::exchange(other.name_, std::string());
        }
        return *this;
    }
    ~temp_file() { remove(); }

    file& content() noexcept { return content_; }

    /// Once. `path` must be on the same file system. Not durable by itself: sync() the content before, and the folder after.
    /// Requires: not if_exists::exchange (asserted).
    [[nodiscard]] task<void> give_name(std::string path, if_exists what = if_exists::replace);

    /// create() as it is where there are no files without names. For tests.
    static task<temp_file> create_with_name(std::string folder, std::uint32_t permissions);

  private:
    temp_file(file content, std::string name) noexcept : content_(std::move(content)), name_(std::move(name)) {}
    void remove() noexcept;

    file content_;
    std::string name_;  // "": it has none that this object must remove
};

/// Copies the content and the permissions of a file; gives the number of bytes. `to` is complete when it appears, or is replaced in one step; a
/// symbolic link there is replaced itself. Not synced.
///
/// Where the system can, it copies by itself, and some file systems only share the blocks; else it is read and written.
///
/// Threads:      on a worker (asserted).
/// Cancellation: leaves `to` as it was.
/// Errors:       std::system_error with the errno, the system call and the path; is_a_directory for a folder.
/// Kernel:       copy_file_range by blocking threads of the pool, 16 MiB at a time.
PEAL_EXPORT task<std::uint64_t> copy_file(std::string from, std::string to, if_exists what = if_exists::replace);

}  // namespace peal::fs
