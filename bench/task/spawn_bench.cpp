// SPDX-License-Identifier: MIT

// Measures: starting a task that does nothing, and hearing of its end; per task.
//   join_one: spawn and await the handle, one after the other, inside a worker
//   scope, handles: spawn 10,000 inside a worker, then wait for all by the scope, or handle by handle
//   foreign: spawn 10,000 from a thread that is no worker, then wait until all have run
// Not: fork-join, which is to have its own path; tasks with arguments of their own.

#include <atomic>
#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

peal::task<> nothing() { co_return; }

peal::task<> join_one_by_one(benchmark::State& state) {
    for ([[maybe_unused]] auto _ : state) {
        auto started = peal::spawn(nothing);
        co_await started;
    }
}

void join_one(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    bench::allocations taken;
    pool.run(join_one_by_one, std::ref(state));
    bench::report(state, state.iterations(), taken);
}

peal::task<> join_scope(benchmark::State& state, std::int64_t count) {
    for ([[maybe_unused]] auto _ : state) {
        peal::scope started;
        for (std::int64_t i = 0; i < count; ++i) started.spawn(nothing);
        co_await started.join();
    }
}

peal::task<> join_handles(benchmark::State& state, std::int64_t count) {
    std::vector<peal::join_handle<>> started;
    started.reserve(static_cast<std::size_t>(count));
    for ([[maybe_unused]] auto _ : state) {
        for (std::int64_t i = 0; i < count; ++i) started.push_back(peal::spawn(nothing));
        for (auto& each : started) co_await each;
        started.clear();
    }
}

template <peal::task<> (*Body)(benchmark::State&, std::int64_t)>
void many_inside(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    bench::allocations taken;
    pool.run(Body, std::ref(state), state.range(1));
    bench::report(state, state.iterations() * state.range(1), taken);
}

peal::task<> count_down(std::atomic<std::int64_t>& left) {
    if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) left.notify_one();  // the last one pairs with the load below
    co_return;
}

void many_from_outside(benchmark::State& state) {
    std::atomic<std::int64_t> left{0};  // outlives the pool: the last task touches it after it reached zero
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        left.store(state.range(1), std::memory_order_relaxed);  // published by the spawns
        for (std::int64_t i = 0; i < state.range(1); ++i) pool.spawn(count_down, std::ref(left)).detach();
        while (std::int64_t now = left.load(std::memory_order_acquire)) left.wait(now);
    }
    bench::report(state, state.iterations() * state.range(1), taken);
}

}  // namespace

void bench::add_all() {
    std::int64_t many = scaled(10'000, 100);
    add("task/spawn/join_one", join_one)->ArgName("workers")->Arg(1)->Arg(2);
    add("task/spawn/scope", many_inside<join_scope>)->ArgNames({"workers", "tasks"})->Args({1, many})->Args({2, many});
    add("task/spawn/handles", many_inside<join_handles>)->ArgNames({"workers", "tasks"})->Args({1, many})->Args({2, many});
    add("task/spawn/foreign", many_from_outside)->ArgNames({"workers", "tasks"})->Args({1, many})->Args({2, many});
}
