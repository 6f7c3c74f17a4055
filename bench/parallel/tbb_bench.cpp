// SPDX-License-Identifier: MIT

// Measures: the computations of parallel/fork_join with oneTBB (Debian: libtbb-dev), on one and two threads, to compare with.
// Not: parallel_for and its partitioners; peal itself.

#include <array>
#include <cstdint>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/task_group.h>

#include "parallel/workloads.hpp"
#include "support/bench.hpp"

namespace {

using workloads::board;
using workloads::fib_n;
using workloads::queens_n;
using workloads::skynet_size;

std::int64_t fib(int n) {
    if (n < 2) return n;
    std::int64_t a = 0;
    std::int64_t b = 0;
    tbb::parallel_invoke([&a, n] { a = fib(n - 1); }, [&b, n] { b = fib(n - 2); });
    return a + b;
}

std::int64_t skynet(std::int64_t number, std::int64_t size) {
    if (size == 1) return number;
    std::int64_t part = size / 10;
    std::array<std::int64_t, 10> sums{};
    tbb::task_group children;
    for (int i = 1; i < 10; ++i) {
        children.run([&sums, number, part, i] { sums[static_cast<std::size_t>(i)] = skynet(number + i * part, part); });
    }
    sums[0] = skynet(number, part);
    children.wait();
    std::int64_t sum = 0;
    for (std::int64_t each : sums) sum += each;
    return sum;
}

std::int64_t queens(const board& taken, int row, int size, int first) {
    if (row == size) return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) return 0;
    std::int64_t with = 0;
    std::int64_t without = 0;
    tbb::parallel_invoke([&] { with = queens(taken.with(row, first), row + 1, size, 0); },
                         [&] { without = queens(taken, row, size, first + 1); });
    return with + without;
}

template <class Compute>
void add(const std::string& name, Compute compute, Compute serial) {
    auto run = [=](benchmark::State& state) {
        tbb::global_control threads(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(state.range(0)));
        std::int64_t expected = serial();
        bench::allocations taken;
        for ([[maybe_unused]] auto _ : state) bench::expect(compute() == expected, "parallel/tbb: wrong result");
        bench::report(state, state.iterations(), taken);
    };
    bench::add(name, run)->ArgName("workers")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond);
}

}  // namespace

void bench::add_all() {
    using compute = std::int64_t (*)();
    ::add<compute>("parallel/fib/tbb", [] { return fib(fib_n()); }, [] { return workloads::fib(fib_n()); });
    ::add<compute>("parallel/skynet/tbb", [] { return skynet(0, skynet_size()); }, [] { return workloads::skynet(0, skynet_size()); });
    ::add<compute>("parallel/queens/tbb", [] { return queens(board(), 0, queens_n(), 0); }, [] { return workloads::queens(board(), 0, queens_n()); });
}
