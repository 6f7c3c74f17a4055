// SPDX-License-Identifier: MIT
#pragma once

// What the benchmarks share: figures per item of work (a hop, a request) instead of per iteration.
//
// Each program defines bench::add_all(). The time is the real time of the benchmark, the CPU time that of the whole process: the
// work is done by workers while the main thread waits for them.

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

#include "sizes.hpp"

namespace bench {

/// Adds the benchmarks of this program. Called once, when smoke() is known.
void add_all();

/// `name` is module/subject/variant; arguments are appended.
template <class Function>
auto* add(const std::string& name, Function function) {
    return benchmark::RegisterBenchmark(name.c_str(), function)->UseRealTime()->MeasureProcessCPUTime();
}
/// The same for a benchmark that takes the time of each iteration itself.
template <class Function>
auto* add_manual(const std::string& name, Function function) {
    return benchmark::RegisterBenchmark(name.c_str(), function)->UseManualTime()->MeasureProcessCPUTime();
}

/// Memory taken from the system since its construction, by any thread: calls of operator new, and blocks of 64 KiB for frames.
/// A frame of more than 2 KiB has a block of its own by operator new, and counts twice.
class allocations {
  public:
    allocations() noexcept : before_(total()) {}
    std::uint64_t count() const noexcept { return total() - before_; }

  private:
    static std::uint64_t total() noexcept;
    std::uint64_t before_;
};

/// Counters "per_item" (seconds of the benchmark's time) and "allocations" (per item).
inline void report(benchmark::State& state, std::int64_t items, const allocations& taken) {
    using benchmark::Counter;
    std::uint64_t count = taken.count();  // before the counters allocate
    state.counters["per_item"] = Counter(static_cast<double>(items), Counter::kIsRate | Counter::kInvert);
    state.counters["allocations"] = static_cast<double>(count) / static_cast<double>(items);
}

}  // namespace bench
