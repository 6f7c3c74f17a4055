// SPDX-License-Identifier: MIT
#pragma once

// Computations that can be divided, serial: what they cost without dividing, and the leaves of the divided forms.

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/sizes.hpp"

namespace workloads {

/// Not inlined, so that a call is a call.
[[gnu::noinline]] inline std::int64_t fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

/// Sums the numbers of the leaves of a tree with ten children per node.
[[gnu::noinline]] inline std::int64_t skynet(std::int64_t number, std::int64_t size) {
    if (size == 1) return number;
    std::int64_t sum = 0;
    for (int i = 0; i < 10; ++i) sum += skynet(number + i * (size / 10), size / 10);
    return sum;
}

/// Queens on a board of so many columns, in the rows that are taken so far.
constexpr int most_queens = 12;
struct board {
    std::array<signed char, most_queens> columns;

    bool may_stand(int row, int column) const noexcept {
        for (int i = 0; i < row; ++i) {
            int apart = column - columns[static_cast<std::size_t>(i)];
            if (apart == 0 || apart == row - i || apart == i - row) return false;
        }
        return true;
    }
    board with(int row, int column) const noexcept {
        board next = *this;
        next.columns[static_cast<std::size_t>(row)] = static_cast<signed char>(column);
        return next;
    }
};
[[gnu::noinline]] inline std::int64_t queens(const board& taken, int row, int size) {
    if (row == size) return 1;
    std::int64_t count = 0;
    for (int column = 0; column < size; ++column) {
        if (taken.may_stand(row, column)) count += queens(taken.with(row, column), row + 1, size);
    }
    return count;
}

/// How much of each.
inline int fib_n() { return bench::smoke() ? 10 : 32; }
inline std::int64_t skynet_size() { return bench::smoke() ? 100 : 1'000'000; }
inline int queens_n() { return bench::smoke() ? 6 : most_queens; }

}  // namespace workloads
