// SPDX-License-Identifier: MIT

#include <peal/sync/shared_mutex.hpp>

#include <atomic>
#include <memory>
#include <optional>
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
    peal::shared_mutex table;
    {
        auto one = co_await table.lock_shared();
        auto two = co_await table.lock_shared();
        CHECK(table.try_lock_shared().has_value());
        CHECK_FALSE(table.try_lock().has_value());
        one.unlock();
        one.unlock();
        CHECK_FALSE(table.try_lock().has_value());
    }
    {
        auto alone = co_await table.lock();
        CHECK_FALSE(table.try_lock_shared().has_value());
        CHECK_FALSE(table.try_lock().has_value());
        auto moved = std::move(alone);
        alone.unlock();
        CHECK_FALSE(table.try_lock_shared().has_value());
    }
    CHECK(table.try_lock().has_value());
}

struct tally {
    int readers = 0;
    int writers = 0;
    int readers_most = 0;
    bool mixed = false;
    std::vector<char> order;
};

peal::task<> reads(peal::shared_mutex& table, tally& seen, std::chrono::milliseconds time = 10ms) {
    auto guard = co_await table.lock_shared();
    seen.order.push_back('r');
    seen.readers_most = std::max(seen.readers_most, ++seen.readers);
    seen.mixed |= seen.writers != 0;
    co_await peal::sleep_for(time);
    --seen.readers;
}

peal::task<> writes(peal::shared_mutex& table, tally& seen, std::chrono::milliseconds time = 10ms) {
    auto guard = co_await table.lock();
    seen.order.push_back('w');
    seen.mixed |= ++seen.writers != 1 || seen.readers != 0;
    co_await peal::sleep_for(time);
    --seen.writers;
}

peal::task<> readers_together(peal::pool&) {
    peal::shared_mutex table;
    tally seen;
    peal::scope tasks;
    auto started = peal::clock::now();
    for (int i = 0; i < 5; ++i) tasks.spawn(reads, std::ref(table), std::ref(seen), 10ms);
    co_await tasks.join();
    CHECK(seen.readers_most == 5);
    CHECK(peal::clock::now() - started < 11ms);
    for (int i = 0; i < 3; ++i) tasks.spawn(writes, std::ref(table), std::ref(seen), 10ms);
    co_await tasks.join();
    CHECK(peal::clock::now() - started >= 40ms);
    CHECK_FALSE(seen.mixed);
}

peal::task<> in_order_of_arrival(peal::pool&) {
    peal::shared_mutex table;
    tally seen;
    peal::scope tasks;
    for (char each : {'r', 'r', 'w', 'r', 'r', 'w', 'w', 'r'}) {
        if (each == 'r') {
            tasks.spawn(reads, std::ref(table), std::ref(seen), 20ms);
        } else {
            tasks.spawn(writes, std::ref(table), std::ref(seen), 20ms);
        }
        co_await peal::sleep_for(1ms);
    }
    CHECK_FALSE(table.try_lock_shared().has_value());  // a writer waits: nobody jumps the line
    co_await tasks.join();
    CHECK(seen.order == std::vector<char>{'r', 'r', 'w', 'r', 'r', 'w', 'w', 'r'});
    CHECK(seen.readers_most == 2);
    CHECK_FALSE(seen.mixed);
}

peal::task<> reads_for_ever(peal::shared_mutex& table, tally& seen) {
    for (;;) co_await reads(table, seen, 2ms);
}

peal::task<> writer_not_starved(peal::pool&) {
    peal::shared_mutex table;
    tally seen;
    peal::scope tasks;
    for (int i = 0; i < 4; ++i) {
        tasks.spawn(reads_for_ever, std::ref(table), std::ref(seen));
        co_await peal::sleep_for(500us);
    }
    auto started = peal::clock::now();
    co_await writes(table, seen, 1ms);
    CHECK(peal::clock::now() - started < 5ms);
    CHECK_FALSE(seen.mixed);
}

peal::task<bool> outcome_of_lock(peal::shared_mutex& table) {
    auto got = co_await peal::as_result(table.lock());
    co_return got.has_value();
}

peal::task<> canceled_writer(peal::pool&) {
    peal::shared_mutex table;
    tally seen;
    peal::scope tasks;
    auto reader = co_await table.lock_shared();
    auto writer = tasks.spawn(outcome_of_lock, std::ref(table));
    co_await peal::sleep_for(1ms);
    tasks.spawn(reads, std::ref(table), std::ref(seen), 1ms);
    tasks.spawn(reads, std::ref(table), std::ref(seen), 1ms);
    co_await peal::sleep_for(1ms);
    CHECK(seen.readers == 0);
    writer.request_stop();
    bool got = co_await writer;
    CHECK_FALSE(got);
    co_await tasks.join();  // those behind it were let in beside the first
    CHECK(seen.readers_most == 2);
    reader.unlock();
    CHECK(table.try_lock().has_value());
}

}  // namespace

TEST_CASE("shared_mutex: readers or one writer hold it") { support::in_simulations(uncontended); }

TEST_CASE("shared_mutex: readers are in it together, a writer is alone") { support::in_simulations(readers_together); }

TEST_CASE("shared_mutex: readers and writers are let in by order of arrival") { support::in_simulations(in_order_of_arrival); }

TEST_CASE("shared_mutex: readers that never pause do not starve a writer") { support::in_simulations(writer_not_starved); }

TEST_CASE("shared_mutex: a canceled writer lets those behind it go") { support::in_simulations(canceled_writer); }

TEST_CASE("shared_mutex: a stop that races with the hand-over loses no ownership") {
    for (bool writes : {true, false}) {
        peal::shared_mutex table;
        std::optional<peal::shared_mutex::guard> guard;
        auto seen = support::race_with_stop(
            3000, [&] { guard = table.try_lock(); },
            [&]() -> peal::task<bool> {
                if (writes) {
                    auto got = co_await peal::as_result(table.lock());
                    co_return got.has_value();
                }
                auto got = co_await peal::as_result(table.lock_shared());
                co_return got.has_value();
            },
            [&] { guard.reset(); },
            [&](bool, support::verdict& found) { found.expect(table.try_lock().has_value(), "nobody holds it and it is not free"); });
        CHECK(seen.complaints == "");
        CHECK(seen.served > 0);
        CHECK(seen.canceled > 0);
    }
}

namespace {

struct shared {
    peal::shared_mutex table;
    int users = 2;
};

peal::task<> uses(shared* both, bool reads_too) {
    if (reads_too) {
        auto guard = co_await both->table.lock_shared();
        co_await peal::yield();
    }
    auto guard = co_await both->table.lock();
    bool is_last = --both->users == 0;
    guard.unlock();
    if (is_last) delete both;  // the other one may still be inside unlock()
}

peal::task<> last_one_destroys() {
    auto* both = new shared();
    auto other = peal::spawn(uses, both, true);
    co_await uses(both, false);
    co_await other;
}

}  // namespace

TEST_CASE("shared_mutex: may be destroyed by the next owner while the last one is still inside unlock()") {
    support::many_times(10'000, last_one_destroys);
}

TEST_CASE("shared_mutex: excludes tasks of two pools from each other") {
    peal::shared_mutex table;
    long a_value = 0;
    long b_value = 0;
    std::atomic<int> torn{0};
    auto takes_part = [&](unsigned seed) -> peal::task<> {
        support::lots random(seed);
        for (int i = 0; i < 2000; ++i) {
            if (random.below(4) == 0) {
                auto guard = co_await table.lock();
                ++a_value;
                if (random.below(8) == 0) co_await peal::yield();
                ++b_value;
            } else {
                auto guard = co_await table.lock_shared();
                if (a_value != b_value) torn.fetch_add(1);
            }
        }
    };
    {
        peal::pool a(peal::pool_options(2));
        peal::pool b(peal::pool_options(2));
        for (unsigned i = 0; i < 4; ++i) {
            a.spawn(std::ref(takes_part), i);
            b.spawn(std::ref(takes_part), i + 4);
        }
        bool a_drained = a.shutdown(20s, 1s).drained;
        bool b_drained = b.shutdown(20s, 1s).drained;
        CHECK(a_drained);
        CHECK(b_drained);
    }
    CHECK(torn.load() == 0);
    CHECK(a_value == b_value);
    CHECK(a_value > 0);
}

TEST_CASE("shared_mutex: its destruction while a task waits is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto table = std::make_unique<peal::shared_mutex>();
            auto guard = co_await table->lock_shared();
            peal::spawn(outcome_of_lock, std::ref(*table));
            co_await peal::sleep_for(1ms);
            table.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}
