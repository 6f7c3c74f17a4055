// SPDX-License-Identifier: MIT

#include <peal/sync/mutex.hpp>

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
    peal::mutex one;
    for (int i = 0; i < 3; ++i) {
        auto guard = co_await one.lock();
        CHECK(guard.held() == &one);
        CHECK_FALSE(one.try_lock().has_value());
        guard.unlock();
        CHECK(guard.held() == nullptr);
        guard.unlock();  // nothing left to do
        CHECK(one.try_lock().has_value());
    }
    auto first = co_await one.lock();
    auto second = std::move(first);
    CHECK(first.held() == nullptr);
    CHECK(second.held() == &one);
    peal::mutex other;
    second = co_await other.lock();  // lets go of the first
    CHECK(one.try_lock().has_value());
    CHECK_FALSE(other.try_lock().has_value());
}

peal::task<> notes_turn(peal::mutex& one, std::vector<int>& order, int number) {
    auto guard = co_await one.lock();
    order.push_back(number);
    co_await peal::sleep_for(1us);  // held over a wait
    order.push_back(number);
}

peal::task<> in_order_of_arrival(peal::pool&) {
    peal::mutex one;
    std::vector<int> order;
    peal::scope tasks;
    auto guard = co_await one.lock();
    for (int i = 0; i < 10; ++i) {
        tasks.spawn(notes_turn, std::ref(one), std::ref(order), i);
        co_await peal::sleep_for(1ms);
    }
    CHECK(order.empty());
    guard.unlock();
    CHECK_FALSE(one.try_lock().has_value());  // handed over: nobody slips in
    co_await tasks.join();
    REQUIRE(order.size() == 20);
    for (int i = 0; i < 20; ++i) CHECK(order[static_cast<std::size_t>(i)] == i / 2);
    CHECK(one.try_lock().has_value());
}

peal::task<int> outcome_of_lock(peal::mutex& one) {
    auto got = co_await peal::as_result(one.lock());
    if (got) co_return 1;
    CHECK(got.error().is_canceled());
    CHECK(got.error().operation() == "mutex lock");
    co_return 0;
}

peal::task<> canceled_while_queued(peal::pool&) {
    peal::mutex one;
    std::vector<int> order;
    peal::scope tasks;
    auto guard = co_await one.lock();
    auto before = tasks.spawn(notes_turn, std::ref(one), std::ref(order), 1);
    co_await peal::sleep_for(1ms);
    auto canceled = tasks.spawn(outcome_of_lock, std::ref(one));
    co_await peal::sleep_for(1ms);
    auto after = tasks.spawn(notes_turn, std::ref(one), std::ref(order), 2);
    co_await peal::sleep_for(1ms);
    canceled.request_stop();
    int outcome = co_await canceled;  // at once, the mutex is still held
    CHECK(outcome == 0);
    CHECK(order.empty());
    guard.unlock();
    co_await tasks.join();
    CHECK(order == std::vector<int>{1, 1, 2, 2});

    guard = co_await one.lock();
    auto only = tasks.spawn(outcome_of_lock, std::ref(one));
    co_await peal::sleep_for(1ms);
    only.request_stop();
    outcome = co_await only;
    CHECK(outcome == 0);
    guard.unlock();
    CHECK(one.try_lock().has_value());  // who waited went away: it is free
}

peal::task<> stopped_before(peal::pool&) {
    peal::mutex one;
    auto guard = co_await one.lock();
    auto late = peal::spawn(outcome_of_lock, std::ref(one));
    late.request_stop();
    int outcome = co_await late;
    CHECK(outcome == 0);
    guard.unlock();
    auto free = peal::spawn(outcome_of_lock, std::ref(one));
    free.request_stop();
    outcome = co_await free;
    CHECK(outcome == 1);  // what need not wait is not canceled
}

}  // namespace

TEST_CASE("mutex: one holds it, a guard lets go of it once") { support::in_simulations(uncontended); }

TEST_CASE("mutex: those who wait get it in order of arrival, and hold it over a wait") {
    support::in_simulations(in_order_of_arrival);
}

TEST_CASE("mutex: who is canceled in the line leaves it, and the others are served") {
    support::in_simulations(canceled_while_queued);
    support::in_simulations(stopped_before);
}

TEST_CASE("mutex: a stop that races with the hand-over loses no ownership") {
    peal::mutex one;
    std::optional<peal::mutex::guard> guard;
    auto seen = support::race_with_stop(
        4000, [&] { guard = one.try_lock(); },
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(one.lock());
            co_return got.has_value();
        },
        [&] { guard.reset(); },
        [&](bool, support::verdict& found) { found.expect(one.try_lock().has_value(), "nobody holds it and it is not free"); });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

struct shared {
    peal::mutex one;
    int users = 2;
};

peal::task<> uses(shared* both) {
    auto guard = co_await both->one.lock();
    bool is_last = --both->users == 0;
    guard.unlock();
    if (is_last) delete both;  // the other one may still be inside unlock()
}

peal::task<> last_one_destroys() {
    auto* both = new shared();
    auto other = peal::spawn(uses, both);
    co_await uses(both);
    co_await other;
}

}  // namespace

TEST_CASE("mutex: may be destroyed by the next owner while the last one is still inside unlock()") {
    support::many_times(20'000, last_one_destroys);
}

// ---- several pools, threads -----------------------------------------------------------------------------------------------------

namespace {

peal::task<> counts(peal::mutex& one, long& counter, int times) {
    for (int i = 0; i < times; ++i) {
        auto guard = co_await one.lock();
        long seen = counter;
        if (i % 16 == 0) co_await peal::yield();
        counter = seen + 1;
    }
}

}  // namespace

TEST_CASE("mutex: excludes tasks of two pools and threads of the program from each other") {
    peal::mutex one;
    long counter = 0;
    {
        peal::pool a(peal::pool_options(2));
        peal::pool b(peal::pool_options(2));
        for (int i = 0; i < 4; ++i) {
            a.spawn(counts, std::ref(one), std::ref(counter), 2000);
            b.spawn(counts, std::ref(one), std::ref(counter), 2000);
        }
        std::vector<std::thread> threads;
        for (int i = 0; i < 2; ++i) {
            threads.emplace_back([&] {
                for (int n = 0; n < 500; ++n) {
                    auto guard = one.blocking_lock();
                    ++counter;
                }
            });
        }
        for (std::thread& each : threads) each.join();
        auto report_a = a.shutdown(20s, 1s);
        auto report_b = b.shutdown(20s, 1s);
        CHECK(report_a.drained);
        CHECK(report_b.drained);
    }
    CHECK(counter == 17'000);
}

TEST_CASE("mutex: its destruction while a task waits is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto one = std::make_unique<peal::mutex>();
            auto guard = co_await one->lock();
            auto waits = [](peal::mutex& wanted) -> peal::task<> { static_cast<void>(co_await wanted.lock()); };
            peal::spawn(waits, std::ref(*one));
            co_await peal::sleep_for(1ms);
            one.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}
