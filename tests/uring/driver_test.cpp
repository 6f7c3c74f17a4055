// SPDX-License-Identifier: MIT

// The driver at its limits: more operations than entries, more completions than the queue holds, wakes at any moment, signals, and a pool
// without work.

#include <peal/detail/operation.hpp>

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rings.hpp"
#include "support/threads.hpp"

using namespace std::chrono_literals;

namespace {

class nop_operation : public peal::detail::void_operation {
  public:
    nop_operation() noexcept : void_operation(peal::detail::operation_kind::nop) {}
};

peal::task<> one_nop() { co_await nop_operation(); }

peal::task<> many_nops(int at_once, int rounds) {
    for (int i = 0; i < rounds; ++i) {
        peal::scope all;
        for (int k = 0; k < at_once; ++k) all.spawn(one_nop);
        co_await all.join();
    }
}

peal::task<> hop(peal::pool& pool, int times) {
    for (int i = 0; i < times; ++i) co_await pool.schedule();
}

/// Each hop goes to a worker that sleeps or is about to.
peal::task<> alternate(peal::pool& one, peal::pool& other, int times) {
    for (int i = 0; i < times; ++i) {
        co_await one.schedule();
        co_await other.schedule();
    }
}

}  // namespace

TEST_CASE("uring driver: a ring of eight entries takes a thousand operations in one round, and none is lost") {
    peal::pool_options options = support::each_ring_mode(1);
    options.ring_entries = 8;
    peal::pool pool(options);
    pool.run(many_nops, 1000, 20);
    pool.shutdown(10s, 10s);
    CHECK(pool.counts().live == 0);
    CHECK(pool.counts().completed == 20'001);
}

namespace {

struct pace {
    std::array<int, 1000> done{};
    int furthest_apart = 0;
};

peal::task<> keep_pace(pace& all, std::size_t index) {
    for (int i = 0; i < 50; ++i) {
        co_await nop_operation();
        ++all.done[index];
        if (index == 0) {
            auto [least, most] = std::minmax_element(all.done.begin(), all.done.end());
            all.furthest_apart = std::max(all.furthest_apart, *most - *least);
        }
    }
}

peal::task<> all_at_once(pace& all) {
    peal::scope running;
    for (std::size_t i = 0; i < all.done.size(); ++i) running.spawn(keep_pace, std::ref(all), i);
    co_await running.join();
}

}  // namespace

TEST_CASE("uring driver: what is ready first runs first, also when more is ready than a queue holds") {
    pace all;
    peal::pool pool(support::each_ring_mode(1));
    pool.run(all_at_once, std::ref(all));
    CHECK(all.furthest_apart <= 4);
}

TEST_CASE("uring driver: wakes from another pool at any moment of falling asleep are not lost") {
    const peal::pool_options options = support::each_ring_mode(1);
    peal::pool one(options);
    peal::pool two(options);
    auto moving = alternate(one, two, 20'000);
    peal::sync_wait(std::move(moving));
    SUCCEED("it came to its end");
}

TEST_CASE("uring driver: wakes from threads at any moment of falling asleep are not lost") {
    peal::pool pool(support::each_ring_mode(2));
    std::atomic<long> sum{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
        threads.emplace_back([&pool, &sum] {
            for (int i = 0; i < 3000; ++i) sum += peal::sync_wait(pool.offload([](int value) { return value; }, 1));
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(sum == 9000);
}

TEST_CASE("uring driver: a stop from a thread at any moment of falling asleep is not lost") {
    peal::pool pool(support::each_ring_mode(1));
    auto sleeper = []() -> peal::task<> { co_await peal::sleep_for(std::chrono::hours(1)); };
    auto joining = [](peal::join_handle<> joined) -> peal::task<bool> {
        try {
            co_await joined;
        } catch (const std::system_error& error) {
            co_return error.code() == std::errc::operation_canceled;
        }
        co_return false;
    };
    for (int i = 0; i < 3000; ++i) {
        auto handle = pool.spawn(sleeper);
        peal::stop_handle stopper = handle.stop_handle();
        std::thread other([&stopper] { stopper.request_stop(); });
        bool canceled = pool.run(joining, std::move(handle));
        other.join();
        REQUIRE(canceled);
    }
}

TEST_CASE("uring driver: signals that reach a worker disturb nothing") {
    struct sigaction ignore {};
    struct sigaction before {};
    ignore.sa_handler = [](int) {};
    ::sigaction(SIGPROF, &ignore, &before);
    {
        peal::pool_options options = support::each_ring_mode(1);
        options.name = "prof";
        peal::pool pool(options);
        auto running = pool.spawn(many_nops, 50, 2000);
        pid_t worker = support::threads_named("prof").at(0).id;
        while (!running.has_ended()) {
            ::syscall(SYS_tgkill, ::getpid(), worker, SIGPROF);
            std::this_thread::sleep_for(50us);
        }
        CHECK(pool.shutdown(10s, 10s).drained);
    }
    ::sigaction(SIGPROF, &before, nullptr);
}

TEST_CASE("uring driver: a pool without work makes no system call") {
    peal::pool_options options = support::each_ring_mode(4);
    options.name = "idle";
    peal::pool pool(options);
    pool.run(hop, pool, 100);
    std::this_thread::sleep_for(50ms);  // the last searcher has gone to sleep
    unsigned long before = support::sleeps_of("idle");
    std::this_thread::sleep_for(1s);
    CHECK(support::sleeps_of("idle") == before);
}
