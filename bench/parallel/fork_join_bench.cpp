// SPDX-License-Identifier: MIT

// Measures: computations that divide down to almost nothing, so what counts is the cost of a fork; one and two workers.
//   fib       two children, a leaf is one addition: nearly nothing but forking
//   skynet    ten children, a million leaves
//   queens    up to twelve children per node, and some work in each (12 queens)
// as coroutines (fork_join), as plain functions (join, parallel_invoke), and serial. Beside it: parallel/tbb, the same with oneTBB.
// Not: leaves of a useful size, with which all of them scale; memory bandwidth.

#include <algorithm>
#include <ranges>
#include <vector>

#include <peal/peal.hpp>

#include "parallel/workloads.hpp"
#include "support/bench.hpp"

namespace {

using workloads::board;
using workloads::fib_n;
using workloads::queens_n;
using workloads::skynet_size;

// ---- coroutines -------------------------------------------------------------------------------------------------------------

peal::task<std::int64_t> fib(int n) {
    if (n < 2) co_return n;
    auto [a, b] = co_await peal::fork_join(fib(n - 1), fib(n - 2));
    co_return a + b;
}

peal::task<std::int64_t> skynet(std::int64_t number, std::int64_t size) {
    if (size == 1) co_return number;
    std::int64_t part = size / 10;
    auto [a, b, c, d, e, f, g, h, i, j] = co_await peal::fork_join(
        skynet(number, part), skynet(number + part, part), skynet(number + 2 * part, part), skynet(number + 3 * part, part),
        skynet(number + 4 * part, part), skynet(number + 5 * part, part), skynet(number + 6 * part, part), skynet(number + 7 * part, part),
        skynet(number + 8 * part, part), skynet(number + 9 * part, part));
    co_return a + b + c + d + e + f + g + h + i + j;
}

/// The columns from `first` on, one by one: the number of children is known at run time only.
peal::task<std::int64_t> queens(board taken, int row, int size, int first) {
    if (row == size) co_return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) co_return 0;
    auto [with, without] = co_await peal::fork_join(queens(taken.with(row, first), row + 1, size, 0), queens(taken, row, size, first + 1));
    co_return with + without;
}

// ---- plain functions --------------------------------------------------------------------------------------------------------

std::int64_t fib_by_join(int n) {
    if (n < 2) return n;
    auto [a, b] = peal::join([n] { return fib_by_join(n - 1); }, [n] { return fib_by_join(n - 2); });
    return a + b;
}

std::int64_t skynet_by_join(std::int64_t number, std::int64_t size) {
    if (size == 1) return number;
    std::int64_t part = size / 10;
    return peal::parallel_reduce(std::views::iota(0, 10), 1, std::int64_t{0}, std::plus<>(),
                                 [=](int i) { return skynet_by_join(number + i * part, part); });
}

std::int64_t queens_by_join(const board& taken, int row, int size, int first) {
    if (row == size) return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) return 0;
    auto [with, without] = peal::join([&] { return queens_by_join(taken.with(row, first), row + 1, size, 0); },
                                      [&] { return queens_by_join(taken, row, size, first + 1); });
    return with + without;
}

// ---- runs -------------------------------------------------------------------------------------------------------------------

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
        "parallel/fib", [] { return fib(fib_n()); }, [] { return fib_by_join(fib_n()); }, [] { return workloads::fib(fib_n()); });
    add_three(
        "parallel/skynet", [] { return skynet(0, skynet_size()); }, [] { return skynet_by_join(0, skynet_size()); },
        [] { return workloads::skynet(0, skynet_size()); });
    add_three(
        "parallel/queens", [] { return queens(board(), 0, queens_n(), 0); }, [] { return queens_by_join(board(), 0, queens_n(), 0); },
        [] { return workloads::queens(board(), 0, queens_n()); });
}
