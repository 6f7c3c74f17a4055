// SPDX-License-Identifier: MIT

// Measures: locking and unlocking, per time.
//   exchange_pair: two atomic exchanges, the least that it can cost
//   uncontended: one task
//   contended: 8 tasks on two workers, each adds to a number under the lock. std_threads: the same with std::mutex and 8 blocked threads
// Not: long critical sections, cancellation.

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

constexpr int tasks = 8;

void exchange_pair(benchmark::State& state) {
    std::atomic<int> word{0};
    for ([[maybe_unused]] auto _ : state) {
        benchmark::DoNotOptimize(word.exchange(1, std::memory_order_acquire));
        benchmark::DoNotOptimize(word.exchange(0, std::memory_order_release));
    }
    bench::allocations taken;
    bench::report(state, state.iterations(), taken);
}

peal::task<> lock_in_loop(benchmark::State& state, peal::mutex& mutex) {
    for ([[maybe_unused]] auto _ : state) {
        auto guard = co_await mutex.lock();
    }
}
void uncontended(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    peal::mutex mutex;
    bench::allocations taken;
    pool.run(lock_in_loop, std::ref(state), mutex);
    bench::report(state, state.iterations(), taken);
}

peal::task<> add_up(peal::mutex& mutex, std::int64_t& sum, std::int64_t times) {
    for (std::int64_t i = 0; i < times; ++i) {
        auto guard = co_await mutex.lock();
        ++sum;
    }
}
peal::task<> add_up_together(peal::mutex& mutex, std::int64_t& sum, std::int64_t times) {
    peal::scope all;
    for (int i = 0; i < tasks; ++i) all.spawn(add_up, mutex, std::ref(sum), times);
    co_await all.join();
}
void contended(benchmark::State& state) {
    peal::pool pool(peal::pool_options(2));
    peal::mutex mutex;
    std::int64_t times = bench::scaled(20'000, 10);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        std::int64_t sum = 0;
        pool.run(add_up_together, mutex, std::ref(sum), times);
        bench::expect(sum == tasks * times, "sync/mutex: wrong sum");
    }
    bench::report(state, state.iterations() * tasks * times, taken);
}
void std_threads(benchmark::State& state) {
    std::mutex mutex;
    std::int64_t times = bench::scaled(20'000, 10);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        std::int64_t sum = 0;
        std::vector<std::thread> threads;
        for (int i = 0; i < tasks; ++i) {
            threads.emplace_back([&] {
                for (std::int64_t j = 0; j < times; ++j) {
                    std::lock_guard guard(mutex);
                    ++sum;
                }
            });
        }
        for (std::thread& each : threads) each.join();
        bench::expect(sum == tasks * times, "sync/mutex: wrong sum");
    }
    bench::report(state, state.iterations() * tasks * times, taken);
}

}  // namespace

void bench::add_all() {
    add("sync/mutex/exchange_pair", exchange_pair);
    add("sync/mutex/uncontended", uncontended);
    add("sync/mutex/contended", contended)->Unit(benchmark::kMillisecond);
    add("sync/mutex/std_threads", std_threads)->Unit(benchmark::kMillisecond);
}
