// SPDX-License-Identifier: MIT
#pragma once

// What the programs of `run.py compare` agree on, whatever language they are written in:
//
//   PROGRAM --list                              the names of its workloads, one a line
//   PROGRAM --version                           what it measures
//   PROGRAM WORKLOAD --threads N [--smoke]      runs it once to warm up and once for the figure:
//                                               `<workload> <threads> <nanoseconds per item> <items>`
//
// This is the C++ side: a program defines workloads() and version(), and contract.cpp has its main(). bench/README.md says what each workload is; the
// sizes are here, and must be the same in cpu.go and common.rs. --smoke: sizes that take milliseconds, to see that all works.

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <thread>

#include "support/sizes.hpp"

namespace compare {

class measured {
  public:
    measured(double nanoseconds, std::int64_t count) : ns_per_item(nanoseconds / static_cast<double>(count)), items(count) {}
    double ns_per_item;
    std::int64_t items;
};

struct workload {
    const char* name;
    measured (*run)(unsigned threads);
};
std::span<const workload> workloads();
std::string version();

using steady = std::chrono::steady_clock;
inline double nanoseconds_since(steady::time_point begin) {
    return std::chrono::duration<double, std::nano>(steady::now() - begin).count();
}

/// Calls `body`, which does so many items, twice and takes the time of the second.
template <class Body>
measured timed(std::int64_t items, const Body& body) {
    body();
    auto begin = steady::now();
    body();
    return measured(nanoseconds_since(begin), items);
}

/// `trip` once to warm up, then so often, each time after a millisecond of quiet, which does not count.
template <class Trip>
measured after_quiet(const Trip& trip);
/// `wake` wakes sleepers() tasks at once and gives the nanoseconds until all have run: herds() times, after one to warm up. Making the
/// tasks does not count.
template <class Wake>
measured woken(const Wake& wake);

// How many in one body.
inline std::int64_t hops() { return bench::scaled(640'000, 640); }             // of all tasks together
inline std::int64_t spawns() { return bench::scaled(1'000'000, 1'000); }
inline std::int64_t children() { return bench::scaled(1'000'000, 10'000); }    // of when_all, of all of them together
inline std::int64_t items() { return bench::scaled(400'000, 4'000); }          // through a channel
inline std::int64_t trips() { return bench::scaled(20'000, 100); }
inline std::int64_t cold_trips() { return bench::scaled(300, 5); }             // each after a millisecond of quiet
inline std::int64_t sleepers() { return bench::scaled(10'000, 100); }
inline std::int64_t herds() { return bench::scaled(20, 2); }
inline std::int64_t passes() { return bench::scaled(100, 2); }                 // over the array
inline std::int64_t fib_forks() { return bench::scaled(3'524'577, 88); }       // of fib(fib_n())

template <class Trip>
measured after_quiet(const Trip& trip) {
    trip();
    double sum = 0;
    for (std::int64_t i = 0; i < cold_trips(); ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        auto begin = steady::now();
        trip();
        sum += nanoseconds_since(begin);
    }
    return measured(sum, cold_trips());
}
template <class Wake>
measured woken(const Wake& wake) {
    wake();
    double sum = 0;
    for (std::int64_t i = 0; i < herds(); ++i) sum += wake();
    return measured(sum, herds() * sleepers());
}

}  // namespace compare
