// SPDX-License-Identifier: MIT

// oneTBB under the contract of contract.hpp (Debian: libtbb-dev). `--threads N` counts the calling thread, which works, too.
// Left out: hop and channels, which it does not have (its queues block threads); the herd, because its tasks cannot wait for an event.

#include <array>
#include <atomic>

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/parallel_reduce.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/version.h>

#include "compare/computations.hpp"

namespace {

using compare::measured;
using compare::timed;
using workloads::board;

class limit : tbb::global_control {
  public:
    explicit limit(unsigned threads) : global_control(max_allowed_parallelism, threads) {}
};

// ---- spawn, when_all --------------------------------------------------------------------------------------------------------

measured spawn_inside(unsigned threads) {
    limit to(threads);
    return timed(compare::spawns(), [] {
        tbb::task_group started;
        for (std::int64_t i = 0; i < compare::spawns(); ++i) started.run([] {});
        started.wait();
    });
}
/// The calling thread only hands over: it has no place in the arena.
class arena : limit {
  public:
    explicit arena(unsigned threads) : limit(threads + 1), workers_(static_cast<int>(threads), 0) {}
    template <class Function>
    void enqueue(const Function& function) {
        workers_.enqueue(function);
    }

  private:
    tbb::task_arena workers_;
};
measured spawn_foreign(unsigned threads) {
    std::atomic<std::int64_t> left{0};
    arena workers(threads);
    return timed(compare::spawns(), [&] {
        left.store(compare::spawns(), std::memory_order_relaxed);  // published by the arena's queue
        for (std::int64_t i = 0; i < compare::spawns(); ++i) {
            workers.enqueue([&left] {
                if (left.fetch_sub(1, std::memory_order_acq_rel) == 1) left.notify_one();
            });
        }
        while (std::int64_t now = left.load(std::memory_order_acquire)) left.wait(now);
    });
}
template <std::int64_t Count>
measured when_all(unsigned threads) {
    limit to(threads);
    std::array<std::int64_t, Count> values{};
    return timed(compare::children(), [&values] {
        std::int64_t sum = 0;
        for (std::int64_t done = 0; done < compare::children(); done += Count) {
            tbb::task_group children;
            for (std::int64_t& each : values) children.run([&each] { each = 1; });
            children.wait();
            for (std::int64_t each : values) sum += each;
        }
        bench::expect(sum == compare::children(), "when_all: wrong sum");
    });
}

// ---- computations: task_group ("task") and parallel_invoke ("join") -----------------------------------------------------------

std::int64_t fib(int n) {
    if (n < 2) return n;
    std::int64_t a = 0;
    tbb::task_group children;
    children.run([&a, n] { a = fib(n - 1); });
    std::int64_t b = fib(n - 2);
    children.wait();
    return a + b;
}
std::int64_t fib_by_invoke(int n) {
    if (n < 2) return n;
    std::int64_t a = 0;
    std::int64_t b = 0;
    tbb::parallel_invoke([&a, n] { a = fib_by_invoke(n - 1); }, [&b, n] { b = fib_by_invoke(n - 2); });
    return a + b;
}

std::int64_t sum_of(const std::array<std::int64_t, 10>& sums) {
    std::int64_t sum = 0;
    for (std::int64_t each : sums) sum += each;
    return sum;
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
    return sum_of(sums);
}
std::int64_t skynet_by_invoke(std::int64_t number, std::int64_t size) {
    if (size == 1) return number;
    std::array<std::int64_t, 10> sums{};
    auto child = [&sums, number, part = size / 10](int i) {
        return [&sums, number, part, i] { sums[static_cast<std::size_t>(i)] = skynet_by_invoke(number + i * part, part); };
    };
    tbb::parallel_invoke(child(0), child(1), child(2), child(3), child(4), child(5), child(6), child(7), child(8), child(9));
    return sum_of(sums);
}

std::int64_t queens(const board& taken, int row, int size, int first) {
    if (row == size) return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) return 0;
    std::int64_t with = 0;
    tbb::task_group children;
    children.run([&] { with = queens(taken.with(row, first), row + 1, size, 0); });
    std::int64_t without = queens(taken, row, size, first + 1);
    children.wait();
    return with + without;
}
std::int64_t queens_by_invoke(const board& taken, int row, int size, int first) {
    if (row == size) return 1;
    while (first < size && !taken.may_stand(row, first)) ++first;
    if (first == size) return 0;
    std::int64_t with = 0;
    std::int64_t without = 0;
    tbb::parallel_invoke([&] { with = queens_by_invoke(taken.with(row, first), row + 1, size, 0); },
                         [&] { without = queens_by_invoke(taken, row, size, first + 1); });
    return with + without;
}

measured fib_task(unsigned threads) {
    limit to(threads);
    return compare::fib(fib);
}
measured fib_join(unsigned threads) {
    limit to(threads);
    return compare::fib(fib_by_invoke);
}
measured skynet_task(unsigned threads) {
    limit to(threads);
    return compare::skynet(skynet);
}
measured skynet_join(unsigned threads) {
    limit to(threads);
    return compare::skynet(skynet_by_invoke);
}
measured queens_task(unsigned threads) {
    limit to(threads);
    return compare::queens(queens);
}
measured queens_join(unsigned threads) {
    limit to(threads);
    return compare::queens(queens_by_invoke);
}
measured multiply(unsigned threads) {
    limit to(threads);
    auto four = [](const auto&... parts) { tbb::parallel_invoke(parts...); };
    return compare::multiply([&four](const matmul::block& all) { matmul::multiply(all, four); });
}
measured change(unsigned threads) {
    limit to(threads);
    return compare::change([](std::vector<loops::element>& all) {
        tbb::parallel_for(tbb::blocked_range<std::size_t>(0, all.size()), [&all](const auto& part) {
            for (std::size_t i = part.begin(); i != part.end(); ++i) all[i] = loops::next(all[i]);
        });
    });
}
measured reduce(unsigned threads) {
    limit to(threads);
    return compare::reduce([](const std::vector<loops::element>& all) {
        auto add = [&all](const auto& part, std::uint64_t sum) {
            for (std::size_t i = part.begin(); i != part.end(); ++i) sum += all[i];
            return sum;
        };
        return tbb::parallel_reduce(tbb::blocked_range<std::size_t>(0, all.size()), std::uint64_t{0}, add, std::plus<>());
    });
}

// ---- round trip -------------------------------------------------------------------------------------------------------------

/// A question for the arena; the calling thread sleeps until it is answered.
void ask(arena& workers) {
    std::atomic<int> answer{0};
    workers.enqueue([&answer] {
        answer.store(2, std::memory_order_release);
        answer.notify_one();
    });
    answer.wait(0, std::memory_order_acquire);
}

measured round_trip(unsigned threads) {
    arena workers(threads);
    return timed(compare::trips(), [&workers] {
        for (std::int64_t i = 0; i < compare::trips(); ++i) ask(workers);
    });
}
measured round_trip_cold(unsigned threads) {
    arena workers(threads);
    return compare::after_quiet([&workers] { ask(workers); });
}

constexpr compare::workload all[] = {
    {"spawn_inside", spawn_inside}, {"spawn_foreign", spawn_foreign}, {"when_all_10", when_all<10>}, {"when_all_1000", when_all<1000>},
    {"fib_task", fib_task},         {"fib_join", fib_join},           {"skynet_task", skynet_task},  {"skynet_join", skynet_join},
    {"queens_task", queens_task},   {"queens_join", queens_join},     {"matmul", multiply},          {"parallel_for", change},
    {"parallel_reduce", reduce},    {"round_trip", round_trip},       {"round_trip_cold", round_trip_cold},
};

}  // namespace

std::span<const compare::workload> compare::workloads() { return all; }
std::string compare::version() { return "oneTBB " + std::to_string(TBB_VERSION_MAJOR) + "." + std::to_string(TBB_VERSION_MINOR); }
