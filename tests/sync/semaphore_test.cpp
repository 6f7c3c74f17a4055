// SPDX-License-Identifier: MIT

#include <peal/sync/semaphore.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
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

peal::task<> uncontended(peal::pool&) {
    peal::semaphore limit(5);
    {
        auto two = co_await limit.acquire(2);
        auto one = co_await limit.acquire();
        CHECK(limit.available() == 2);
        CHECK_FALSE(limit.try_acquire(3).has_value());
        auto rest = limit.try_acquire(2);
        CHECK(rest.has_value());
        CHECK(limit.available() == 0);
        one.release();
        one.release();  // nothing left to do
        CHECK(limit.available() == 1);
        auto moved = std::move(two);
        two.release();  // has none
        CHECK(limit.available() == 1);
    }
    CHECK(limit.available() == 5);
    (co_await limit.acquire(3)).forget();
    CHECK(limit.available() == 2);
    limit.release(3);
    CHECK(limit.available() == 5);
}

peal::task<> notes_turn(peal::semaphore& limit, std::vector<int>& order, std::size_t count, int number) {
    auto permit = co_await limit.acquire(count);
    order.push_back(number);
    co_await peal::sleep_for(1h);
}

/// True: all children ended, by the stop.
peal::task<bool> leaves(peal::scope& tasks) {
    tasks.request_stop();
    co_await tasks.join();
    co_return tasks.size() == 0;
}

peal::task<> large_one_at_the_front(peal::pool&) {
    peal::semaphore limit(0);
    std::vector<int> order;
    peal::scope tasks;
    tasks.spawn(notes_turn, std::ref(limit), std::ref(order), 3, 1);
    co_await peal::sleep_for(1ms);
    for (int i = 2; i < 5; ++i) {
        tasks.spawn(notes_turn, std::ref(limit), std::ref(order), 1, i);
        co_await peal::sleep_for(1ms);
    }
    limit.release(2);
    co_await peal::sleep_for(1ms);
    CHECK(order.empty());                             // held back by the large one
    CHECK_FALSE(limit.try_acquire().has_value());     // and nobody jumps the line
    CHECK(limit.available() == 2);
    limit.release();
    co_await peal::sleep_for(1ms);
    CHECK(order == std::vector<int>{1});
    limit.release();
    co_await peal::sleep_for(1ms);
    CHECK(order == std::vector<int>{1, 2});
    limit.release(5);  // more than enough for the others
    co_await peal::sleep_for(1ms);
    CHECK(order.size() == 4);
    CHECK(limit.available() == 3);
    bool all_left = co_await leaves(tasks);
    CHECK(all_left);
    CHECK(limit.available() == 9);
}

peal::task<> large_one_is_canceled(peal::pool&) {
    peal::semaphore limit(2);
    std::vector<int> order;
    peal::scope tasks;
    auto large = tasks.spawn(notes_turn, std::ref(limit), std::ref(order), 3, 1);
    co_await peal::sleep_for(1ms);
    for (int i = 2; i < 5; ++i) {
        tasks.spawn(notes_turn, std::ref(limit), std::ref(order), 1, i);
        co_await peal::sleep_for(1ms);
    }
    CHECK(order.empty());
    large.request_stop();
    co_await peal::sleep_for(1ms);
    CHECK(order.size() == 2);
    CHECK(std::count(order.begin(), order.end(), 4) == 0);  // it came last
    CHECK(limit.available() == 0);
    bool all_left = co_await leaves(tasks);
    CHECK(all_left);
    CHECK(limit.available() == 2);
    CHECK(limit.try_acquire(2).has_value());
}

peal::task<> limits_concurrency(peal::pool&) {
    peal::semaphore limit(3);
    int running = 0;
    int most = 0;
    struct child {
        static peal::task<> run(peal::semaphore::permit, int& running, int& most) {
            most = std::max(most, ++running);
            co_await peal::sleep_for(1ms);
            --running;
        }
    };
    peal::scope tasks;
    for (int i = 0; i < 20; ++i) {
        auto permit = co_await limit.acquire();
        tasks.spawn(child::run, std::move(permit), std::ref(running), std::ref(most));
    }
    co_await tasks.join();
    CHECK(most == 3);
    CHECK(limit.available() == 3);
}

peal::task<int> outcome_of_acquire(peal::semaphore& limit) {
    auto got = co_await peal::as_result(limit.acquire());
    if (got) co_return 1;
    CHECK(got.error().is_canceled());
    co_return 0;
}

peal::task<> stopped_before(peal::pool&) {
    peal::semaphore limit(1);
    auto free = peal::spawn(outcome_of_acquire, std::ref(limit));
    free.request_stop();
    int outcome = co_await free;
    CHECK(outcome == 1);
    auto permit = co_await limit.acquire();
    auto late = peal::spawn(outcome_of_acquire, std::ref(limit));
    late.request_stop();
    outcome = co_await late;
    CHECK(outcome == 0);
    permit.release();
    CHECK(limit.available() == 1);
}

}  // namespace

TEST_CASE("semaphore: permits are counted, and come back with their object") { support::in_simulations(uncontended); }

TEST_CASE("semaphore: a large request at the front holds back smaller ones, served in order of arrival") {
    support::in_simulations(large_one_at_the_front);
}

TEST_CASE("semaphore: a canceled large request lets the smaller ones go") { support::in_simulations(large_one_is_canceled); }

TEST_CASE("semaphore: a permit that goes along with a child limits how many run") { support::in_simulations(limits_concurrency); }

TEST_CASE("semaphore: a request that was stopped before takes only what is free") { support::in_simulations(stopped_before); }

TEST_CASE("semaphore: a stop that races with the hand-over loses no permit") {
    peal::semaphore limit(0);
    auto seen = support::race_with_stop(
        4000, [] {},
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(limit.acquire(2));
            if (got) got.value().forget();
            co_return got.has_value();
        },
        [&] {
            limit.release();
            limit.release();
        },
        [&](bool got, support::verdict& found) {
            found.expect(limit.available() == (got ? 0u : 2u), "permits were lost or made");
            if (!got) found.expect(limit.try_acquire(2).has_value(), "free permits cannot be had");
            while (auto left = limit.try_acquire()) left->forget();
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("semaphore: a stop of the one at the front that races with a release leaves nobody waiting for what is free") {
    peal::semaphore limit(0);
    std::optional<peal::join_handle<>> second;
    auto take_one = [&]() -> peal::task<> { (co_await limit.acquire()).forget(); };
    auto seen = support::race_with_stop(
        3000, [] {},
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(limit.acquire(2));
            co_return got.has_value();
        },
        [&] {
            second.emplace(peal::spawn(std::ref(take_one)));
            limit.release();
        },
        [&](bool got, support::verdict& found) -> peal::task<> {
            found.expect(!got, "two permits were made of one");
            co_await *second;  // gets the one that the large request could not use
            found.expect(limit.available() == 0, "a permit too many");
        });
    CHECK(seen.complaints == "");
}

namespace {

peal::task<> waits_in_its_frame() {
    peal::semaphore done(0);
    auto tell = [](peal::semaphore& told) { told.release(); };
    peal::spawn(tell, std::ref(done));
    auto permit = co_await done.acquire();
    permit.forget();
}

}  // namespace

TEST_CASE("semaphore: may be destroyed once the permit was had, while the other side is still inside release()") {
    support::many_times(20'000, waits_in_its_frame);
}

TEST_CASE("semaphore: limits tasks of two pools and threads of the program together") {
    peal::semaphore limit(3);
    std::atomic<int> inside{0};
    std::atomic<bool> too_many{false};
    auto enter = [&] {
        if (inside.fetch_add(1) >= 3) too_many = true;
    };
    auto takes_part = [&]() -> peal::task<> {
        for (int i = 0; i < 1000; ++i) {
            auto permit = co_await limit.acquire();
            enter();
            if (i % 8 == 0) co_await peal::yield();
            inside.fetch_sub(1);
        }
    };
    {
        peal::pool a(peal::pool_options(2));
        peal::pool b(peal::pool_options(2));
        for (int i = 0; i < 4; ++i) {
            a.spawn(std::ref(takes_part));
            b.spawn(std::ref(takes_part));
        }
        std::thread thread([&] {
            for (int i = 0; i < 500; ++i) {
                auto permit = limit.blocking_acquire();
                enter();
                inside.fetch_sub(1);
            }
        });
        thread.join();
        auto report_a = a.shutdown(20s, 1s);
        auto report_b = b.shutdown(20s, 1s);
        CHECK(report_a.drained);
        CHECK(report_b.drained);
    }
    CHECK_FALSE(too_many.load());
    CHECK(limit.available() == 3);
}

TEST_CASE("semaphore: its destruction while a task waits is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto limit = std::make_unique<peal::semaphore>(0);
            peal::spawn(outcome_of_acquire, std::ref(*limit));
            co_await peal::sleep_for(1ms);
            limit.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}
