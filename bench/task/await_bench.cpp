// SPDX-License-Identifier: MIT

// Measures: making a task, awaiting it, and taking its value, within one worker.
//   ready: a child that ends without suspending, in a loop
//   recursion: fib(n) with a task per call, the children one after the other; per call
// Not: parallelism (task/spawn), children that suspend. The children are not inlined, so that a frame is really made.

#include <functional>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

[[gnu::noinline]] peal::task<std::int64_t> ready(std::int64_t value) { co_return value; }

peal::task<> await_in_loop(benchmark::State& state) {
    std::int64_t sum = 0;
    std::int64_t expected = 0;
    for ([[maybe_unused]] auto _ : state) sum += co_await ready(++expected);
    bench::expect(sum == expected * (expected + 1) / 2, "task/await/ready: wrong sum");
}

void await_ready(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(await_in_loop, std::ref(state));
    bench::report(state, state.iterations(), taken);
}

[[gnu::noinline]] peal::task<std::int64_t> fib(std::int64_t n) {
    if (n < 2) co_return n;
    std::int64_t before = co_await fib(n - 2);
    std::int64_t last = co_await fib(n - 1);
    co_return before + last;
}

std::int64_t plain_fib(std::int64_t n) {
    std::int64_t value = 0, following = 1;
    for (; n != 0; --n) following += std::exchange(value, following);
    return value;
}

void recursion(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    std::int64_t n = state.range(0);
    std::int64_t calls = 2 * plain_fib(n + 1) - 1;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        std::int64_t value = pool.run(fib, n);
        bench::expect(value == plain_fib(n), "task/await/recursion: wrong value");
    }
    bench::report(state, state.iterations() * calls, taken);
}

}  // namespace

void bench::add_all() {
    add("task/await/ready", await_ready);
    add("task/await/recursion", recursion)->ArgName("fib")->Arg(scaled(25, 10))->Unit(benchmark::kMicrosecond);
}
