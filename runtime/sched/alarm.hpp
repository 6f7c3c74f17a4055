// SPDX-License-Identifier: MIT
#pragma once

// alarm: a timer of the kernel that rings when a worker has not come back from a task for a while. It tells the watchdog (runtime/pool/watchdog.hpp) and costs
// the worker a system call per half of that time at most: the worker sets it further before it rings, and nobody is woken while all is well.
//
// Threads: the owner sets it, and nobody else: it counts on what it knows of that itself (`due_`). The watchdog hears it.

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>

#include "../base/own_descriptor.hpp"

namespace peal::rt {

class alarm {
  public:
    using time_point = std::chrono::steady_clock::time_point;

    /// Rings after `patience` to twice that. Throws std::system_error.
    explicit alarm(std::chrono::nanoseconds patience)
        : patience_(patience), fd_(own_descriptor(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK))) {
        if (fd_ < 0) throw std::system_error(errno, std::system_category(), "timerfd for a worker (raise `ulimit -n`, or set pool_options.rescue_after = 0)");
    }
    alarm(const alarm&) = delete;
    alarm& operator=(const alarm&) = delete;
    ~alarm() { ::close(fd_); }

    // ---- owner -----------------------------------------------------------------------------------------------------------------
    /// The owner looks at its outside now.
    void put_off(time_point now) noexcept {
        if (due_ - now >= patience_) return;
        due_ = now + 2 * patience_;
        ring_at(due_);
    }
    /// The owner is about to sleep. Those that sleep often and shortly leave it as it is: it will be put off.
    void turn_off(time_point now) noexcept {
        if (sleeps_shortly_ || due_ <= now) return;
        due_ = {};
        ring_at({});
    }
    void has_slept(std::chrono::nanoseconds length) noexcept { sleeps_shortly_ = length < patience_; }

    int native_handle() const noexcept { return fd_; }

    /// For one that the watchdog sets for itself. The beginning of time: never.
    void ring_at(time_point when) noexcept {
        auto since = std::chrono::nanoseconds(when.time_since_epoch()).count();
        itimerspec setting{};
        setting.it_value.tv_sec = since / 1'000'000'000;
        setting.it_value.tv_nsec = since % 1'000'000'000;
        ::timerfd_settime(fd_, TFD_TIMER_ABSTIME, &setting, nullptr);  // cannot fail: the descriptor is ours, the time is one
    }

  private:
    const std::chrono::nanoseconds patience_;
    const int fd_;
    time_point due_{};
    bool sleeps_shortly_ = false;
};

}  // namespace peal::rt
