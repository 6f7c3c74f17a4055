// SPDX-License-Identifier: MIT

// Measures: 10,000 tasks that wait for one event, from set() until all have run and ended; per task. One and two workers.
//   inside: a task of the pool sets it.   foreign: a thread that is no worker
// Not: starting the tasks, and letting them come to wait.

#include <chrono>
#include <functional>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

using clock_type = std::chrono::steady_clock;

/// All tasks of a herd, and when it was woken.
struct herd {
    explicit herd(std::size_t count) : asleep(count), awake(count) {}

    peal::event start;
    peal::latch asleep;
    peal::latch awake;
    clock_type::time_point woken;

    void wake() {
        woken = clock_type::now();
        start.set();
    }
};

peal::task<> wait(herd& all) {
    all.asleep.count_down();
    co_await all.start.wait();
    all.awake.count_down();
}

/// Starts them, wakes them if it is to be done inside, and gives the seconds until all have run.
peal::task<double> run_all(herd& all, std::int64_t count, bool inside) {
    peal::scope tasks;
    for (std::int64_t i = 0; i < count; ++i) tasks.spawn(wait, std::ref(all));
    if (inside) {
        co_await all.asleep.wait();
        all.wake();
    }
    co_await all.awake.wait();
    std::chrono::duration<double> took = clock_type::now() - all.woken;
    co_await tasks.join();
    co_return took.count();
}
peal::task<> all_asleep(herd& all) { co_await all.asleep.wait(); }
peal::task<double> result(peal::join_handle<double> running) { co_return co_await running; }

template <bool Inside>
void wake(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    std::int64_t count = state.range(1);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        herd all(static_cast<std::size_t>(count));
        auto running = pool.spawn(run_all, std::ref(all), count, Inside);
        if constexpr (!Inside) {
            peal::sync_wait(all_asleep(all));
            all.wake();
        }
        state.SetIterationTime(peal::sync_wait(result(std::move(running))));
    }
    bench::report(state, state.iterations() * count, taken);
}

}  // namespace

void bench::add_all() {
    std::int64_t many = scaled(10'000, 100);
    for (auto* made : {add_manual("sched/herd/inside", wake<true>), add_manual("sched/herd/foreign", wake<false>)}) {
        made->ArgNames({"workers", "tasks"})->Args({1, many})->Args({2, many})->Unit(benchmark::kMicrosecond);
    }
}
