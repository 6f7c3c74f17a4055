// SPDX-License-Identifier: MIT
#pragma once

// The simulated outside: one world per simulation (clock, streams, completions to come), one driver per simulated worker in front of
// it. Everything happens on one thread; the life of an operation is that of runtime/task/driver.hpp.

#include <cstdint>
#include <deque>
#include <map>
#include <random>
#include <vector>

#include "../task/driver.hpp"

namespace peal::rt {

class simulated_driver;

/// What all workers of a simulation share.
class simulated_world {
  public:
    explicit simulated_world(std::uint64_t seed) : random_(seed) {}

    time_point now() const noexcept { return time_point(now_); }
    std::chrono::nanoseconds elapsed() const noexcept { return now_ - beginning; }
    void advance_to(time_point when) noexcept {
        if (when.time_since_epoch() > now_) now_ = when.time_since_epoch();
    }

    /// A number below `bound`, by the seed. The same on every compiler, unlike the distributions of the standard library.
    std::uint64_t draw(std::uint64_t bound) noexcept { return random_() % bound; }

    int make_pair(int& other);
    void close(int fd) noexcept;
    int shutdown_writing(int fd) noexcept;

    void begin(simulated_driver& driver, detail::operation& operation);
    /// The operation's outcome comes as canceled, unless it was due already. False: unknown.
    bool cancel(detail::operation& operation) noexcept;

    /// When the next completion is due; time_point::max() if none is.
    time_point next_due() const noexcept;
    /// Hands completions that are due to `driver`'s own operations.
    template <class Use>
    void take_due(simulated_driver& driver, Use use) {
        for (auto it = due_.begin(); it != due_.end();) {
            if (it->first.first > now_ || it->second.driver != &driver) {
                ++it;
                continue;
            }
            completion done = it->second;
            it = due_.erase(it);
            use(*done.operation, done.outcome);
        }
    }

    static constexpr int first_descriptor = 1 << 28;

  private:
    static constexpr std::chrono::nanoseconds beginning = std::chrono::hours(1);  // not zero: a deadline may lie before it
    static constexpr std::size_t capacity = 64 * 1024;                           // bytes on the way in one direction

    struct completion {
        simulated_driver* driver;
        detail::operation* operation;
        std::int32_t outcome;
    };
    struct waiting {
        simulated_driver* driver;
        detail::operation* operation;
    };
    struct endpoint {
        std::deque<std::byte> arrived;  // written by the peer, not read yet
        bool peer_done = false;         // the peer will write no more
        bool write_done = false;        // this end will write no more
        bool open = true;
        int peer = -1;
        std::deque<waiting> readers;
        std::deque<waiting> writers;
    };

    void complete(simulated_driver& driver, detail::operation& operation, std::int32_t outcome);
    void progress(int fd);
    std::size_t read_into(endpoint& from, detail::operation& operation);
    endpoint* find(int fd) noexcept;

    std::mt19937_64 random_;
    std::chrono::nanoseconds now_ = beginning;
    std::map<int, endpoint> endpoints_;
    int next_descriptor_ = first_descriptor;
    std::uint64_t serial_ = 0;
    // By due time, then by order of making.
    std::map<std::pair<std::chrono::nanoseconds, std::uint64_t>, completion> due_;
};

class simulated_driver final : public driver {
  public:
    simulated_driver(simulated_world& world, blocking_pool& elsewhere) noexcept : driver(elsewhere), world_(world) {}

    void reap(detail::work_list& ready) noexcept override { poll(ready); }
    void poll(detail::work_list& ready) noexcept override;
    void close(int fd) noexcept override;
    bool is_simulated() const noexcept override { return true; }
    const char* name() const noexcept override { return "simulated"; }
    int shutdown_writing(int fd) noexcept override { return world_.shutdown_writing(fd); }
    time_point now() const noexcept override { return world_.now(); }

  private:
    void do_submit(detail::operation& operation) noexcept override;
    void do_wait(detail::work_list& ready, time_point deadline) noexcept override;
    void interrupt() noexcept override {}
    void cancel_in_flight(detail::operation& operation) noexcept override;
    void resubmit(detail::operation& operation) noexcept override { do_submit(operation); }
    void close_under_lock(int fd) noexcept override { world_.close(fd); }

    simulated_world& world_;
};

}  // namespace peal::rt
