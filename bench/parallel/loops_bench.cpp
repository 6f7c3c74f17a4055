// SPDX-License-Identifier: MIT

// Measures: parallel_for and parallel_reduce over 1,000,000 integers (4 MB), per element, beside the serial loop; one and two workers.
// An element takes less than a nanosecond, so this shows how dear dividing is, and whether the loop is still vectorised.
// Not: elements that take long, or differently long; loops whose function is a coroutine.

#include <functional>

#include <peal/peal.hpp>

#include "parallel/loops.hpp"
#include "support/bench.hpp"

namespace {

/// `change(all)` makes one step of each element.
template <class Change>
void change(benchmark::State& state, Change change) {
    std::vector<loops::element> all = loops::make();
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) change(all);
    bench::report(state, state.iterations() * static_cast<std::int64_t>(all.size()), taken);
    loops::element expected = 0;
    for (std::int64_t i = 0; i < state.iterations(); ++i) expected = loops::next(expected);
    bench::expect(all.front() == expected, "parallel/loops: wrong elements");
}
template <class Sum>
void reduce(benchmark::State& state, Sum sum) {
    std::vector<loops::element> all = loops::make();
    std::uint64_t expected = loops::sum(all);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) bench::expect(sum(all) == expected, "parallel/loops: wrong sum");
    bench::report(state, state.iterations() * static_cast<std::int64_t>(all.size()), taken);
}

void change_parallel(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    change(state, [&pool](std::vector<loops::element>& all) {
        pool.run([&all] { peal::parallel_for(all, [](loops::element& each) { each = loops::next(each); }); });
    });
}
void reduce_parallel(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    reduce(state, [&pool](const std::vector<loops::element>& all) {
        return pool.run([&all] { return peal::parallel_reduce(all, std::uint64_t{0}, std::plus<>()); });
    });
}
void change_serial(benchmark::State& state) { change(state, loops::change_all); }
void reduce_serial(benchmark::State& state) { reduce(state, loops::sum); }

}  // namespace

void bench::add_all() {
    add("parallel/for/parallel_for", change_parallel)->ArgName("workers")->Arg(1)->Arg(2)->Unit(benchmark::kMicrosecond);
    add("parallel/for/serial", change_serial)->Unit(benchmark::kMicrosecond);
    add("parallel/reduce/parallel_reduce", reduce_parallel)->ArgName("workers")->Arg(1)->Arg(2)->Unit(benchmark::kMicrosecond);
    add("parallel/reduce/serial", reduce_serial)->Unit(benchmark::kMicrosecond);
}
