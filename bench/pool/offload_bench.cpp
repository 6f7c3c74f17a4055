// SPDX-License-Identifier: MIT

// Measures: `pool.offload(fn)` of a function that adds two numbers, until its result is back.
//   same_pool: from a worker of the pool: a hop to the back of its queue
//   other_pool: from a worker of one pool to the one worker of another, and back: two wakes of a thread
//   foreign: peal::sync_wait(pool.offload(fn)) from a thread that is no worker. Beside it, in turns, a bare futex ping-pong between
//     two threads: both are one wake there and one back. "hot": one after the other. "idle": after 1 ms of quiet, when both threads
//     and their cores sleep. The time of the benchmark is the offload; counters: medians of both, and the ratio of the medians.
// Not: what a loaded pool adds, and functions that take long.

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

using steady = std::chrono::steady_clock;

int add_up(int a, int b) noexcept { return a + b; }

peal::task<> offload_in_loop(benchmark::State& state, peal::pool& target) {
    for ([[maybe_unused]] auto _ : state) {
        int sum = co_await target.offload(add_up, 2, 3);
        bench::expect(sum == 5, "pool/offload: wrong sum");
    }
}

void same_pool(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(offload_in_loop, std::ref(state), std::ref(pool));
    bench::report(state, state.iterations(), taken);
}

void other_pool(benchmark::State& state) {
    peal::pool target(peal::pool_options(1));
    peal::pool from(peal::pool_options(1));
    bench::allocations taken;
    from.run(offload_in_loop, std::ref(state), std::ref(target));
    bench::report(state, state.iterations(), taken);
}

/// The least that two threads need to hand a number over and get one back, when each sleeps while the other works.
class futex_ping_pong {
  public:
    futex_ping_pong() : peer_([this] { answer(); }) {}
    ~futex_ping_pong() {
        set(request_, stop);
        peer_.join();
    }
    void round_trip() noexcept {
        set(request_, ++round_);
        wait_while(answer_, round_ - 1);
    }

  private:
    static constexpr std::uint32_t stop = ~std::uint32_t{0};

    static void set(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
        word.store(value, std::memory_order_release);
        ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    static void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
        while (word.load(std::memory_order_acquire) == value) {
            ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, value, nullptr, nullptr, 0);
        }
    }
    void answer() noexcept {
        for (std::uint32_t seen = 0;;) {
            wait_while(request_, seen);
            seen = request_.load(std::memory_order_acquire);
            if (seen == stop) return;
            set(answer_, seen);
        }
    }

    std::atomic<std::uint32_t> request_{0};
    alignas(64) std::atomic<std::uint32_t> answer_{0};
    std::uint32_t round_ = 0;
    std::thread peer_;
};

double seconds_since(steady::time_point begin) { return std::chrono::duration<double>(steady::now() - begin).count(); }

double median(std::vector<double>& values) {
    auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

void foreign(benchmark::State& state, int block, std::chrono::milliseconds gap) {
    peal::pool pool(peal::pool_options(1));
    futex_ping_pong bare;
    std::vector<double> offloads, ping_pongs;
    offloads.reserve(static_cast<std::size_t>(state.max_iterations));
    ping_pongs.reserve(static_cast<std::size_t>(state.max_iterations));
    std::uint64_t allocated = 0;
    for ([[maybe_unused]] auto _ : state) {
        if (gap.count() != 0) std::this_thread::sleep_for(gap);
        bench::allocations during;
        auto begin = steady::now();
        for (int i = 0; i < block; ++i) {
            int sum = peal::sync_wait(pool.offload(add_up, 2, 3));
            bench::expect(sum == 5, "pool/offload: wrong sum");
        }
        double took = seconds_since(begin);
        allocated += during.count();
        state.SetIterationTime(took);
        offloads.push_back(took / block);

        if (gap.count() != 0) std::this_thread::sleep_for(gap);
        begin = steady::now();
        for (int i = 0; i < block; ++i) bare.round_trip();
        ping_pongs.push_back(seconds_since(begin) / block);
    }
    double offload = median(offloads);
    double ping_pong = median(ping_pongs);
    state.counters["per_item"] = benchmark::Counter(static_cast<double>(state.iterations() * block),
                                                    benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
    state.counters["allocations"] = static_cast<double>(allocated) / static_cast<double>(state.iterations() * block);
    state.counters["offload_p50"] = offload;
    state.counters["futex_p50"] = ping_pong;
    state.counters["to_futex"] = offload / ping_pong;
}

void foreign_hot(benchmark::State& state) { foreign(state, 64, std::chrono::milliseconds(0)); }
void foreign_idle(benchmark::State& state) { foreign(state, 1, std::chrono::milliseconds(1)); }

}  // namespace

void bench::add_all() {
    add("pool/offload/same_pool", same_pool);
    add("pool/offload/other_pool", other_pool);
    add_manual("pool/offload/foreign/hot", foreign_hot)->Unit(benchmark::kMicrosecond);
    // The time of an iteration is mostly the quiet, which does not count: without a number it would run for minutes.
    add_manual("pool/offload/foreign/idle", foreign_idle)->Iterations(scaled(500, 20))->Unit(benchmark::kMicrosecond);
}
