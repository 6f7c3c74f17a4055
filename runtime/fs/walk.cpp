// SPDX-License-Identifier: MIT

#include <peal/fs/walk.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>
#include <new>

#include <peal/detail/blocking_call.hpp>

#include "../base/zero_bytes.hpp"

namespace peal::fs {
namespace {

file_type type_of(mode_t mode) noexcept {
    return S_ISREG(mode) ? file_type::regular : S_ISDIR(mode) ? file_type::directory : S_ISLNK(mode) ? file_type::symlink : file_type::other;
}

file_type type_of(int folder, const dirent& found) noexcept {
    switch (found.d_type) {
        case DT_REG: return file_type::regular;
        case DT_DIR: return file_type::directory;
        case DT_LNK: return file_type::symlink;
        case DT_UNKNOWN: {  // the file system does not tell
            struct stat status;
            if (::fstatat(folder, found.d_name, &status, AT_SYMLINK_NOFOLLOW) == 0) return type_of(status.st_mode);
            return file_type::other;
        }
        default: return file_type::other;
    }
}

}  // namespace

class directory_walk::state {
  public:
    state(std::string root, std::size_t batch_size, std::size_t depth)
        : root_(std::move(root)), batch_size_(batch_size == 0 ? 1 : batch_size), depth_(depth) {}
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    ~state() {
        for (level& each : levels_) {
            if (each.folder != nullptr) ::closedir(each.folder);
        }
    }

    /// On a blocking thread; others wait for it there.
    std::vector<entry> read_batch() {
        std::lock_guard guard(mutex_);
        // What was read and could not be kept is lost: from then on each call says so, and none ends a walk that has left something out.
        if (failed_) throw std::bad_alloc();
        failed_ = true;
        std::vector<entry> batch;
        if (!begun_) begin(batch);
        while (batch.size() < batch_size_ && !levels_.empty()) step(batch);
        failed_ = false;
        return batch;
    }

  private:
    struct level {
        DIR* folder;
        std::string path;  // with a slash at its end
    };

    void begin(std::vector<entry>& batch) {
        begun_ = true;
        struct stat status;
        if (rt::holds_zero(root_) || ::stat(root_.c_str(), &status) != 0) {
            batch.emplace_back(root_, file_type::other, rt::holds_zero(root_) ? EINVAL : errno);
            return;
        }
        if (!S_ISDIR(status.st_mode)) {
            batch.emplace_back(root_, type_of(status.st_mode), 0);
            return;
        }
        enter(AT_FDCWD, root_.c_str(), root_, O_RDONLY | O_DIRECTORY | O_CLOEXEC, batch);
    }

    void enter(int parent, const char* name, const std::string& path, int flags, std::vector<entry>& batch) {
        levels_.push_back({nullptr, path.back() == '/' ? path : path + '/'});  // first: an open folder must not go without an owner
        int fd = ::openat(parent, name, flags);
        DIR* folder = fd >= 0 ? ::fdopendir(fd) : nullptr;
        int error_number = errno;
        if (folder != nullptr) {
            levels_.back().folder = folder;
        } else {
            levels_.pop_back();
            if (fd >= 0) ::close(fd);
        }
        batch.emplace_back(path, file_type::directory, folder != nullptr ? 0 : error_number);
    }

    void step(std::vector<entry>& batch) {
        DIR* folder = levels_.back().folder;
        errno = 0;
        dirent* found = ::readdir(folder);
        if (found == nullptr) {
            if (errno != 0) batch.emplace_back(levels_.back().path, file_type::directory, errno);
            ::closedir(folder);
            levels_.pop_back();
            return;
        }
        if (std::strcmp(found->d_name, ".") == 0 || std::strcmp(found->d_name, "..") == 0) return;
        file_type type = type_of(::dirfd(folder), *found);
        std::string path = levels_.back().path + found->d_name;
        if (type == file_type::directory && levels_.size() < depth_) {
            enter(::dirfd(folder), found->d_name, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, batch);
        } else {
            batch.emplace_back(std::move(path), type, 0);
        }
    }

    std::string root_;
    std::size_t batch_size_;
    std::size_t depth_;
    std::mutex mutex_;  // guards what is below
    bool begun_ = false;
    bool failed_ = false;
    std::vector<level> levels_;
};

directory_walk::directory_walk(std::string root, std::size_t batch_size, std::size_t depth)
    : state_(std::make_unique<state>(std::move(root), batch_size, depth)) {}
directory_walk::directory_walk(directory_walk&&) noexcept = default;
directory_walk& directory_walk::operator=(directory_walk&&) noexcept = default;
directory_walk::~directory_walk() = default;

task<std::vector<entry>> directory_walk::next() {
    auto read = [this] { return state_->read_batch(); };
    peal::detail::blocking_call reading(read, peal::detail::blocking_class::files);
    co_return co_await reading;
}

}  // namespace peal::fs
