// SPDX-License-Identifier: MIT

#include <peal/sync/barrier.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <vector>

#include <peal/error.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

peal::task<> goes_along(peal::barrier& all, std::vector<int>& rounds, std::size_t number) {
    for (int i = 0; i < 5; ++i) {
        co_await peal::sleep_for(std::chrono::microseconds(number * 100));
        ++rounds[number];
        co_await all.arrive_and_wait();
        for (int other : rounds) CHECK(other >= rounds[number]);  // nobody is behind
        for (int other : rounds) CHECK(other <= rounds[number] + 1);
    }
}

peal::task<> round_by_round(peal::pool&) {
    peal::barrier all(4);
    std::vector<int> rounds(4);
    peal::scope tasks;
    for (std::size_t i = 0; i < 4; ++i) tasks.spawn(goes_along, std::ref(all), std::ref(rounds), i);
    co_await tasks.join();
    CHECK(rounds == std::vector<int>{5, 5, 5, 5});
    peal::barrier alone(1);
    for (int i = 0; i < 3; ++i) co_await alone.arrive_and_wait();
}

/// Whether it passed.
peal::task<bool> arrives(peal::barrier& all) {
    try {
        co_await all.arrive_and_wait();
    } catch (const std::system_error& failure) {
        CHECK(peal::is_canceled(failure));
        co_return false;
    }
    co_return true;
}

peal::task<> takes_back(peal::pool&) {
    peal::barrier all(2);
    auto canceled = peal::spawn(arrives, std::ref(all));
    co_await peal::sleep_for(1ms);
    canceled.request_stop();
    bool passed = co_await canceled;
    CHECK_FALSE(passed);
    auto one = peal::spawn(arrives, std::ref(all));
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(one.has_ended());  // the arrival of the canceled one does not count
    co_await all.arrive_and_wait();
    passed = co_await one;
    CHECK(passed);
    auto late = peal::spawn(arrives, std::ref(all));
    late.request_stop();
    passed = co_await late;
    CHECK_FALSE(passed);
}

peal::task<> drops_out(peal::pool&) {
    peal::barrier all(3);
    auto one = peal::spawn(arrives, std::ref(all));
    auto two = peal::spawn(arrives, std::ref(all));
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(one.has_ended());
    all.arrive_and_drop();
    bool passed = co_await one;
    CHECK(passed);
    passed = co_await two;
    CHECK(passed);
    auto again = peal::spawn(arrives, std::ref(all));  // two are left
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(again.has_ended());
    co_await all.arrive_and_wait();
    passed = co_await again;
    CHECK(passed);
}

}  // namespace

TEST_CASE("barrier: lets its parties through together, round by round") { support::in_simulations(round_by_round); }

TEST_CASE("barrier: a canceled wait takes its arrival back") { support::in_simulations(takes_back); }

TEST_CASE("barrier: who drops out is missed in no later round") { support::in_simulations(drops_out); }

TEST_CASE("barrier: a stop that races with the last arrival lets the round pass or takes the arrival back") {
    auto all = std::make_unique<peal::barrier>(2);
    std::optional<peal::join_handle<bool>> other;
    auto seen = support::race_with_stop(
        3000, [] {}, [&] { return arrives(*all); }, [&] { other.emplace(peal::spawn(arrives, std::ref(*all))); },
        [&](bool got, support::verdict& found) -> peal::task<> {
            if (!got) co_await all->arrive_and_wait();  // for the one that went away
            bool passed = co_await *other;
            found.expect(passed, "the other one was canceled");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

peal::task<> waits_in_its_frame() {
    peal::barrier both(2);
    auto arrive = [](peal::barrier& all) -> peal::task<> { co_await all.arrive_and_wait(); };
    peal::spawn(arrive, std::ref(both));
    co_await both.arrive_and_wait();
}

peal::task<> drops_in_its_frame() {
    peal::barrier both(2);
    auto drop = [](peal::barrier& all) { all.arrive_and_drop(); };
    peal::spawn(drop, std::ref(both));
    co_await both.arrive_and_wait();
}

}  // namespace

TEST_CASE("barrier: may be destroyed once a round has passed, while another party is still inside its arrival") {
    support::many_times(10'000, waits_in_its_frame);
    support::many_times(10'000, drops_in_its_frame);
}

TEST_CASE("barrier: parties on two pools stay in step") {
    constexpr int parties = 6;
    peal::barrier all(parties);
    std::atomic<int> arrivals{0};
    std::atomic<int> wrong{0};
    auto goes = [&]() -> peal::task<> {
        for (int i = 1; i <= 500; ++i) {
            arrivals.fetch_add(1);
            co_await all.arrive_and_wait();
            if (arrivals.load() < i * parties) wrong.fetch_add(1);
            co_await all.arrive_and_wait();
            if (arrivals.load() < i * parties) wrong.fetch_add(1);
        }
    };
    {
        peal::pool a(peal::pool_options(2));
        peal::pool b(peal::pool_options(1));
        for (int i = 0; i < parties / 2; ++i) {
            a.spawn(std::ref(goes));
            b.spawn(std::ref(goes));
        }
        bool a_drained = a.shutdown(20s, 1s).drained;
        bool b_drained = b.shutdown(20s, 1s).drained;
        CHECK(a_drained);
        CHECK(b_drained);
    }
    CHECK(arrivals.load() == 500 * parties);
    CHECK(wrong.load() == 0);
}

TEST_CASE("barrier: its destruction while a task waits is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto all = std::make_unique<peal::barrier>(2);
            peal::spawn(arrives, std::ref(*all));
            co_await peal::sleep_for(1ms);
            all.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}
