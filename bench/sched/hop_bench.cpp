// SPDX-License-Identifier: MIT

// Measures: `co_await pool.schedule()` of a task that runs on a worker of the pool, from the end of one run of its queue to the next.
//   one task on one worker: the queue, the loop of the worker and its periodic look at ring and clock
//   several tasks on one or two workers: the same, with what stealing and waking cost or save
//   not rescuable: the same without watching over workers that do not come back
//   in shares: the same tasks in two groups with weights, which lie in queues of the pool and are measured
// Not: hops between pools (pool/offload), and what cold caches do to a task with data of its own.

#include <chrono>
#include <functional>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

peal::task<> hop_in_loop(benchmark::State& state, peal::pool& pool) {
    for ([[maybe_unused]] auto _ : state) co_await pool.schedule();
}

void one_task(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(hop_in_loop, std::ref(state), std::ref(pool));
    bench::report(state, state.iterations(), taken);
}

peal::task<> hop(peal::pool& pool, std::int64_t hops) {
    for (; hops != 0; --hops) co_await pool.schedule();
}

peal::task<> hop_together(peal::pool& pool, std::int64_t tasks, std::int64_t hops_each, peal::share even, peal::share odd) {
    peal::scope hopping;
    for (; tasks != 0; --tasks) {
        peal::spawn_options options("hops", tasks % 2 == 0 ? even : odd);
        hopping.spawn(options, hop, std::ref(pool), hops_each);
    }
    co_await hopping.join();
}

void hop_all(benchmark::State& state, peal::pool& pool, peal::share even, peal::share odd) {
    std::int64_t tasks = state.range(1);
    // Enough that starting and joining do not count: a run takes some 10 ms.
    std::int64_t hops_each = bench::scaled(640'000, 640) / tasks;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) pool.run(hop_together, std::ref(pool), tasks, hops_each, even, odd);
    bench::report(state, state.iterations() * tasks * hops_each, taken);
}

void several_tasks(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    hop_all(state, pool, peal::share(), peal::share());
}

void not_rescuable(benchmark::State& state) {
    peal::pool_options options(static_cast<unsigned>(state.range(0)));
    options.rescue_after = std::chrono::nanoseconds(0);
    peal::pool pool(options);
    hop_all(state, pool, peal::share(), peal::share());
}

void in_shares(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    hop_all(state, pool, pool.make_share(100), pool.make_share(200));
}

}  // namespace

void bench::add_all() {
    add("sched/hop/one_task/workers:1", one_task);
    add("sched/hop/several_tasks", several_tasks)
        ->ArgNames({"workers", "tasks"})
        ->Args({1, 64})
        ->Args({2, 2})
        ->Args({2, 64})
        ->Unit(benchmark::kMillisecond);
    add("sched/hop/not_rescuable", not_rescuable)->ArgNames({"workers", "tasks"})->Args({1, 64})->Args({2, 64})->Unit(benchmark::kMillisecond);
    add("sched/hop/in_shares", in_shares)->ArgNames({"workers", "tasks"})->Args({1, 64})->Args({2, 64})->Unit(benchmark::kMillisecond);
}
