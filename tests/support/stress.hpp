// SPDX-License-Identifier: MIT
#pragma once

// stress: the seed and the time of a stress test. PEAL_STRESS_SEED repeats a run as far as threads allow; PEAL_STRESS_SECONDS sets
// the time of each case. A case that counts what it does takes PEAL_STRESS_OPERATIONS: so many, however long that takes, unless a time is given, too.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>

namespace support {

/// The same seed for every case of a run; printed once.
inline std::uint64_t stress_seed() {
    static const std::uint64_t seed = [] {
        const char* given = std::getenv("PEAL_STRESS_SEED");
        std::uint64_t chosen = given != nullptr ? std::strtoull(given, nullptr, 0)
                                                : (std::uint64_t{std::random_device()()} << 32 | std::random_device()());
        std::printf("PEAL_STRESS_SEED=%llu\n", static_cast<unsigned long long>(chosen));
        std::fflush(stdout);
        return chosen;
    }();
    return seed;
}

inline std::chrono::milliseconds stress_time() {
    const char* given = std::getenv("PEAL_STRESS_SECONDS");
    double seconds = given != nullptr ? std::atof(given) : 3.0;
    return std::chrono::milliseconds(static_cast<long>(1000 * (seconds > 0 ? seconds : 3.0)));
}

/// As many as anybody can do, if no number is given.
inline std::uint64_t stress_operations() {
    const char* given = std::getenv("PEAL_STRESS_OPERATIONS");
    std::uint64_t count = given != nullptr ? std::strtoull(given, nullptr, 10) : 0;
    return count != 0 ? count : std::numeric_limits<std::uint64_t>::max();
}

/// Random numbers of one thread or task; `stream` keeps several of them apart. The same with every standard library.
class dice {
  public:
    explicit dice(std::uint64_t stream) : engine_(stress_seed() ^ (stream * 0x9e3779b97f4a7c15u)) {}

    /// A number below `bound`.
    std::uint64_t below(std::uint64_t bound) { return engine_() % bound; }
    bool one_in(std::uint64_t n) { return below(n) == 0; }
    std::uint64_t next() { return engine_(); }

  private:
    std::mt19937_64 engine_;
};

/// Counts those that have begun and not ended.
class counted {
  public:
    explicit counted(std::atomic<int>& running) noexcept : running_(running) { ++running_; }
    ~counted() { --running_; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;

  private:
    std::atomic<int>& running_;
};

/// True until the time of the case is over.
class stress_clock {
  public:
    explicit stress_clock(unsigned parts = 1) : end_(std::chrono::steady_clock::now() + stress_time() / parts) {}
    /// Of a case that counts its operations.
    static stress_clock beside_operations() {
        stress_clock made;
        bool is_counted = std::getenv("PEAL_STRESS_OPERATIONS") != nullptr;
        if (is_counted && std::getenv("PEAL_STRESS_SECONDS") == nullptr) made.end_ = std::chrono::steady_clock::time_point::max();
        return made;
    }
    bool goes_on() const { return std::chrono::steady_clock::now() < end_; }

  private:
    std::chrono::steady_clock::time_point end_;
};

}  // namespace support
