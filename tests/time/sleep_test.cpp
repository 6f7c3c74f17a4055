// SPDX-License-Identifier: MIT

#include <peal/time/sleep.hpp>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using peal::clock;

constexpr std::int64_t tick = 1 << 14;  // ns; timers fire at multiples of this

/// When a timer with this deadline fires, if nothing keeps its worker busy.
clock::time_point fires_at(clock::time_point deadline) {
    std::int64_t since = deadline.time_since_epoch().count();
    return clock::time_point(std::chrono::nanoseconds((since + tick - 1) / tick * tick));
}

template <class Function>
void in_simulations(Function fn) {
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(workers + 5, workers);
        sim.pool().run(fn, sim.pool());
    }
}

peal::task<> exact_times(peal::pool&) {
    for (std::chrono::nanoseconds length : {1ns, 16'384ns, 20'000ns, 1'000'000ns, 1'000'000'001ns, 3'600'000'000'000ns}) {
        auto begun = clock::now();
        co_await peal::sleep_for(length);
        CHECK(clock::now() == fires_at(begun + length));
    }
    auto deadline = clock::now() + 1s;
    co_await peal::sleep_until(deadline);
    CHECK(clock::now() == fires_at(deadline));
    auto begun = clock::now();
    co_await peal::sleep_for(std::chrono::duration<double>(0.5));
    CHECK(clock::now() == fires_at(begun + 500ms));
    co_await peal::sleep_for(std::chrono::years(1));
}

peal::task<> no_time_at_all(peal::pool&) {
    auto begun = clock::now();
    co_await peal::sleep_for(0s);
    co_await peal::sleep_for(-1s);
    co_await peal::sleep_for(std::chrono::hours::min());
    co_await peal::sleep_for(std::chrono::nanoseconds::min());
    co_await peal::sleep_for(std::chrono::duration<double>(-1e300));
    co_await peal::sleep_for(std::chrono::duration<double>(std::nan("")));
    co_await peal::sleep_until(begun);
    co_await peal::sleep_until(begun - 1h);
    co_await peal::sleep_until(clock::time_point());
    co_await peal::sleep_until(clock::time_point::min());
    CHECK(clock::now() == begun);
}

peal::task<> notes(std::chrono::milliseconds length, std::vector<int>& order) {
    co_await peal::sleep_for(length);
    order.push_back(static_cast<int>(length.count()));
}

peal::task<> in_order(peal::pool&) {
    std::vector<int> order;
    peal::scope tasks;
    for (int length : {5, 1, 4, 2, 3}) tasks.spawn(notes, std::chrono::milliseconds(length), std::ref(order));
    co_await tasks.join();
    CHECK(order == std::vector<int>{1, 2, 3, 4, 5});
}

/// How a sleep ended, and when.
struct ending {
    bool canceled = false;
    clock::time_point when;
};
peal::task<> sleeps(clock::duration length, ending& end) {
    auto slept = co_await peal::as_result(peal::sleep_for(length));
    end.canceled = !slept;
    end.when = clock::now();
}
peal::task<> sleeps_until(clock::time_point until, ending& end) {
    auto slept = co_await peal::as_result(peal::sleep_until(until));
    end.canceled = !slept;
    end.when = clock::now();
}

peal::task<> canceled_at_once(peal::pool& pool) {
    ending relative;
    ending absolute;
    ending for_ever;
    auto first = pool.spawn(sleeps, 1h, std::ref(relative));
    auto second = pool.spawn(sleeps_until, clock::time_point::max(), std::ref(absolute));
    auto third = pool.spawn(sleeps, clock::duration::max(), std::ref(for_ever));
    co_await peal::sleep_for(1ms);
    auto asked = clock::now();
    first.request_stop();
    second.request_stop();
    third.request_stop();
    co_await first;
    co_await second;
    co_await third;
    for (const ending& each : {relative, absolute, for_ever}) {
        CHECK(each.canceled);
        CHECK(each.when == asked);
    }
    ending ended;
    auto late = pool.spawn(sleeps, 1ms, std::ref(ended));
    co_await peal::sleep_for(2ms);
    late.request_stop();  // it has ended
    co_await late;
    CHECK_FALSE(ended.canceled);
}

peal::task<> counts_down(int length, int& left, clock::time_point begun, int& wrong) {
    auto time = std::chrono::microseconds(length);
    co_await peal::sleep_for(time);
    if (clock::now() != fires_at(begun + time)) ++wrong;
    --left;
}

peal::task<> many(peal::pool&) {
    constexpr int count = 10'000;
    int left = count;
    int wrong = 0;
    auto begun = clock::now();
    peal::scope tasks;
    for (int i = 0; i < count; ++i) tasks.spawn(counts_down, 1 + i * 7919 % 100'000, std::ref(left), begun, std::ref(wrong));
    co_await tasks.join();
    CHECK(left == 0);
    CHECK(wrong == 0);
    CHECK(clock::now() <= begun + 100ms + std::chrono::nanoseconds(tick));
}

}  // namespace

TEST_CASE("sleep: ends at the first tick of the clock that is not before its deadline") { in_simulations(exact_times); }

TEST_CASE("sleep: zero, negative and past do not take time") { in_simulations(no_time_at_all); }

TEST_CASE("sleep: shorter ones end first") { in_simulations(in_order); }

TEST_CASE("sleep: a canceled one ends at once, however long it was") { in_simulations(canceled_at_once); }

TEST_CASE("sleep: ten thousand sleepers wake in time, each at its own") {
    peal::simulation sim(1, 2);
    sim.pool().run(many, sim.pool());
}

TEST_CASE("sleep: on a real pool it is never too short") {
    struct body {
        static peal::task<int> run() {
            int early = 0;
            for (auto length : {1us, 100us, 1000us, 3000us}) {
                auto begun = std::chrono::steady_clock::now();
                co_await peal::sleep_for(length);
                if (std::chrono::steady_clock::now() - begun < length) ++early;
            }
            co_return early;
        }
    };
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(body::run) == 0);
    auto before = std::chrono::steady_clock::now();
    auto outside = clock::now();  // outside of a pool: the system's
    auto after = std::chrono::steady_clock::now();
    CHECK(before <= outside);
    CHECK(outside <= after);
}
