// SPDX-License-Identifier: MIT

#include <peal/fs/lock.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <system_error>

#include <peal/detail/blocking_call.hpp>
#include <peal/time/sleep.hpp>

#include "../task/descriptors.hpp"

namespace peal::fs {
namespace {

constexpr std::chrono::milliseconds first_pause(1);
constexpr std::chrono::milliseconds longest_pause(50);

}  // namespace

void file_lock::unlock() noexcept {
    if (fd_ < 0) return;
    ::flock(fd_, LOCK_UN);  // closing is not enough: the fs::file still has the open file
    rt::close_file(std::exchange(fd_, -1));
}

task<std::optional<file_lock>> try_lock(const file& of, lock_mode mode) {
    int fd = ::fcntl(of.native_handle(), F_DUPFD_CLOEXEC, 3);
    if (fd < 0) throw std::system_error(errno, std::system_category(), "flock");
    auto take = [fd, mode] {
        int taken;
        do taken = ::flock(fd, (mode == lock_mode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
        while (taken != 0 && errno == EINTR);
        return taken == 0 ? 0 : errno;
    };
    peal::detail::blocking_call taking(take, peal::detail::blocking_class::files);
    int error_number = co_await taking;
    if (error_number == 0) {
        file_lock held(fd);
        co_return std::move(held);
    }
    rt::close_file(fd);  // without LOCK_UN: the open file may have had a lock before
    if (error_number != EWOULDBLOCK) throw std::system_error(error_number, std::system_category(), "flock");
    co_return std::nullopt;
}

task<file_lock> lock(const file& of, lock_mode mode) {
    for (std::chrono::milliseconds pause = first_pause;; pause = std::min(pause * 2, longest_pause)) {
        std::optional<file_lock> taken = co_await try_lock(of, mode);
        if (taken) co_return std::move(*taken);
        co_await sleep_for(pause);
    }
}

}  // namespace peal::fs
