// SPDX-License-Identifier: MIT

// Measures: when_all of children that are ready at once, per child: the frame, the branch, and its end.
//   fixed: two, by types.   range: a vector of 10 and 1000 tasks, which is made anew each time (so two allocations per when_all)
// Not: children that suspend, parallelism.

#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

[[gnu::noinline]] peal::task<std::int64_t> ready(std::int64_t value) { co_return value; }

peal::task<> two(benchmark::State& state) {
    std::int64_t sum = 0;
    for ([[maybe_unused]] auto _ : state) {
        auto both = co_await peal::when_all(ready(1), ready(2));
        sum += std::get<0>(both) + std::get<1>(both);
    }
    bench::expect(sum == 3 * state.iterations(), "combine/when_all: wrong sum");
}

peal::task<> many(benchmark::State& state) {
    std::int64_t count = state.range(0);
    std::int64_t sum = 0;
    for ([[maybe_unused]] auto _ : state) {
        std::vector<peal::task<std::int64_t>> tasks;
        tasks.reserve(static_cast<std::size_t>(count));
        for (std::int64_t i = 0; i < count; ++i) tasks.push_back(ready(1));
        std::vector<std::int64_t> values = co_await peal::when_all(std::move(tasks));
        for (std::int64_t each : values) sum += each;
    }
    bench::expect(sum == count * state.iterations(), "combine/when_all: wrong sum");
}

void fixed(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(two, std::ref(state));
    bench::report(state, 2 * state.iterations(), taken);
}
void range(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(many, std::ref(state));
    bench::report(state, state.range(0) * state.iterations(), taken);
}

}  // namespace

void bench::add_all() {
    add("combine/when_all/fixed/2", fixed);
    add("combine/when_all/range", range)->ArgName("children")->Arg(10)->Arg(1000);
}
