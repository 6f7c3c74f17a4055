// SPDX-License-Identifier: MIT
#pragma once

// The computations of workloads.hpp, divided by peal down to almost nothing.

#include <functional>
#include <ranges>

#include <peal/peal.hpp>

#include "parallel/workloads.hpp"

namespace divided {

using workloads::board;

// ---- coroutines -------------------------------------------------------------------------------------------------------------

inline peal::task<std::int64_t> fib(int n) {
    if (n < 2) co_return n;
    auto [a, b] = co_await peal::fork_join(fib(n - 1), fib(n - 2));
    co_return a + b;
}

inline peal::task<std::int64_t> skynet(std::int64_t number, std::int64_t size) {
    if (size == 1) co_return number;
    std::int64_t part = size / 10;
    auto [a, b, c, d, e, f, g, h, i, j] = co_await peal::fork_join(
        skynet(number, part), skynet(number + part, part), skynet(number + 2 * part, part), skynet(number + 3 * part, part),
        skynet(number + 4 * part, part), skynet(number + 5 * part, part), skynet(number + 6 * part, part), skynet(number + 7 * part, part),
        skynet(number + 8 * part, part), skynet(number + 9 * part, part));
    co_return a + b + c + d + e + f + g + h + i + j;
}

/// The columns from `first` on, one by one: the number of children is known at run time only.
inline peal::task<std::int64_t> queens(board taken, int row, int size, int first) {
    if (row == size) co_return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) co_return 0;
    auto [with, without] = co_await peal::fork_join(queens(taken.with(row, first), row + 1, size, 0), queens(taken, row, size, first + 1));
    co_return with + without;
}

// ---- plain functions --------------------------------------------------------------------------------------------------------

inline std::int64_t fib_by_join(int n) {
    if (n < 2) return n;
    auto [a, b] = peal::join([n] { return fib_by_join(n - 1); }, [n] { return fib_by_join(n - 2); });
    return a + b;
}

inline std::int64_t skynet_by_join(std::int64_t number, std::int64_t size) {
    if (size == 1) return number;
    std::int64_t part = size / 10;
    return peal::parallel_reduce(std::views::iota(0, 10), 1, std::int64_t{0}, std::plus<>(),
                                 [=](int i) { return skynet_by_join(number + i * part, part); });
}

inline std::int64_t queens_by_join(const board& taken, int row, int size, int first) {
    if (row == size) return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) return 0;
    auto [with, without] = peal::join([&] { return queens_by_join(taken.with(row, first), row + 1, size, 0); },
                                      [&] { return queens_by_join(taken, row, size, first + 1); });
    return with + without;
}

}  // namespace divided
