// SPDX-License-Identifier: MIT

// Measures: computations that divide down to almost nothing, so what counts is the cost of a fork; one and two workers.
//   fib       two children, a leaf is one addition: nearly nothing but forking
//   skynet    ten children, a million leaves
//   queens    up to twelve children per node, and some work in each (12 queens)
// as coroutines (fork_join), as plain functions (join, parallel_invoke), and serial. Beside it: compare/.
// Not: leaves of a useful size, with which all of them scale; memory bandwidth.

#include <peal/peal.hpp>

#include "parallel/divided.hpp"
#include "support/bench.hpp"

namespace {

using workloads::board;
using workloads::fib_n;
using workloads::queens_n;
using workloads::skynet_size;

/// `compute(expected)`: sees that the result is right.
template <class Make>
void on_pool(benchmark::State& state, std::int64_t expected, Make make) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) bench::expect(pool.run(make) == expected, "parallel/fork_join: wrong result");
    bench::report(state, state.iterations(), taken);
}
template <class Compute>
void serial(benchmark::State& state, std::int64_t expected, Compute compute) {
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) bench::expect(compute() == expected, "parallel/fork_join: wrong result");
    bench::report(state, state.iterations(), taken);
}

template <class Make, class Join, class Serial>
void add_three(const std::string& name, Make make, Join join, Serial alone) {
    auto workers = [](auto* made) { made->ArgName("workers")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond); };
    workers(bench::add(name + "/fork_join", [=](benchmark::State& state) { on_pool(state, alone(), make); }));
    workers(bench::add(name + "/join", [=](benchmark::State& state) {
        on_pool(state, alone(), [join]() -> peal::task<std::int64_t> { co_return join(); });
    }));
    bench::add(name + "/serial", [=](benchmark::State& state) { serial(state, alone(), alone); })->Unit(benchmark::kMillisecond);
}

}  // namespace

void bench::add_all() {
    add_three(
        "parallel/fib", [] { return divided::fib(fib_n()); }, [] { return divided::fib_by_join(fib_n()); },
        [] { return workloads::fib(fib_n()); });
    add_three(
        "parallel/skynet", [] { return divided::skynet(0, skynet_size()); }, [] { return divided::skynet_by_join(0, skynet_size()); },
        [] { return workloads::skynet(0, skynet_size()); });
    add_three(
        "parallel/queens", [] { return divided::queens(board(), 0, queens_n(), 0); },
        [] { return divided::queens_by_join(board(), 0, queens_n(), 0); }, [] { return workloads::queens(board(), 0, queens_n()); });
}
