// SPDX-License-Identifier: MIT

#include <peal/fs/watch.hpp>

#include <fcntl.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>

#include <peal/detail/blocking_call.hpp>
#include <peal/detail/operation.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "../base/zero_bytes.hpp"
#include "../task/descriptors.hpp"

namespace peal::fs {
namespace {

constexpr std::uint32_t told = IN_CREATE | IN_DELETE | IN_MOVE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVE_SELF | IN_DELETE_SELF;

std::optional<change::kind> kind_of(std::uint32_t mask) noexcept {
    using enum change::kind;
    if ((mask & IN_Q_OVERFLOW) != 0) return overflow;
    if ((mask & IN_IGNORED) != 0) return ended;
    if ((mask & IN_CREATE) != 0) return created;
    if ((mask & IN_DELETE) != 0) return removed;
    if ((mask & IN_MOVED_FROM) != 0) return moved_away;
    if ((mask & IN_MOVED_TO) != 0) return moved_here;
    if ((mask & IN_CLOSE_WRITE) != 0) return written;
    if ((mask & IN_MODIFY) != 0) return modified;
    if ((mask & IN_ATTRIB) != 0) return attributes;
    if ((mask & IN_MOVE_SELF) != 0) return itself_moved;
    if ((mask & IN_DELETE_SELF) != 0) return itself_removed;
    return std::nullopt;  // IN_UNMOUNT: the end follows
}

}  // namespace

class change_watch::state {
  public:
    state() : fd_(::inotify_init1(IN_CLOEXEC)) {
        if (fd_ < 0) throw std::system_error(errno, std::system_category(), "inotify_init (raise fs.inotify.max_user_instances?)");
    }
    state(const state&) = delete;
    state& operator=(const state&) = delete;
    ~state() { rt::close_file(fd_); }

    /// On a blocking thread: the path is looked up.
    void add(const std::string& path) {
        rt::check_whole("inotify_add_watch " + path);
        // Found first: that may take long (a network), and next() waits for the lock on a worker. Without /proc it is found under the lock.
        struct closed_at_the_end {
            const int fd;
            ~closed_at_the_end() {
                if (fd >= 0) ::close(fd);
            }
        } const found{::open(path.c_str(), O_PATH | O_CLOEXEC)};
        std::map<int, std::string> added;  // its node is made first: a watch whose path is not known would tell of nothing
        added.emplace(-1, path);
        const std::string itself = "/proc/self/fd/" + std::to_string(found.fd);
        int number = -1;
        if (found.fd >= 0) {
            std::lock_guard guard(mutex_);  // what happens from now on must find the path
            number = ::inotify_add_watch(fd_, itself.c_str(), told);
            if (number < 0 && errno == ENOENT) number = ::inotify_add_watch(fd_, path.c_str(), told);
            if (number >= 0) {
                auto node = added.extract(added.begin());
                node.key() = number;
                paths_.erase(number);
                paths_.insert(std::move(node));
            }
        }
        if (number < 0) {
            const int error_number = errno;
            const char* hint = error_number == ENOSPC ? " (raise fs.inotify.max_user_watches)" : "";
            throw std::system_error(error_number, std::system_category(), "inotify_add_watch " + path + hint);
        }
    }

    bool remove(const std::string& path) noexcept {
        std::lock_guard guard(mutex_);
        for (const auto& [number, watched] : paths_) {  // the path goes when its end is told; one that has ended may stand here beside a new one
            if (watched == path && ::inotify_rm_watch(fd_, number) == 0) return true;
        }
        return false;
    }

    peal::detail::size_operation read() noexcept {
        return peal::detail::size_operation(peal::detail::operation_kind::read, fd_, buffer_.data(), buffer_.size(), 0,
                                            peal::detail::no_offset, peal::detail::size_operation::rounds::one);
    }
    void set_read(std::size_t bytes) noexcept {
        begin_ = 0;
        end_ = bytes;
    }

    /// The next of those that were read.
    std::optional<change> take() {
        while (begin_ < end_) {
            inotify_event event;
            std::memcpy(&event, buffer_.data() + begin_, sizeof event);
            const char* name = reinterpret_cast<const char*>(buffer_.data()) + begin_ + sizeof event;
            std::size_t next = begin_ + sizeof event + event.len;
            std::optional<change::kind> what = kind_of(event.mask);
            if (!what) {
                begin_ = next;
                continue;
            }
            std::string in_folder(name, event.len != 0 ? ::strnlen(name, event.len) : 0);
            std::string path;
            {
                std::lock_guard guard(mutex_);
                auto found = paths_.find(event.wd);
                if (found != paths_.end()) path = found->second;
                if (*what == change::kind::ended && found != paths_.end()) paths_.erase(found);
            }
            begin_ = next;  // not before: if there was no memory for it, it is still the next
            return change(*what, std::move(path), std::move(in_folder), (event.mask & IN_ISDIR) != 0, event.cookie);
        }
        return std::nullopt;
    }

  private:
    const int fd_;
    alignas(inotify_event) std::array<std::byte, 4096> buffer_;  // owned by the task in next(), as the next two
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    peal::detail::thread_mutex mutex_;  // guards paths_
    std::map<int, std::string> paths_;
};

change_watch::change_watch() : state_(std::make_unique<state>()) {}
change_watch::change_watch(change_watch&&) noexcept = default;
change_watch& change_watch::operator=(change_watch&&) noexcept = default;
change_watch::~change_watch() = default;

task<void> change_watch::add(std::string path) {
    auto add = [this, &path] {
        state_->add(path);
        return true;
    };
    peal::detail::blocking_call adding(add, peal::detail::blocking_class::files);
    co_await adding;
}

bool change_watch::remove(const std::string& path) { return state_->remove(path); }

task<change> change_watch::next() {
    for (;;) {
        std::optional<change> next = state_->take();
        if (next) co_return std::move(*next);
        auto reading = state_->read();
        std::size_t bytes = co_await reading;
        state_->set_read(bytes);
    }
}

}  // namespace peal::fs
