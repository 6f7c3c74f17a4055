// SPDX-License-Identifier: MIT

// Measures: the product of two matrices of 1024 x 1024 floats, divided down to blocks of 32 x 32, some 10 us each: leaves of a useful size.
//   as coroutines (fork_join), as plain functions (parallel_invoke), on one and two workers, and serial
// Not: how fast a product can be: the leaf is plain code that the compiler vectorises.

#include <functional>

#include <peal/peal.hpp>

#include "parallel/matmul.hpp"
#include "support/bench.hpp"

namespace {

peal::task<> multiply_by_fork_join(matmul::block all) {
    if (all.is_small()) {
        all.multiply();
        co_return;
    }
    for (int k = 0; k < 2; ++k) {
        co_await peal::fork_join(multiply_by_fork_join(all.quarter(0, 0, k)), multiply_by_fork_join(all.quarter(0, 1, k)),
                                 multiply_by_fork_join(all.quarter(1, 0, k)), multiply_by_fork_join(all.quarter(1, 1, k)));
    }
}

void fork_join(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    matmul::problem problem;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        problem.solve([&pool](const matmul::block& all) { pool.run(multiply_by_fork_join, all); });
    }
    bench::report(state, state.iterations(), taken);
}

void invoke(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    matmul::problem problem;
    auto four = [](const auto&... parts) { peal::parallel_invoke(parts...); };
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        problem.solve([&](const matmul::block& all) { pool.run([&all, &four] { matmul::multiply(all, four); }); });
    }
    bench::report(state, state.iterations(), taken);
}

void serial(benchmark::State& state) {
    matmul::problem problem;
    auto four = [](const auto&... parts) { (parts(), ...); };
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) problem.solve([&four](const matmul::block& all) { matmul::multiply(all, four); });
    bench::report(state, state.iterations(), taken);
}

}  // namespace

void bench::add_all() {
    add("parallel/matmul/fork_join", fork_join)->ArgName("workers")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond);
    add("parallel/matmul/parallel_invoke", invoke)->ArgName("workers")->Arg(1)->Arg(2)->Unit(benchmark::kMillisecond);
    add("parallel/matmul/serial", serial)->Unit(benchmark::kMillisecond);
}
