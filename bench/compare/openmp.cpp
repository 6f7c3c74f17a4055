// SPDX-License-Identifier: MIT

// OpenMP under the contract of contract.hpp: the compiler's own (libgomp of g++; clang: Debian's libomp-19-dev). A task is a call that
// another thread may make while its creator waits for it, so the computations are of the form "join".
// Left out: what it does not have (hop, channels, events) or where the calling thread takes part anyway (foreign thread, round trip).

#include <array>

#include <omp.h>

#include "compare/computations.hpp"

namespace {

using compare::measured;
using compare::timed;
using workloads::board;

/// Calls `body` on one thread of a team; the others take its tasks.
template <class Body>
void in_team(unsigned threads, const Body& body) {
#pragma omp parallel num_threads(static_cast<int>(threads))
#pragma omp single
    body();
}

measured spawn_inside(unsigned threads) {
    return timed(compare::spawns(), [threads] {
        in_team(threads, [] {
            for (std::int64_t i = 0; i < compare::spawns(); ++i) {
#pragma omp task
                {
                }
            }
#pragma omp taskwait
        });
    });
}

template <std::int64_t Count>
measured when_all(unsigned threads) {
    return timed(compare::children(), [threads] {
        in_team(threads, [] {
            std::array<std::int64_t, Count> values{};
            std::int64_t sum = 0;
            for (std::int64_t done = 0; done < compare::children(); done += Count) {
                for (std::size_t i = 0; i < Count; ++i) {
#pragma omp task shared(values) firstprivate(i)
                    values[i] = 1;
                }
#pragma omp taskwait
                for (std::int64_t each : values) sum += each;
            }
            bench::expect(sum == compare::children(), "when_all: wrong sum");
        });
    });
}

std::int64_t fib(int n) {
    if (n < 2) return n;
    std::int64_t a = 0;
#pragma omp task shared(a)
    a = fib(n - 1);
    std::int64_t b = fib(n - 2);
#pragma omp taskwait
    return a + b;
}
std::int64_t skynet(std::int64_t number, std::int64_t size) {
    if (size == 1) return number;
    std::int64_t part = size / 10;
    std::array<std::int64_t, 10> sums{};
    for (int i = 1; i < 10; ++i) {
#pragma omp task shared(sums) firstprivate(i)
        sums[static_cast<std::size_t>(i)] = skynet(number + i * part, part);
    }
    sums[0] = skynet(number, part);
#pragma omp taskwait
    std::int64_t sum = 0;
    for (std::int64_t each : sums) sum += each;
    return sum;
}
std::int64_t queens(const board& taken, int row, int size, int first) {
    if (row == size) return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) return 0;
    std::int64_t with = 0;
#pragma omp task shared(with, taken)
    with = queens(taken.with(row, first), row + 1, size, 0);
    std::int64_t without = queens(taken, row, size, first + 1);
#pragma omp taskwait
    return with + without;
}
/// The last one where it is, the others as tasks.
struct invoke_four {
    template <class W, class X, class Y, class Z>
    void operator()(const W& w, const X& x, const Y& y, const Z& z) const {
#pragma omp task shared(w)
        w();
#pragma omp task shared(x)
        x();
#pragma omp task shared(y)
        y();
        z();
#pragma omp taskwait
    }
};

/// `compute(arguments...)` on a team.
template <class Result, class... Arguments>
auto by_team(unsigned threads, Result (*compute)(Arguments...)) {
    return [=](Arguments... arguments) {
        Result result{};
        in_team(threads, [&] { result = compute(arguments...); });
        return result;
    };
}

measured fib_join(unsigned threads) { return compare::fib(by_team(threads, fib)); }
measured skynet_join(unsigned threads) { return compare::skynet(by_team(threads, skynet)); }
measured queens_join(unsigned threads) { return compare::queens(by_team(threads, queens)); }
measured multiply(unsigned threads) {
    return compare::multiply([threads](const matmul::block& all) {
        in_team(threads, [&all] { matmul::multiply(all, invoke_four()); });
    });
}
measured change(unsigned threads) {
    return compare::change([threads](std::vector<loops::element>& all) {
#pragma omp parallel for num_threads(static_cast<int>(threads))
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = loops::next(all[i]);
    });
}
measured reduce(unsigned threads) {
    return compare::reduce([threads](const std::vector<loops::element>& all) {
        std::uint64_t sum = 0;
#pragma omp parallel for num_threads(static_cast<int>(threads)) reduction(+ : sum)
        for (std::size_t i = 0; i < all.size(); ++i) sum += all[i];
        return sum;
    });
}

constexpr compare::workload all[] = {
    {"spawn_inside", spawn_inside}, {"when_all_10", when_all<10>}, {"when_all_1000", when_all<1000>}, {"fib_join", fib_join},
    {"skynet_join", skynet_join},   {"queens_join", queens_join},  {"matmul", multiply},              {"parallel_for", change},
    {"parallel_reduce", reduce},
};

}  // namespace

std::span<const compare::workload> compare::workloads() { return all; }
std::string compare::version() { return "OpenMP " + std::to_string(_OPENMP) + " of this compiler"; }
