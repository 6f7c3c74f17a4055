// SPDX-License-Identifier: MIT
#pragma once

// machine: a simulated computer with as many cores as there are threads. It runs the library's own sources, and counts how often a cache line
// has to come from another core.
//
// The rules: a thread is a fiber, with a clock of its own. A read of a line that this core has, and a write to a line that no other core
// has, take `hit`; otherwise the line comes from elsewhere, which takes `transfer`, one transfer of a line after the other. Instructions cost
// nothing, but for compute(). The thread that is least far in time goes on. A thread that sleeps goes on `wake` after it was woken. What is
// not simulated: sockets and NUMA nodes (all cores are equally far), caches that are full, false sharing with what is no atomic.

#include <chrono>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>
#include <vector>

namespace machine {

using nanoseconds = std::int64_t;

inline constexpr nanoseconds hit = 1;
inline constexpr nanoseconds transfer = 60;  // within one socket: 40 to 80 on today's servers
inline constexpr nanoseconds wake = 30'000;  // a sleeping core: 25 to 60 us on virtual machines
inline constexpr nanoseconds pause_length = 40;

/// Runs `body` as the first thread, and returns when all threads have ended.
void run(const std::function<void()>& body);
/// A run is under way; else variables are just variables.
bool is_running() noexcept;

/// The calling thread has computed for so long.
void compute(nanoseconds length);
nanoseconds now() noexcept;

/// What was counted since the last reset(), by the place in the sources that read or wrote.
struct count {
    std::string place;  // "idle.hpp:63"
    std::uint64_t transfers;
};
void reset() noexcept;
std::uint64_t transfers() noexcept;
std::vector<count> transfers_by_place();  // the most first

// ---- for what stands in the place of atomics and locks (counting.hpp) ----------------------------------------------------------

using place = std::source_location;

void touch(const void* address, bool writes, const place& where);
void begin_thread(std::function<void()> function);
/// Lets others go on, when this one can do nothing but look again.
void look_again();

/// Threads that wait for something.
class waiting_line {
  public:
    /// True: it was woken; false: `deadline` came first.
    bool wait(nanoseconds deadline = forever);
    void wake_one(nanoseconds after);
    void wake_all(nanoseconds after);
    static constexpr nanoseconds forever = INT64_MAX;

  private:
    std::vector<unsigned> threads_;
};

}  // namespace machine
