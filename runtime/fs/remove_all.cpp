// SPDX-License-Identifier: MIT

// Goes down by open folders and single names, never by a path of more than one: what somebody else puts in the place of a folder is
// removed or refused, and not followed. A batch at a time, so that it can be stopped and leaves the blocking thread to others.

#include <peal/fs/names.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stop_token>
#include <system_error>
#include <vector>

#include <peal/detail/blocking_call.hpp>

#include "../base/zero_bytes.hpp"

namespace peal::fs {
namespace {

constexpr unsigned batch_size = 256;

class removal {
  public:
    explicit removal(std::string root) : root_(std::move(root)) {}
    removal(const removal&) = delete;
    removal& operator=(const removal&) = delete;
    ~removal() {
        for (level& each : levels_) {
            if (each.folder != nullptr) ::closedir(each.folder);
        }
    }

    /// True: there is more to do. On a blocking thread.
    bool remove_batch() {
        if (!begun_) begin();
        for (unsigned i = 0; i < batch_size && !levels_.empty(); ++i) step();
        return !levels_.empty();
    }
    std::uint64_t removed() const noexcept { return removed_; }

  private:
    struct level {
        DIR* folder;
        std::string name;        // in the level above
        bool has_removed = false;  // since it was read from its begin
    };

    void begin() {
        begun_ = true;
        if (::unlink(root_.c_str()) == 0) {
            ++removed_;
            return;
        }
        if (errno == ENOENT) return;
        if (errno != EISDIR) fail("unlink", "");
        struct stat top {};
        struct stat here {};
        if (::stat("/", &top) == 0 && ::stat(root_.c_str(), &here) == 0 && top.st_dev == here.st_dev && top.st_ino == here.st_ino) {
            errno = EPERM;
            fail("remove_all", "");
        }
        enter(AT_FDCWD, root_);
    }

    void enter(int parent, const std::string& name) {
        levels_.push_back({nullptr, name});  // first: an open folder must not go without an owner
        int fd = ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR* folder = fd >= 0 ? ::fdopendir(fd) : nullptr;
        levels_.back().folder = folder;
        if (folder == nullptr) {
            int error_number = errno;
            if (fd >= 0) ::close(fd);
            levels_.pop_back();
            errno = error_number;
            if (errno == ENOENT) return;  // somebody else removes, too
            fail("opendir", levels_.empty() ? std::string() : name);
        }
    }

    void step() {
        DIR* folder = levels_.back().folder;
        errno = 0;
        dirent* found = ::readdir(folder);
        if (found == nullptr) {
            if (errno != 0) fail("readdir", "");
            leave();
            return;
        }
        if (std::strcmp(found->d_name, ".") == 0 || std::strcmp(found->d_name, "..") == 0) return;
        std::string name = found->d_name;
        if (found->d_type != DT_DIR) {
            if (::unlinkat(::dirfd(folder), name.c_str(), 0) == 0) {
                count();
                return;
            }
            if (errno == ENOENT) return;
            if (errno != EISDIR) fail("unlink", name);
        }
        enter(::dirfd(folder), name);
    }

    void leave() {
        level& last = levels_.back();
        int parent = levels_.size() > 1 ? ::dirfd(levels_[levels_.size() - 2].folder) : AT_FDCWD;
        bool gone = ::unlinkat(parent, last.name.c_str(), AT_REMOVEDIR) == 0;
        if (!gone && (errno == ENOTEMPTY || errno == EEXIST) && last.has_removed) {
            // Removing has made the file system skip some names, or somebody has put new ones there.
            last.has_removed = false;
            ::rewinddir(last.folder);
            return;
        }
        if (!gone && errno != ENOENT) fail("rmdir", "");
        ::closedir(last.folder);
        levels_.pop_back();
        if (gone) count();
    }

    void count() noexcept {
        ++removed_;
        if (!levels_.empty()) levels_.back().has_removed = true;
    }

    [[noreturn]] void fail(const char* call, const std::string& name) const {
        int error_number = errno;
        std::string path = levels_.empty() ? root_ : std::string();
        for (const level& each : levels_) path += (path.empty() ? "" : "/") + each.name;
        if (!name.empty()) path += '/' + name;
        throw std::system_error(error_number, std::system_category(), std::string(call) + ' ' + path);
    }

    std::string root_;
    bool begun_ = false;
    std::vector<level> levels_;
    std::uint64_t removed_ = 0;
};

}  // namespace

task<std::uint64_t> remove_all(std::string path) {
    rt::check_whole("remove_all " + path);
    removal removing(std::move(path));
    auto remove_batch = [&removing] { return removing.remove_batch(); };
    for (;;) {
        std::stop_source stopped;  // a batch is finished; the next one is not begun
        peal::detail::blocking_call batch(remove_batch, peal::detail::blocking_class::files, &stopped);
        bool is_more = co_await batch;
        if (!is_more) co_return removing.removed();
    }
}

}  // namespace peal::fs
