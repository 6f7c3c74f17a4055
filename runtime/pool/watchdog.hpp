// SPDX-License-Identifier: MIT
#pragma once

// watchdog: a thread of a pool that sleeps while its workers come back from their tasks in time. One that does not is held up: others stand in for it
// (sched/README.md, "A worker that does not come back"), and it is reported.
//
// It hears of that by the worker's alarm (sched/alarm.hpp). While a worker is held up it looks at it again and again: whether it has come back, whether all of
// them are held up (then a spare worker is called), and whether it is time for a report.
//
// Threads: made before the workers, and ended before them by whoever made it. What it has seen of each worker is its own thread's.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <latch>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../base/own_descriptor.hpp"
#include "../base/thread.hpp"
#include "../sched/alarm.hpp"
#include "../sched/scheduler.hpp"
#include "../task/wake_event.hpp"

namespace peal {
class stall;
}

namespace peal::rt {

class watchdog {
  public:
    struct settings {
        std::string name;                     // the pool's
        std::chrono::nanoseconds patience;    // then others stand in
        std::chrono::nanoseconds report_after;  // 0: never
        std::function<void(const stall&)> on_stall;
    };
    /// Gives each worker its alarm. Throws std::system_error if there is no thread or descriptor for it.
    watchdog(scheduler& watched, settings settings);
    watchdog(const watchdog&) = delete;
    watchdog& operator=(const watchdog&) = delete;
    ~watchdog() { end(); }

    /// From then on it looks at nobody. Idempotent; one thread at a time.
    void end() noexcept;

  private:
    class descriptor {
      public:
        explicit descriptor(int fd, const char* what);
        descriptor(const descriptor&) = delete;
        descriptor& operator=(const descriptor&) = delete;
        ~descriptor();
        int get() const noexcept { return fd_; }

      private:
        const int fd_;
    };
    struct watched_worker {
        explicit watched_worker(std::chrono::nanoseconds patience) : bell(patience) {}
        alarm bell;
        bool is_followed = false;                            // until it is back, or asleep
        std::chrono::steady_clock::time_point away_since{};  // the last stall
        std::chrono::nanoseconds ran_before{};               // CPU time of the thread when that was seen first
        // What would be told: of one item, not of many short ones.
        std::uint64_t item = 0;
        std::chrono::steady_clock::time_point item_since{};
        std::chrono::nanoseconds item_ran_before{};
        bool was_blocked = false;                            // at the last look
        bool is_reported = false;
    };

    void run(std::latch& begun) noexcept;
    void look() noexcept;
    bool is_away(unsigned index);
    bool is_to_be_told(const worker& looked_at, watched_worker& seen, std::chrono::nanoseconds ran, bool is_blocked) const;
    void report(unsigned index, std::chrono::nanoseconds length);

    scheduler& scheduler_;
    const settings settings_;
    std::vector<std::unique_ptr<watched_worker>> workers_;
    descriptor bells_;  // an epoll: all alarms, and end_
    wake_event end_;
    alarm again_;       // rings while somebody is followed
    std::atomic<bool> ends_{false};  // before end_ is written; relaxed. A child by fork() that ends in order writes that, too: it is the same eventfd
    std::chrono::steady_clock::time_point last_line_{};
    unsigned long left_out_ = 0;
    std::optional<detail::thread> thread_;
};

}  // namespace peal::rt
