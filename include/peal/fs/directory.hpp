// SPDX-License-Identifier: MIT
#pragma once

// directory: an open folder, in which names are looked up.

#include <cstdint>
#include <string>

#include <peal/fs/file.hpp>
#include <peal/fs/names.hpp>
#include <peal/fs/open_options.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

/// How far a path may lead that is looked up in a folder. In each case but the last, magic links of /proc lead nowhere.
enum class resolve : std::uint8_t {
    beneath,                // not out of the folder: neither by "..", nor an absolute path, nor a link
    beneath_without_links,  // nor by any symbolic link at all
    beneath_on_this_mount,  // as beneath, and not into what is mounted there
    in_root,                // the folder is the root of what the path says: "/" and ".." end there
    anywhere,               // as the system does it by itself
};

/// An open folder. It stays the same folder when it is renamed, and when somebody else puts something in its place.
///
/// Paths that come from outside (an archive, a request) are opened here and cannot lead elsewhere, whatever links lie there, and whoever
/// changes them meanwhile. What takes a `name` takes a single one, without a slash, and refuses others (invalid_argument): for longer
/// paths, open the folder first.
///
/// Threads:      any number of tasks.
/// Cancellation: as file.
/// Lifetime:     longer than what it is asked for.
/// Errors:       std::system_error with the errno, the name of the system call and the name in question. cross_device_link (EXDEV) and
///               too_many_symbolic_link_levels (ELOOP) say that a path led where it may not.
/// Kernel:       as file. Paths need openat2, Linux 5.6.
class PEAL_EXPORT directory {
  public:
    directory() noexcept = default;
    static task<directory> open(std::string path);

    [[nodiscard]] task<file> open_file(std::string path, open_options options, resolve rules = resolve::beneath) const;
    [[nodiscard]] task<directory> open_directory(std::string path, resolve rules = resolve::beneath) const;

    /// Of the name itself: a symbolic link is not followed.
    [[nodiscard]] task<file_info> stat(std::string name) const;
    [[nodiscard]] task<void> make_directory(std::string name, std::uint32_t permissions = 0777) const;
    [[nodiscard]] task<void> remove(std::string name) const;
    [[nodiscard]] task<void> remove_directory(std::string name) const;
    /// `to` may be this one.
    [[nodiscard]] task<void> rename(std::string name, const directory& to, std::string new_name, if_exists what = if_exists::replace) const;
    [[nodiscard]] task<void> link(std::string name, const directory& to, std::string new_name) const;
    [[nodiscard]] task<void> symlink(std::string target, std::string name) const;
    /// Makes the names in it durable: those that were made, renamed and removed.
    [[nodiscard]] task<void> sync();

    bool is_open() const noexcept { return folder_.is_open(); }
    int native_handle() const noexcept { return folder_.native_handle(); }
    void close() noexcept { folder_.close(); }

  private:
    explicit directory(file folder) noexcept : folder_(std::move(folder)) {}
    file folder_;
};

}  // namespace peal::fs
