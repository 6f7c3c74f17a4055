// SPDX-License-Identifier: MIT
#pragma once

// change_watch: hears of what happens to files and in folders.

#include <cstdint>
#include <memory>
#include <string>

#include <peal/detail/config.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

/// One thing that happened.
class change {
  public:
    enum class kind : std::uint8_t {
        created,        // a name in the folder, also a link
        removed,        // a name in the folder
        moved_away,     // a name left the folder; `pair` is that of the moved_here, if that folder is watched, too
        moved_here,     // a name came into the folder
        modified,       // bytes were written
        written,        // who had it open for writing has closed it: time to read it
        attributes,     // permissions, owner, times, links
        itself_moved,   // what is watched got another name
        itself_removed, // what is watched is gone
        ended,          // nothing more comes of this path: it is gone, or its file system, or remove() was called
        overflow,       // more happened than the system keeps (16,384 by default): look at everything anew. Of no path
    };
    change(kind what, std::string path, std::string name, bool is_directory, std::uint32_t pair)
        : what(what), path(std::move(path)), name(std::move(name)), is_directory(is_directory), pair(pair) {}

    kind what;
    std::string path;    // as it was given to add()
    std::string name;    // in that folder; "" if it happened to what is watched itself
    bool is_directory;
    std::uint32_t pair;  // the same for the two sides of a move, else 0
};

/// Hears of changes at any number of paths: of a folder those of its names and of the files in it, not of what is further below.
///
///     peal::fs::change_watch changes;
///     co_await changes.add("/etc/app");
///     for (;;) {
///         auto change = co_await changes.next();
///         if (change.what == peal::fs::change::kind::written) ...
///
/// Changes that other machines make on a network's file system are not told, nor those by mapped memory. Of equal ones that come one after
/// the other the system may tell one.
///
/// Threads:      next() by one task at a time; add() and remove() also beside it.
/// Cancellation: a canceled next() has taken nothing.
/// Lifetime:     until next() has ended.
/// Errors:       std::system_error with the errno, the system call and the path. no_space_on_device from add(): fs.inotify.max_user_watches is
///               reached; too_many_files_open from the constructor: fs.inotify.max_user_instances is.
/// Bound:        the system's queue, see overflow; 4 KiB here and a name for each path.
/// Kernel:       inotify, read on the ring of the worker that awaits.
class PEAL_EXPORT change_watch {
  public:
    change_watch();
    change_watch(change_watch&&) noexcept;
    change_watch& operator=(change_watch&&) noexcept;
    ~change_watch();

    /// From now on. A path that is watched already goes on by its new spelling.
    [[nodiscard]] task<void> add(std::string path);
    /// False if it is not watched. What has happened before is still told, and then that it ended.
    bool remove(const std::string& path);

    [[nodiscard]] task<change> next();

  private:
    class state;
    std::unique_ptr<state> state_;
};

}  // namespace peal::fs
