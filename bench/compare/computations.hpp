// SPDX-License-Identifier: MIT
#pragma once

// The workloads of the contract that compute something: their sizes, and that the result is right. A program says how to compute it.

#include "compare/contract.hpp"
#include "parallel/loops.hpp"
#include "parallel/matmul.hpp"
#include "parallel/workloads.hpp"

namespace compare {

/// `compute(n)`. Per fork.
template <class Compute>
measured fib(const Compute& compute) {
    std::int64_t expected = bench::scaled(2'178'309, 55);
    return timed(fib_forks(), [&] { bench::expect(compute(workloads::fib_n()) == expected, "fib: wrong result"); });
}
/// `compute(number, size)`. Per leaf.
template <class Compute>
measured skynet(const Compute& compute) {
    std::int64_t size = workloads::skynet_size();
    return timed(size, [&] { bench::expect(compute(std::int64_t{0}, size) == size * (size - 1) / 2, "skynet: wrong result"); });
}
/// `compute(board, row, size, first column)`.
template <class Compute>
measured queens(const Compute& compute) {
    std::int64_t expected = bench::scaled(14'200, 4);
    return timed(1, [&] { bench::expect(compute(workloads::board(), 0, workloads::queens_n(), 0) == expected, "queens: wrong result"); });
}
/// `multiply(block)` adds the product.
template <class Multiply>
measured multiply(const Multiply& multiply) {
    matmul::problem problem;
    return timed(1, [&] { problem.solve(multiply); });
}
/// `change(array)` makes one step of each element. Per element.
template <class Change>
measured change(const Change& change) {
    std::vector<loops::element> all = loops::make();
    return timed(passes() * static_cast<std::int64_t>(all.size()), [&] {
        for (std::int64_t i = 0; i < passes(); ++i) change(all);
    });
}
/// `sum(array)`. Per element.
template <class Sum>
measured reduce(const Sum& sum) {
    std::vector<loops::element> all = loops::make();
    std::uint64_t expected = loops::sum(all);
    return timed(passes() * static_cast<std::int64_t>(all.size()), [&] {
        for (std::int64_t i = 0; i < passes(); ++i) bench::expect(sum(all) == expected, "reduce: wrong result");
    });
}

}  // namespace compare
