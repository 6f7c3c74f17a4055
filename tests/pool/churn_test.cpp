// SPDX-License-Identifier: MIT

// Many pools one after another, many tasks from many threads: nothing is lost, nothing stays.

#include <peal/pool/pool.hpp>

#include <atomic>
#include <stdexcept>
#include <thread>

#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/leaks.hpp"
#include "support/threads.hpp"

using namespace std::chrono_literals;

TEST_CASE("churn: a hundred pools come and go, used and unused") {
    auto work = [](peal::pool& pool, int rounds) -> peal::task<int> {
        for (int i = 0; i < rounds; ++i) {
            co_await pool.schedule();
            if (i % 8 == 0) co_await peal::sleep_for(10us);
        }
        co_return rounds;
    };
    std::size_t descriptors = support::open_descriptors();
    int sum = 0;
    for (int i = 0; i < 100; ++i) {
        peal::pool pool(peal::pool_options(1 + static_cast<unsigned>(i) % 3));
        if (i % 4 == 0) continue;
        for (int j = 0; j < i % 7; ++j) pool.spawn(work, pool, 20).detach();
        sum += pool.run(work, pool, 10);
        auto report = pool.shutdown(30s, 0s);
        REQUIRE(report.drained);
        auto counts = pool.counts();
        REQUIRE(counts.completed == static_cast<std::uint64_t>(1 + i % 7));
        REQUIRE(counts.accepted == counts.completed);
    }
    CHECK(sum == 75 * 10);
    for (int i = 0; i < 200 && !support::threads_named("peal").empty(); ++i) std::this_thread::sleep_for(10ms);
    CHECK(support::threads_named("peal").empty());
    for (int i = 0; i < 200 && support::open_descriptors() > descriptors; ++i) std::this_thread::sleep_for(10ms);
    CHECK(support::open_descriptors() == descriptors);
}

TEST_CASE("churn: four threads spawn at once; every task runs once, and the books add up") {
    auto body = [](std::atomic<long>& ran, std::atomic<long>& sum, long value) -> peal::task<> {
        ++ran;
        if (value % 16 == 0) co_await peal::sleep_for(50us);
        sum += value;
        if (value % 5 == 1) throw std::system_error(std::make_error_code(std::errc::operation_canceled), "on purpose");
    };
    constexpr int per_thread = 10'000;
    peal::pool pool(peal::pool_options(3));
    std::atomic<long> ran{0};
    std::atomic<long> sum{0};
    std::vector<std::thread> spawners;
    for (int t = 0; t < 4; ++t) {
        spawners.emplace_back([&, t] {
            for (int i = 0; i < per_thread; ++i) {
                pool.spawn(body, std::ref(ran), std::ref(sum), static_cast<long>(t * per_thread + i)).detach();
            }
        });
    }
    for (auto& each : spawners) each.join();
    CHECK(pool.shutdown(60s, 0s).drained);
    constexpr long total = 4 * per_thread;
    CHECK(ran == total);
    CHECK(sum == total * (total - 1) / 2);
    auto counts = pool.counts();
    CHECK(counts.accepted == total);
    CHECK(counts.canceled == total / 5);
    CHECK(counts.completed == total - total / 5);
    CHECK(counts.failed == 0);
    CHECK(counts.live == 0);
}

TEST_CASE("churn: tasks that spawn tasks in every worker are all counted") {
    peal::pool pool(peal::pool_options(4));
    struct tree {
        static peal::task<> grow(peal::pool& pool, std::atomic<int>& nodes, int depth) {
            ++nodes;
            if (depth == 0) co_return;
            pool.spawn(grow, pool, std::ref(nodes), depth - 1).detach();
            co_await pool.schedule_on(static_cast<unsigned>(depth) % pool.size());
            pool.spawn(grow, pool, std::ref(nodes), depth - 1).detach();
        }
    };
    std::atomic<int> nodes{0};
    pool.run(tree::grow, pool, std::ref(nodes), 12);
    for (int i = 0; i < 20'000 && pool.counts().live != 0; ++i) std::this_thread::sleep_for(1ms);
    CHECK(nodes == (1 << 13) - 1);
    CHECK(pool.counts().accepted == (1 << 13) - 1);
    CHECK(pool.counts().completed == (1 << 13) - 1);
}
