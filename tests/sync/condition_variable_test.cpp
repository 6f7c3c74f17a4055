// SPDX-License-Identifier: MIT

#include <peal/sync/condition_variable.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

struct queue {
    peal::mutex one;
    peal::condition_variable changed;
    std::deque<int> items;
    std::vector<int> order;
};

peal::task<> takes(queue& from, int number) {
    auto guard = co_await from.one.lock();
    auto has_items = [&from] { return !from.items.empty(); };
    co_await from.changed.wait(guard, has_items);
    CHECK(guard.held() == &from.one);
    CHECK_FALSE(from.one.try_lock().has_value());
    from.items.pop_front();
    from.order.push_back(number);
}

peal::task<> puts(queue& to, int item) {
    auto guard = co_await to.one.lock();
    to.items.push_back(item);
    to.changed.notify_one();
}

peal::task<> condition_holds(peal::pool&) {
    queue all;
    all.items.push_back(1);
    co_await takes(all, 0);  // need not wait
    CHECK(all.order == std::vector<int>{0});
    CHECK(all.one.try_lock().has_value());
}

peal::task<> one_by_one(peal::pool&) {
    queue all;
    peal::scope tasks;
    for (int i = 0; i < 4; ++i) {
        tasks.spawn(takes, std::ref(all), i);
        co_await peal::sleep_for(1ms);
    }
    CHECK(all.one.try_lock().has_value());  // those who wait do not hold it
    for (int i = 0; i < 4; ++i) {
        co_await puts(all, i);
        co_await peal::sleep_for(1ms);
        CHECK(all.order.size() == static_cast<std::size_t>(i + 1));
    }
    co_await tasks.join();
    CHECK(all.order == std::vector<int>{0, 1, 2, 3});
}

peal::task<> all_at_once(peal::pool&) {
    queue all;
    peal::scope tasks;
    for (int i = 0; i < 6; ++i) tasks.spawn(takes, std::ref(all), i);
    co_await peal::sleep_for(1ms);
    {
        auto guard = co_await all.one.lock();
        for (int i = 0; i < 4; ++i) all.items.push_back(i);
        all.changed.notify_all();
        all.changed.notify_all();
    }
    co_await peal::sleep_for(1ms);
    CHECK(all.order.size() == 4);  // the others found nothing, and wait again
    co_await puts(all, 4);
    co_await puts(all, 5);
    co_await tasks.join();
    CHECK(all.order.size() == 6);
    all.changed.notify_one();  // nobody is there
    all.changed.notify_all();
}

/// Whether it was notified. Holds the mutex afterwards in both cases.
peal::task<bool> waits(queue& all) {
    auto guard = co_await all.one.lock();
    bool notified = true;
    try {
        co_await all.changed.wait(guard);
    } catch (const std::system_error& failure) {
        CHECK(peal::is_canceled(failure));
        notified = false;
    }
    CHECK(guard.held() == &all.one);
    CHECK_FALSE(all.one.try_lock().has_value());
    co_return notified;
}

peal::task<> canceled(peal::pool&) {
    queue all;
    auto first = peal::spawn(waits, std::ref(all));
    co_await peal::sleep_for(1ms);
    auto second = peal::spawn(waits, std::ref(all));
    co_await peal::sleep_for(1ms);
    first.request_stop();
    bool notified = co_await first;
    CHECK_FALSE(notified);
    all.changed.notify_one();
    notified = co_await second;
    CHECK(notified);

    // Canceled while another one holds the mutex: it ends when it has it again.
    auto third = peal::spawn(waits, std::ref(all));
    co_await peal::sleep_for(1ms);
    auto guard = co_await all.one.lock();
    third.request_stop();
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(third.has_ended());
    guard.unlock();
    notified = co_await third;
    CHECK_FALSE(notified);

    auto late = peal::spawn(waits, std::ref(all));
    late.request_stop();
    notified = co_await late;
    CHECK_FALSE(notified);
    CHECK(all.one.try_lock().has_value());
}

}  // namespace

TEST_CASE("condition_variable: a condition that holds is not waited for") { support::in_simulations(condition_holds); }

TEST_CASE("condition_variable: notify_one wakes the one who waited longest") { support::in_simulations(one_by_one); }

TEST_CASE("condition_variable: notify_all wakes all, and who finds nothing waits again") { support::in_simulations(all_at_once); }

TEST_CASE("condition_variable: a canceled wait ends with the mutex held") { support::in_simulations(canceled); }

TEST_CASE("condition_variable: a stop that races with a notification loses none") {
    queue all;
    auto seen = support::race_with_stop(
        3000, [] {},
        [&]() -> peal::task<bool> {
            bool got = true;
            try {
                auto guard = co_await all.one.lock();  // canceled too, if the other side holds the mutex just now
                while (all.items.empty()) co_await all.changed.wait(guard);
                all.items.pop_front();
            } catch (const std::system_error&) {
                got = false;
                // It may have been told and stopped at the same time: then the next one must be told.
                all.changed.notify_one();
            }
            co_return got;
        },
        [&] {
            while (true) {
                auto guard = all.one.try_lock();
                if (!guard) continue;
                all.items.push_back(1);
                all.changed.notify_one();
                break;
            }
        },
        [&](bool got, support::verdict& found) -> peal::task<> {
            auto guard = co_await all.one.lock();
            auto has_items = [&all] { return !all.items.empty(); };
            if (!got) {
                co_await all.changed.wait(guard, has_items);
                all.items.pop_front();
            }
            found.expect(all.items.empty(), "an item too many");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

struct shared {
    peal::mutex one;
    peal::condition_variable changed;
    bool done = false;
};

peal::task<> waits_in_its_frame() {
    shared state;
    auto tell = [](shared& told) -> peal::task<> {
        auto guard = co_await told.one.lock();
        told.done = true;
        told.changed.notify_one();
    };
    peal::spawn(tell, std::ref(state));
    auto guard = co_await state.one.lock();
    auto is_done = [&state] { return state.done; };
    co_await state.changed.wait(guard, is_done);
    guard.unlock();
}

}  // namespace

TEST_CASE("condition_variable: may be destroyed with its mutex once the wait ended, while the other side is still inside unlock()") {
    support::many_times(20'000, waits_in_its_frame);
}

TEST_CASE("condition_variable: a bounded queue between two pools loses nothing") {
    queue all;
    peal::condition_variable has_room;
    std::atomic<long> sum{0};
    constexpr int count = 3000;
    auto produces = [&](int first) -> peal::task<> {
        for (int i = first; i < first + count; ++i) {
            auto guard = co_await all.one.lock();
            while (all.items.size() >= 4) co_await has_room.wait(guard);
            all.items.push_back(i);
            all.changed.notify_one();
        }
    };
    auto consumes = [&]() -> peal::task<> {
        for (int i = 0; i < count; ++i) {
            auto guard = co_await all.one.lock();
            while (all.items.empty()) co_await all.changed.wait(guard);
            sum.fetch_add(all.items.front());
            all.items.pop_front();
            has_room.notify_one();
        }
    };
    {
        peal::pool a(peal::pool_options(2));
        peal::pool b(peal::pool_options(2));
        a.spawn(std::ref(produces), 0);
        b.spawn(std::ref(produces), count);
        a.spawn(std::ref(consumes));
        b.spawn(std::ref(consumes));
        bool a_drained = a.shutdown(20s, 1s).drained;
        bool b_drained = b.shutdown(20s, 1s).drained;
        CHECK(a_drained);
        CHECK(b_drained);
    }
    long all_items = 2 * count;
    CHECK(sum.load() == all_items * (all_items - 1) / 2);
    CHECK(all.items.empty());
}

TEST_CASE("condition_variable: waiting without the mutex, or destroying it under one who waits, is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            peal::mutex one;
            peal::condition_variable changed;
            auto guard = co_await one.lock();
            guard.unlock();
            co_await changed.wait(guard);
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("with a guard that holds no mutex"));
    seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto all = std::make_unique<queue>();
            peal::spawn(waits, std::ref(*all));
            co_await peal::sleep_for(1ms);
            all.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}
