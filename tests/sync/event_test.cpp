// SPDX-License-Identifier: MIT

#include <peal/sync/event.hpp>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

/// Notes who passed, in order.
template <class Event>
peal::task<> passes(Event& awaited, std::vector<int>& order, int number) {
    co_await awaited.wait();
    order.push_back(number);
}

template <class Event>
peal::task<bool> outcome_of_wait(Event& awaited) {
    auto got = co_await peal::as_result(awaited.wait());
    co_return got.has_value();
}

// ---- event ----------------------------------------------------------------------------------------------------------------------

peal::task<> lets_all_pass(peal::pool&) {
    peal::event happened;
    std::vector<int> order;
    peal::scope tasks;
    CHECK_FALSE(happened.is_set());
    for (int i = 0; i < 5; ++i) {
        tasks.spawn(passes<peal::event>, std::ref(happened), std::ref(order), i);
        co_await peal::sleep_for(1ms);
    }
    CHECK(order.empty());
    happened.set();
    happened.set();
    CHECK(happened.is_set());
    co_await happened.wait();  // who comes later passes at once
    co_await tasks.join();
    CHECK(order.size() == 5);

    happened.reset();
    CHECK_FALSE(happened.is_set());
    tasks.spawn(passes<peal::event>, std::ref(happened), std::ref(order), 5);
    co_await peal::sleep_for(1ms);
    CHECK(order.size() == 5);
    happened.set();
    co_await tasks.join();
    CHECK(order.size() == 6);
}

peal::task<> leaves_the_event(peal::pool&) {
    peal::event happened;
    auto canceled = peal::spawn(outcome_of_wait<peal::event>, std::ref(happened));
    auto passing = peal::spawn(outcome_of_wait<peal::event>, std::ref(happened));
    co_await peal::sleep_for(1ms);
    canceled.request_stop();
    bool got_canceled = co_await canceled;
    CHECK_FALSE(got_canceled);
    happened.set();
    bool got_passing = co_await passing;
    CHECK(got_passing);
}

// ---- auto_reset_event -----------------------------------------------------------------------------------------------------------

peal::task<> lets_one_pass(peal::pool&) {
    peal::auto_reset_event turn;
    std::vector<int> order;
    peal::scope tasks;
    turn.set();
    turn.set();              // still once
    co_await turn.wait();
    for (int i = 0; i < 5; ++i) {
        tasks.spawn(passes<peal::auto_reset_event>, std::ref(turn), std::ref(order), i);
        co_await peal::sleep_for(1ms);
    }
    CHECK(order.empty());
    turn.set();
    turn.set();
    co_await peal::sleep_for(1ms);
    CHECK(order.size() == 2);
    for (int i = 0; i < 3; ++i) {
        turn.set();
        co_await peal::sleep_for(1ms);
    }
    CHECK(order.size() == 5);
    for (int i = 2; i < 5; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
    co_await tasks.join();
}

peal::task<> canceled_in_the_line(peal::pool&) {
    peal::auto_reset_event turn;
    auto first = peal::spawn(outcome_of_wait<peal::auto_reset_event>, std::ref(turn));
    co_await peal::sleep_for(1ms);
    auto second = peal::spawn(outcome_of_wait<peal::auto_reset_event>, std::ref(turn));
    co_await peal::sleep_for(1ms);
    first.request_stop();
    turn.set();
    bool got_first = co_await first;
    CHECK_FALSE(got_first);
    bool got_second = co_await second;
    CHECK(got_second);
}

// ---- latch ----------------------------------------------------------------------------------------------------------------------

peal::task<> counts_down(peal::pool&) {
    peal::latch parts(4);
    std::vector<int> order;
    peal::scope tasks;
    for (int i = 0; i < 3; ++i) tasks.spawn(passes<peal::latch>, std::ref(parts), std::ref(order), i);
    co_await peal::sleep_for(1ms);
    parts.count_down(2);
    parts.count_down();
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(parts.is_open());
    CHECK(order.empty());
    co_await parts.arrive_and_wait();
    CHECK(parts.is_open());
    co_await tasks.join();
    CHECK(order.size() == 3);
    co_await parts.wait();
    peal::latch none(0);
    co_await none.wait();
    none.count_down(0);
}

peal::task<> leaves_the_latch(peal::pool&) {
    peal::latch parts(1);
    auto canceled = peal::spawn(outcome_of_wait<peal::latch>, std::ref(parts));
    auto passing = peal::spawn(outcome_of_wait<peal::latch>, std::ref(parts));
    co_await peal::sleep_for(1ms);
    canceled.request_stop();
    bool got_canceled = co_await canceled;
    CHECK_FALSE(got_canceled);
    parts.count_down();
    bool got_passing = co_await passing;
    CHECK(got_passing);
}

}  // namespace

TEST_CASE("event: set lets all pass who wait, and all who come until it is reset") { support::in_simulations(lets_all_pass); }

TEST_CASE("event: who is canceled leaves the line alone") { support::in_simulations(leaves_the_event); }

TEST_CASE("auto_reset_event: each set lets one pass, in order of arrival; twice with nobody waiting is once") {
    support::in_simulations(lets_one_pass);
}

TEST_CASE("auto_reset_event: who is canceled in the line takes no set with him") { support::in_simulations(canceled_in_the_line); }

TEST_CASE("latch: opens for good when it was counted down to zero") { support::in_simulations(counts_down); }

TEST_CASE("latch: who is canceled leaves the line alone") { support::in_simulations(leaves_the_latch); }

// ---- races ----------------------------------------------------------------------------------------------------------------------

TEST_CASE("event: a stop that races with set() ends the wait once") {
    peal::event happened;
    auto seen = support::race_with_stop(
        3000, [&] { happened.reset(); }, [&] { return outcome_of_wait(happened); }, [&] { happened.set(); },
        [&](bool, support::verdict& found) { found.expect(happened.is_set(), "a set was lost"); });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("auto_reset_event: a stop that races with set() loses no set") {
    peal::auto_reset_event turn;
    auto seen = support::race_with_stop(
        3000, [] {}, [&] { return outcome_of_wait(turn); }, [&] { turn.set(); },
        [&](bool got, support::verdict&) -> peal::task<> {
            if (!got) co_await turn.wait();  // the set was not spent on the one who was canceled
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("latch: a stop that races with the last count ends the wait once") {
    std::unique_ptr<peal::latch> parts;
    auto seen = support::race_with_stop(
        3000, [&] { parts = std::make_unique<peal::latch>(1); }, [&] { return outcome_of_wait(*parts); },
        [&] { parts->count_down(); }, [&](bool, support::verdict& found) { found.expect(parts->is_open(), "a count was lost"); });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

template <class Event>
peal::task<> waits_in_its_frame() {
    Event happened;
    auto tell = [](Event& told) { told.set(); };
    peal::spawn(tell, std::ref(happened));
    co_await happened.wait();
}

peal::task<> waits_for_parts() {
    peal::latch parts(2);
    auto tell = [](peal::latch& told) { told.count_down(); };
    peal::spawn(tell, std::ref(parts));
    co_await parts.arrive_and_wait();
}

peal::task<> asks_until_it_is_set() {
    peal::event happened;
    auto tell = [](peal::event& told) { told.set(); };
    peal::spawn(tell, std::ref(happened));
    while (!happened.is_set()) co_await peal::yield();
}

}  // namespace

TEST_CASE("event: may be destroyed once it has happened, while the other side is still inside set() or count_down()") {
    support::many_times(20'000, waits_in_its_frame<peal::event>);
    support::many_times(20'000, waits_in_its_frame<peal::auto_reset_event>);
    support::many_times(20'000, waits_for_parts);
    support::many_times(5'000, asks_until_it_is_set);
}

TEST_CASE("event: set by a thread of the program it wakes tasks of two pools") {
    for (int round = 0; round < 200; ++round) {
        peal::event happened;
        peal::latch ready(4);
        std::atomic<int> passed{0};
        auto waits = [&]() -> peal::task<> {
            ready.count_down();
            co_await happened.wait();
            passed.fetch_add(1);
        };
        static peal::pool* a = nullptr;
        static peal::pool* b = nullptr;
        if (round == 0) {
            a = new peal::pool(peal::pool_options(2));
            b = new peal::pool(peal::pool_options(1));
        }
        std::vector<peal::join_handle<>> all;
        for (int i = 0; i < 2; ++i) {
            all.push_back(a->spawn(std::ref(waits)));
            all.push_back(b->spawn(std::ref(waits)));
        }
        auto until_ready = [&]() -> peal::task<> { co_await ready.wait(); };
        peal::sync_wait(until_ready());
        happened.set();
        auto until_done = [&]() -> peal::task<> {
            for (auto& each : all) co_await each;
        };
        peal::sync_wait(until_done());
        REQUIRE(passed.load() == 4);
        if (round == 199) {
            delete a;
            delete b;
        }
    }
}

TEST_CASE("event: its destruction while a task waits is a broken contract; counting below zero, too") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto happened = std::make_unique<peal::event>();
            peal::spawn(outcome_of_wait<peal::event>, std::ref(*happened));
            co_await peal::sleep_for(1ms);
            happened.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
    seen = support::death_of([] {
        peal::latch parts(1);
        parts.count_down(2);
    });
    CHECK(seen.says("counted down below zero"));
}
