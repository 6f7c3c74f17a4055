// SPDX-License-Identifier: MIT

// Measures: how much later than its deadline a sleeping task goes on.
//   same_millisecond: 10,000 tasks that are due within one millisecond, spread evenly over it; p50, p99 and the largest lateness of all
//   alone: one task at a time, due some milliseconds ahead; the pool sleeps until then. What a wake-up takes
// Not: other work on the workers (sched/fairness), what a timer costs (time/timer, time/sleepers). Real time means nothing here.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

using namespace std::chrono_literals;
using lateness = std::chrono::nanoseconds;

peal::task<> sleep(peal::clock::time_point deadline, lateness& late) {
    co_await peal::sleep_until(deadline);
    late = peal::clock::now() - deadline;
}

peal::task<> many(peal::pool& pool, std::vector<lateness>& all, std::size_t begin, std::size_t count) {
    auto due = peal::clock::now() + (bench::smoke() ? 20ms : 100ms);  // all have gone to sleep by then
    peal::scope sleepers;
    for (std::size_t i = 0; i < count; ++i) {
        sleepers.spawn(sleep, due + std::chrono::nanoseconds(1ms) * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(count), std::ref(all[begin + i]));
        if (i % 128 == 0) co_await pool.schedule();  // spawned ones begin
    }
    co_await sleepers.join();
}

void report(benchmark::State& state, std::vector<lateness>& all) {
    std::sort(all.begin(), all.end());
    auto us = [](lateness late) { return std::chrono::duration<double, std::micro>(late).count(); };
    state.counters["p50_us"] = us(all[all.size() / 2]);
    state.counters["p99_us"] = us(all[all.size() * 99 / 100]);
    state.counters["max_us"] = us(all.back());
}

void same_millisecond(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    const auto tasks = static_cast<std::size_t>(state.range(1));
    std::vector<lateness> all;
    for ([[maybe_unused]] auto _ : state) {
        std::size_t begin = all.size();
        all.resize(begin + tasks);
        pool.run(many, std::ref(pool), std::ref(all), begin, tasks);
    }
    report(state, all);
}

void alone(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    std::vector<lateness> all;
    for ([[maybe_unused]] auto _ : state) {
        all.emplace_back();
        pool.run(sleep, peal::clock::now() + 3ms, std::ref(all.back()));
    }
    report(state, all);
}

}  // namespace

void bench::add_all() {
    for (int workers : {1, 2}) {
        add("time/lateness/same_millisecond", same_millisecond)
            ->ArgNames({"workers", "tasks"})
            ->Args({workers, scaled(10'000, 100)})
            ->Iterations(scaled(10, 1))
            ->Unit(benchmark::kMillisecond);
    }
    add("time/lateness/alone", alone)->Iterations(scaled(200, 2))->Unit(benchmark::kMillisecond);
}
