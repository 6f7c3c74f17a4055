// SPDX-License-Identifier: MIT

// A killed program may take its time to die (memory to give back, a file system that does not answer), and whoever drops it may be a
// worker, or a thread without a pool. So a thread of the process waits for all of them, made when the first comes and ended after the last.
//
// Bound: one thread, one epoll descriptor, and the descriptor of each program.

#include "reaper.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <mutex>
#include <new>

#include <peal/detail/thread_mutex.hpp>

#include "../base/own_descriptor.hpp"
#include "../base/signals_blocked.hpp"
#include "../base/thread.hpp"

namespace peal::rt {
namespace {

/// Waits, if it has not ended. An error says that its end was taken by somebody else.
void reap(int pidfd) noexcept {
    siginfo_t ended;
    while (::waitid(child_by_pidfd, static_cast<id_t>(pidfd), &ended, WEXITED) != 0 && errno == EINTR) {
    }
    ::close(pidfd);
}

class reaper {
  public:
    bool try_give(int pidfd) noexcept {
        std::lock_guard guard(mutex_);
        if (epoll_fd_ < 0 && !begin()) return false;
        epoll_event ended{};
        ended.events = EPOLLIN;
        ended.data.fd = pidfd;
        if (::epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, pidfd, &ended) != 0) return false;
        ++count_;
        return true;
    }

  private:
    /// Under the lock. The thread takes it first of all, so it finds what it was made for.
    bool begin() noexcept {
        int fd = own_descriptor(::epoll_create1(EPOLL_CLOEXEC));
        if (fd < 0) return false;
        signals_blocked for_thread;
        try {
            detail::begin_detached_thread([this] { thread_main(); });
        } catch (...) {  // std::system_error, or no memory
            ::close(fd);
            return false;
        }
        epoll_fd_ = fd;
        return true;
    }

    void thread_main() noexcept {
        pthread_setname_np(pthread_self(), "peal/reaper");
        for (;;) {
            {
                std::lock_guard guard(mutex_);
                if (count_ == 0) {
                    ::close(epoll_fd_);
                    epoll_fd_ = -1;
                    return;  // from here on it touches nothing: the next one begins anew
                }
            }
            epoll_event events[16];
            int count = ::epoll_wait(epoll_fd_, events, 16, -1);  // the descriptor is this thread's to close
            for (int i = 0; i < count; ++i) {
                // Before it is closed: a copy in a program that is just starting keeps what was asked for alive, and the closed number
                // would be told again.
                ::epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, events[i].data.fd, nullptr);
                reap(events[i].data.fd);
                std::lock_guard guard(mutex_);
                --count_;
            }
        }
    }

    detail::thread_mutex mutex_;  // guards both
    int epoll_fd_ = -1;           // >= 0: the thread runs
    std::size_t count_ = 0;
};

/// Never destroyed: its thread may outlive everything.
reaper& the_reaper() noexcept {
    alignas(reaper) static std::byte memory[sizeof(reaper)];
    static reaper& made = *::new (memory) reaper;
    return made;
}

}  // namespace

void reap_later(int pidfd) noexcept {
    if (!the_reaper().try_give(pidfd)) reap(pidfd);
}

}  // namespace peal::rt
