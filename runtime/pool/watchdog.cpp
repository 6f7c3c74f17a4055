// SPDX-License-Identifier: MIT

#include "watchdog.hpp"

#include <pthread.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <system_error>

#include <peal/pool/pool.hpp>

#include "../base/membarrier.hpp"
#include "../base/signals_blocked.hpp"
#include "../base/system_file.hpp"
#include "../task/glance.hpp"

namespace peal::rt {

namespace {

using clock = std::chrono::steady_clock;

constexpr std::uint32_t end_index = ~std::uint32_t{0};
constexpr std::uint32_t again_index = end_index - 1;
constexpr auto between_lines = std::chrono::seconds(1);
constexpr int without_cpu = 10;  // times the patience
constexpr auto between_looks = std::chrono::milliseconds(1);  // at most, while somebody is followed: each wakes one to stand in, should nobody look up by itself

/// CPU time of a thread of this process, by its number: what pthread_getcpuclockid() makes of a thread.
std::chrono::nanoseconds run_time_of(int thread_id) noexcept {
    const clockid_t clock_of_thread = static_cast<clockid_t>((~static_cast<unsigned>(thread_id) << 3) | 6u);
    timespec time{};
    if (::clock_gettime(clock_of_thread, &time) != 0) return {};
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

/// It runs, or would if it had a CPU; false: it waits for something else. True where the system does not tell.
bool wants_cpu(int thread_id) {
    const std::string says = read_system_file("/proc/self/task/" + std::to_string(thread_id) + "/stat");  // "number (name) state ..."
    const std::size_t end = says.rfind(") ");
    return end == std::string::npos || end + 2 >= says.size() || says[end + 2] == 'R';
}

}  // namespace

watchdog::descriptor::descriptor(int fd, const char* what) : fd_(own_descriptor(fd)) {
    if (fd_ < 0) throw std::system_error(errno, std::system_category(), std::string(what) + " for a pool's watchdog (raise `ulimit -n`, or set pool_options.rescue_after = 0)");
}
watchdog::descriptor::~descriptor() { ::close(fd_); }

watchdog::watchdog(scheduler& watched, settings settings)
    : scheduler_(watched),
      settings_(std::move(settings)),
      bells_(::epoll_create1(EPOLL_CLOEXEC), "epoll_create"),
      again_(settings_.patience) {
    auto hear = [this](int fd, std::uint32_t index) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u32 = index;
        if (::epoll_ctl(bells_.get(), EPOLL_CTL_ADD, fd, &event) != 0) throw std::system_error(errno, std::system_category(), "epoll_ctl for a pool's watchdog");
    };
    hear(end_.native_handle(), end_index);
    hear(again_.native_handle(), again_index);
    for (unsigned i = 0; i < scheduler_.places(); ++i) {
        workers_.push_back(std::make_unique<watched_worker>(settings_.patience));
        hear(workers_.back()->bell.native_handle(), i);
    }
    static_cast<void>(prepare_interrupts());  // where it is refused, completions of a worker that computes come with the system's clock tick
    signals_blocked for_watchdog;
    std::latch begun(1);  // it has its name, and what a thread does first it has done before the program may run out of descriptors
    thread_.emplace([this, &begun] { run(begun); });
    begun.wait();
    for (unsigned i = 0; i < scheduler_.places(); ++i) scheduler_.at(i).set_alarm(workers_[i]->bell);
}

void watchdog::end() noexcept {
    if (!thread_) return;
    ends_.store(true, std::memory_order_relaxed);
    end_.raise();
    thread_->join();
    thread_.reset();
}

void watchdog::run(std::latch& begun) noexcept {
    char name[16];
    std::snprintf(name, sizeof name, "%s/watch", settings_.name.c_str());
    pthread_setname_np(pthread_self(), name);
    begun.count_down();
    std::array<epoll_event, 16> events;
    for (;;) {
        const int count = ::epoll_wait(bells_.get(), events.data(), static_cast<int>(events.size()), -1);
        for (int i = 0; i < count; ++i) {
            const std::uint32_t index = events[static_cast<std::size_t>(i)].data.u32;
            std::uint64_t rings;
            if (index == end_index) {
                if (ends_.load(std::memory_order_relaxed)) return;
                static_cast<void>(::read(end_.native_handle(), &rings, sizeof rings) < 0);
                continue;
            }
            alarm& bell = index == again_index ? again_ : workers_[index]->bell;
            if (::read(bell.native_handle(), &rings, sizeof rings) < 0) continue;  // put off meanwhile
            if (index != again_index) workers_[index]->is_followed = true;
            look();
        }
    }
}

/// At those that are followed: from when their alarm has rung until they are back, or asleep.
void watchdog::look() noexcept {
    bool are_left = false;
    for (unsigned i = 0; i < workers_.size(); ++i) {
        watched_worker& seen = *workers_[i];
        if (!seen.is_followed) continue;
        try {
            seen.is_followed = is_away(i);
        } catch (const std::bad_alloc&) {
            // Looked at again.
        }
        are_left = are_left || seen.is_followed;
    }
    if (are_left) again_.ring_at(clock::now() + std::min<std::chrono::nanoseconds>(settings_.patience, between_looks));
}

bool watchdog::is_away(unsigned index) {
    worker& looked_at = scheduler_.at(index);
    watched_worker& seen = *workers_[index];
    const auto now = clock::now();
    const auto since = looked_at.away_since();
    if (!since || now - *since < settings_.patience) {
        looked_at.set_held_up(false);
        return false;
    }
    const auto ran = run_time_of(looked_at.thread_id());
    const std::uint64_t item = looked_at.timers().item();
    const bool is_new = seen.away_since != *since;
    if (is_new || seen.item != item) {
        seen.item = item;
        seen.item_since = is_new ? *since : now;
        seen.item_ran_before = ran;
        seen.is_reported = false;
    }
    if (is_new) {
        looked_at.counters().held_up.add();
        seen.away_since = *since;
        seen.ran_before = ran;
        seen.was_blocked = false;
    }
    looked_at.set_held_up(true);
    // Time without a CPU does not count at first: on a machine that has too much to do more threads do not help, and the task is not to blame.
    const bool is_blocked = !wants_cpu(looked_at.thread_id());
    if (scheduler_.needs_spare() &&
        (is_blocked || ran - seen.ran_before >= settings_.patience || now - *since >= without_cpu * settings_.patience)) {
        scheduler_.call_spare();
    } else {
        scheduler_.wake_one();
    }
    if (is_to_be_told(looked_at, seen, ran, is_blocked)) {
        seen.is_reported = true;
        report(index, now - seen.item_since);
    }
    seen.was_blocked = is_blocked;
    return true;
}

/// One item has kept the worker for so long: it has run, or was blocked at two looks.
bool watchdog::is_to_be_told(const worker& looked_at, watched_worker& seen, std::chrono::nanoseconds ran, bool is_blocked) const {
    const auto limit = settings_.report_after;
    if (seen.is_reported || limit.count() == 0 || looked_at.is_outside()) return false;
    const bool has_run = ran - seen.item_ran_before >= limit;
    const bool was_blocked = is_blocked && seen.was_blocked && clock::now() - seen.item_since >= limit;
    return (has_run || was_blocked) && looked_at.away_since() == seen.away_since;
}

void watchdog::report(unsigned index, std::chrono::nanoseconds length) {
    stall what;
    what.pool = settings_.name;
    what.worker = index;
    what.length = length;
    what.all_workers = scheduler_.needs_spare();
    if (auto seen = scheduler_.at(index).glance_at_task()) {
        what.task = std::move(seen->name);
        what.spawned_at = std::move(seen->spawned_at);
    }
    if (settings_.on_stall) return settings_.on_stall(what);
    const auto now = clock::now();
    if (last_line_ != clock::time_point() && now - last_line_ < between_lines) {
        ++left_out_;
        return;
    }
    last_line_ = now;
    std::string left_out = left_out_ != 0 ? " (and " + std::to_string(std::exchange(left_out_, 0ul)) + " more of this kind)" : "";
    std::fprintf(stderr, "peal: %s%s\n", what.to_string().c_str(), left_out.c_str());
}

}  // namespace peal::rt
