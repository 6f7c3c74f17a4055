// SPDX-License-Identifier: MIT

// The door of a pool: at the bound threads wait, are refused, or shed what waits longest; tasks of the pool pass, and wait by submit() only; nothing that was
// accepted is lost. In most cases the only worker is kept, so that what is spawned waits.

#include <peal/pool/pool.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/ends.hpp"

using namespace std::chrono_literals;
using peal::priority;
using peal::spawn_options;
using support::busy_until;

namespace {

peal::pool_options bounded(std::size_t bound, peal::when_full when_full = peal::when_full::wait) {
    peal::pool_options options(1);
    options.rescue_after = 0ns;
    options.max_pending = bound;
    options.when_full = when_full;
    return options;
}

/// Keeps the only worker.
class keeper {
  public:
    explicit keeper(peal::pool& pool) : task_(pool.spawn(spawn_options("keeper", priority::high), [this] {
          is_there_ = true;
          busy_until([this] { return is_released_.load(); });
      })) {
        REQUIRE(busy_until([this] { return is_there_.load(); }));
    }
    keeper(const keeper&) = delete;
    keeper& operator=(const keeper&) = delete;
    ~keeper() {
        release();
        busy_until([this] { return task_.has_ended(); });
    }
    void release() { is_released_ = true; }

  private:
    std::atomic<bool> is_there_{false};
    std::atomic<bool> is_released_{false};
    peal::join_handle<void> task_;
};

std::uint64_t pending(const peal::pool& pool) {
    const auto now = pool.metrics().pending;
    return now[0] + now[1] + now[2];
}

bool is_refused(const std::function<void()>& spawn) {
    try {
        spawn();
    } catch (const std::system_error& failure) {
        return failure.code() == std::errc::resource_unavailable_try_again;
    }
    return false;
}

void check_books(peal::pool& pool) {
    pool.shutdown(60s, 60s);
    const auto counts = pool.counts();
    CHECK(counts.live == 0);
    CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
    CHECK(pending(pool) == 0);
    CHECK(pool.metrics().at_the_door == 0);
}

}  // namespace

// ---- wait -----------------------------------------------------------------------------------------------------------------------------

TEST_CASE("admission: at the bound a thread waits, and goes on when there is room") {
    std::atomic<int> ran{0};
    peal::pool pool(bounded(8));
    std::thread flood;
    std::atomic<int> spawned{0};
    {
        keeper kept(pool);
        flood = std::thread([&] {
            for (int i = 0; i < 1000; ++i) {
                pool.spawn([&ran] { ++ran; }).detach();
                ++spawned;
            }
        });
        CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
        CHECK(spawned == 8);
        CHECK(pending(pool) == 8);
        CHECK(ran == 0);
    }
    flood.join();
    CHECK(busy_until([&ran] { return ran == 1000; }));
    CHECK(pool.metrics().refused_total == 0);
    check_books(pool);
}

TEST_CASE("admission: many threads that wait all come in, whatever falls asleep meanwhile") {
    const unsigned workers = GENERATE(1u, 3u);
    peal::pool_options options(workers);
    options.max_pending = GENERATE(1u, 2u, 7u);
    std::atomic<int> ran{0};
    {
        peal::pool pool(options);
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t) {
            threads.emplace_back([&pool, &ran] {
                for (int i = 0; i < 500; ++i) pool.spawn([&ran] { ++ran; }).detach();
            });
        }
        for (auto& each : threads) each.join();
        check_books(pool);
    }
    CHECK(ran == 2000);
}

TEST_CASE("admission: a thread that waits is refused when the pool shuts down") {
    peal::pool pool(bounded(2));
    keeper kept(pool);
    for (int i = 0; i < 2; ++i) pool.spawn([] {}).detach();
    std::atomic<bool> is_told{false};
    std::thread waits([&] {
        try {
            pool.spawn([] {}).detach();
        } catch (const std::system_error& failure) {
            is_told = failure.code() == std::errc::operation_canceled;
        }
    });
    CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
    std::thread ends([&pool] { pool.shutdown(60s, 60s); });
    waits.join();  // while the worker is kept
    CHECK(is_told);
    kept.release();
    ends.join();
    CHECK(pool.counts().completed == 3);
}

TEST_CASE("admission: tasks of the pool are not held up, and count") {
    peal::pool pool(bounded(4, peal::when_full::refuse));
    auto spawn_many = [](peal::pool& its) -> peal::task<int> {
        std::atomic<int> ran{0};
        peal::scope all;
        for (int i = 0; i < 100; ++i) all.spawn([&ran] { ++ran; });
        const auto now = its.metrics().pending;
        CHECK(now[1] == 100);
        CHECK_FALSE(its.try_spawn([] {}));  // who asks is told
        co_await all.join();
        co_return ran.load();
    };
    CHECK(pool.run(spawn_many, std::ref(pool)) == 100);
    CHECK(pool.metrics().refused_total == 1);
    check_books(pool);
}

// ---- refuse ---------------------------------------------------------------------------------------------------------------------------

TEST_CASE("admission: at the bound a thread is refused, and what it would have given stays with it") {
    peal::pool pool(bounded(3, peal::when_full::refuse));
    auto take = [](std::unique_ptr<int> given) { return *given; };
    std::vector<peal::join_handle<int>> accepted;
    {
        keeper kept(pool);
        for (int i = 0; i < 3; ++i) accepted.push_back(pool.spawn(take, std::make_unique<int>(i)));
        CHECK(is_refused([&] { pool.spawn(take, std::make_unique<int>(7)); }));
        auto given = std::make_unique<int>(8);
        auto refused = pool.try_spawn(take, std::move(given));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == std::errc::resource_unavailable_try_again);
        REQUIRE(given != nullptr);
        CHECK(*given == 8);
        CHECK(is_refused([&] { pool.run([] {}); }));
        CHECK(pool.metrics().refused_total == 3);
    }
    for (int i = 0; i < 3; ++i) {
        CHECK(busy_until([&] { return accepted[static_cast<std::size_t>(i)].has_ended(); }));
        CHECK(pool.run(support::take<int>, std::move(accepted[static_cast<std::size_t>(i)])) == i);
    }
    auto accepted_now = pool.try_spawn(take, std::make_unique<int>(9));
    REQUIRE(accepted_now);
    CHECK(pool.run(support::take<int>, std::move(*accepted_now)) == 9);
    pool.shutdown(60s, 60s);
    auto too_late = pool.try_spawn(take, std::make_unique<int>(10));
    REQUIRE_FALSE(too_late);
    CHECK(too_late.error().code() == std::errc::operation_canceled);
}

TEST_CASE("admission: bounds of a priority and of a group, beside that of the pool") {
    peal::pool_options options = bounded(10, peal::when_full::refuse);
    options.max_pending_of = {0, 0, 2};
    peal::pool pool(options);
    const peal::share group = pool.make_share(10, 3);
    {
        keeper kept(pool);
        auto spawn = [&pool](const spawn_options& how) { pool.spawn(how, [] {}).detach(); };
        for (int i = 0; i < 2; ++i) spawn(spawn_options("low", priority::low));
        CHECK(is_refused([&] { spawn(spawn_options("low", priority::low)); }));
        for (int i = 0; i < 3; ++i) spawn(spawn_options("group", group));
        CHECK(is_refused([&] { spawn(spawn_options("group", group)); }));
        for (int i = 0; i < 5; ++i) spawn(spawn_options("normal"));
        CHECK(is_refused([&] { spawn(spawn_options("normal")); }));
        CHECK(is_refused([&] { spawn(spawn_options("high", priority::high)); }));
    }
    check_books(pool);
    CHECK(pool.counts().completed == 11);
    CHECK(pool.metrics().refused_total == 4);
}

// ---- shed -----------------------------------------------------------------------------------------------------------------------------

TEST_CASE("admission: what waits longest of the lowest priority makes room") {
    peal::pool pool(bounded(4, peal::when_full::shed));
    std::mutex mutex;
    std::vector<int> ran;
    auto note = [&](int which) {
        return [&mutex, &ran, which] {
            std::lock_guard guard(mutex);
            ran.push_back(which);
        };
    };
    {
        keeper kept(pool);
        auto spawn = [&](int which, priority urgency) { return pool.spawn(spawn_options("", urgency), note(which)); };
        auto first = spawn(1, priority::low);
        spawn(2, priority::normal).detach();
        spawn(3, priority::low).detach();
        spawn(4, priority::high).detach();
        spawn(5, priority::normal).detach();  // in place of 1
        CHECK(busy_until([&] { return first.has_ended(); }));
        spawn(6, priority::low).detach();     // of 3
        spawn(7, priority::high).detach();    // of 6
        spawn(8, priority::high).detach();    // of 2
        CHECK(is_refused([&] { spawn(9, priority::low); }));  // the others are worth more
        spawn(10, priority::normal).detach();  // of 5
        CHECK(pool.metrics().shed_total == 5);
        CHECK(pool.metrics().refused_total == 1);
        CHECK(pending(pool) == 4);
        kept.release();
        CHECK(busy_until([&] { return pending(pool) == 0; }));  // what comes now would shed, too
        CHECK_THROWS_WITH(pool.run(support::take<void>, std::move(first)), Catch::Contains("had not begun"));
    }
    check_books(pool);
    CHECK(ran == std::vector<int>{4, 7, 8, 10});
    CHECK(pool.counts().canceled == 6);  // and the one that took the first
}

TEST_CASE("admission: nothing is shed that makes no room") {
    peal::pool_options options = bounded(6, peal::when_full::shed);
    options.max_pending_of = {2, 0, 0};
    peal::pool pool(options);
    const peal::share group = pool.make_share(10, 1);
    {
        keeper kept(pool);
        auto spawn = [&pool](const spawn_options& how) { pool.spawn(how, [] {}).detach(); };
        for (int i = 0; i < 2; ++i) spawn(spawn_options("low", priority::low));
        spawn(spawn_options("group", group));
        CHECK(is_refused([&] { spawn(spawn_options("group", group)); }));  // the group is full: no other would help
        CHECK(pool.metrics().shed_total == 0);
        auto first = pool.spawn(spawn_options("high", priority::high), [] {});
        spawn(spawn_options("high", priority::high));
        spawn(spawn_options("high", priority::high));  // that priority is full: one of its own, and no low one
        CHECK(busy_until([&] { return first.has_ended(); }));
        CHECK(pool.metrics().shed_total == 1);
        CHECK(pool.metrics().pending == std::array<std::uint64_t, 3>{2, 1, 2});
    }
    check_books(pool);
}

TEST_CASE("admission: tasks of the pool are not shed, whatever queue they lie in") {
    peal::pool pool(bounded(4, peal::when_full::shed));
    std::atomic<bool> there{false}, released{false};
    auto spawn_many = [](std::atomic<bool>& spawned, std::atomic<bool>& go) -> peal::task<int> {
        std::atomic<int> ran{0};
        peal::scope all;
        for (int i = 0; i < 2000; ++i) all.spawn([&ran] { ++ran; });  // more than a worker's queue holds
        spawned = true;
        busy_until([&go] { return go.load(); });
        co_await all.join();
        co_return ran.load();
    };
    auto spawning = pool.spawn(spawn_many, std::ref(there), std::ref(released));
    REQUIRE(busy_until([&] { return there.load(); }));
    CHECK(is_refused([&] { pool.spawn([] {}).detach(); }));
    CHECK(pool.metrics().shed_total == 0);
    released = true;
    CHECK(busy_until([&] { return spawning.has_ended(); }));
    CHECK(pool.run(support::take<int>, std::move(spawning)) == 2000);
    check_books(pool);
}

// ---- who looks at the door ----------------------------------------------------------------------------------------------------------------

TEST_CASE("admission: a task that has begun makes room, also if it does not let go of the only worker") {
    peal::pool pool(bounded(1));
    std::atomic<bool> released{false};
    std::atomic<int> begun{0};
    auto keep = [&] {
        ++begun;
        busy_until([&] { return released.load(); });
    };
    pool.spawn(keep).detach();
    pool.spawn(keep).detach();  // comes in when the first has begun, if not before
    CHECK(busy_until([&] { return begun == 1; }));
    std::atomic<bool> third_is_in{false};
    std::thread third([&] {
        pool.spawn(keep).detach();
        third_is_in = true;
    });
    CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
    CHECK_FALSE(third_is_in);
    released = true;
    third.join();
    check_books(pool);
    CHECK(begun == 3);
}

TEST_CASE("admission: drained() is told when the last one begins, and not when it ends") {
    peal::pool other(peal::pool_options(1));
    peal::pool pool(bounded(0));
    std::atomic<bool> released{false};
    std::atomic<bool> is_waiting{false};
    auto waits = [](peal::pool& awaited, std::atomic<bool>& here) -> peal::task<> {
        here = true;
        co_await awaited.drained();
    };
    std::optional<peal::join_handle<void>> waiting;
    {
        keeper kept(pool);
        pool.spawn([&released] { busy_until([&released] { return released.load(); }); }).detach();
        waiting = other.spawn(waits, std::ref(pool), std::ref(is_waiting));
        CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
    }
    CHECK(busy_until([&] { return waiting->has_ended(); }));  // while the last one keeps the only worker
    released = true;
    other.run(support::take<void>, std::move(*waiting));
    check_books(pool);
}

TEST_CASE("admission: who waits for room in its group holds up no others") {
    peal::pool pool(bounded(100));
    const peal::share group = pool.make_share(10, 1);
    std::thread waits;
    {
        keeper kept(pool);
        pool.spawn(spawn_options("group", group), [] {}).detach();
        waits = std::thread([&] { pool.spawn(spawn_options("group", group), [] {}).detach(); });
        CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
        for (int i = 0; i < 20; ++i) pool.spawn([] {}).detach();
        CHECK(pool.try_spawn([] {}).has_value());
        CHECK(pool.metrics().at_the_door == 1);
    }
    waits.join();
    check_books(pool);
}

TEST_CASE("admission: drained() is told, too, if what lies behind the last one that begins has begun before") {
    peal::pool other(peal::pool_options(1));
    peal::pool pool(bounded(0));
    std::atomic<bool> released{false};
    std::atomic<bool> yields_on{true};
    auto yields = [](std::atomic<bool>& goes_on) -> peal::task<> {
        while (goes_on) co_await peal::yield();
    };
    auto yielding = pool.spawn(yields, std::ref(yields_on));
    std::optional<peal::join_handle<void>> waiting;
    {
        keeper kept(pool);
        pool.spawn(spawn_options("last", priority::low), [&released] { busy_until([&released] { return released.load(); }); }).detach();
        waiting = other.spawn([](peal::pool& awaited) -> peal::task<> { co_await awaited.drained(); }, std::ref(pool));
        CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
    }
    CHECK(busy_until([&] { return waiting->has_ended(); }));
    released = true;
    yields_on = false;
    other.run(support::take<void>, std::move(*waiting));
    check_books(pool);
}

TEST_CASE("admission: shed all that is needed, or none") {
    peal::pool pool(bounded(4, peal::when_full::shed));
    std::atomic<int> step{0};
    auto spawn_later = [](std::atomic<int>& now) -> peal::task<> {
        peal::scope all;
        now = 1;
        busy_until([&now] { return now == 2; });
        for (int i = 0; i < 4; ++i) all.spawn([] {});
        now = 3;
        busy_until([&now] { return now == 4; });
        co_await all.join();
    };
    auto own = pool.spawn(spawn_later, std::ref(step));
    REQUIRE(busy_until([&] { return step == 1; }));
    for (int i = 0; i < 2; ++i) pool.spawn([] {}).detach();
    step = 2;
    REQUIRE(busy_until([&] { return step == 3; }));
    CHECK(is_refused([&] { pool.spawn([] {}).detach(); }));  // three would have to go, and there are two
    CHECK(pool.metrics().shed_total == 0);
    step = 4;
    CHECK(busy_until([&] { return own.has_ended(); }));
    check_books(pool);
    CHECK(pool.counts().completed == 7);
}

TEST_CASE("admission: of those who wait, who has a higher priority comes in first") {
    peal::pool pool(bounded(1));
    std::mutex mutex;
    std::vector<int> order;
    auto note = [&](int which) {
        return [&mutex, &order, which] {
            std::lock_guard guard(mutex);
            order.push_back(which);
        };
    };
    std::vector<std::thread> threads;
    {
        keeper kept(pool);
        pool.spawn(note(0)).detach();
        std::uint64_t waiting = 0;
        for (auto [which, urgency] : {std::pair(3, priority::low), std::pair(2, priority::normal), std::pair(1, priority::high)}) {
            threads.emplace_back([&pool, task = note(which), urgency] { pool.spawn(spawn_options("", urgency), task).detach(); });
            ++waiting;
            CHECK(busy_until([&] { return pool.metrics().at_the_door == waiting; }));
        }
    }
    for (auto& each : threads) each.join();
    check_books(pool);
    CHECK(order == std::vector<int>{0, 1, 2, 3});
}

TEST_CASE("admission: a pool may go as soon as what was brought to it is over") {
    for (int round = 0; round < 300; ++round) {
        auto pool = std::make_unique<peal::pool>(bounded(1));
        std::atomic<bool> ran{false};
        std::thread brings([&] { static_cast<void>(pool->try_spawn([&ran] { ran = true; })); });
        CHECK(busy_until([&] { return ran.load(); }));
        pool.reset();
        brings.join();
    }
}

// ---- tasks ----------------------------------------------------------------------------------------------------------------------------

TEST_CASE("admission: a task that submits waits for room, in order") {
    peal::pool pool(bounded(2));
    std::vector<int> order;
    auto submits = [](peal::pool& its, std::vector<int>& told, int which) -> peal::task<> {
        auto begun = co_await its.submit([&told, which] { told.push_back(which); });
        co_await begun;
    };
    auto fills = [](peal::pool& its, std::vector<int>& told, auto submitting) -> peal::task<> {
        peal::scope all;
        for (int i = 0; i < 2; ++i) all.spawn([] {});  // the room is taken until this task awaits
        auto limited = peal::timeout(60s, submitting(its, told, 0));
        co_await limited;
        for (int i = 1; i < 20; ++i) all.spawn(submitting, std::ref(its), std::ref(told), i);
        co_await all.join();
    };
    pool.run(fills, std::ref(pool), std::ref(order), submits);
    REQUIRE(order.size() == 20);
    CHECK(order.front() == 0);
    check_books(pool);
}

TEST_CASE("admission: a task of another pool is not blocked: it is refused, or waits by submit()") {
    peal::pool other(peal::pool_options(1));
    peal::pool pool(bounded(1));
    std::atomic<bool> is_waiting{false};
    auto submits = [](peal::pool& full, std::atomic<bool>& waits) -> peal::task<int> {
        bool refused = false;
        try {
            full.spawn([] {}).detach();
        } catch (const std::system_error& failure) {
            refused = failure.code() == std::errc::resource_unavailable_try_again;
        }
        // Stopped while it waits, it leaves the door.
        auto limited = peal::timeout(1ms, full.submit([] {}));
        auto stopped = co_await peal::as_result(limited);
        CHECK(!stopped);
        CHECK(full.metrics().at_the_door == 0);
        waits = true;
        auto begun = co_await full.submit([](int value) { return value; }, refused ? 7 : 0);
        co_return co_await begun;
    };
    auto waiting = [&] {
        keeper kept(pool);
        pool.spawn([] {}).detach();
        auto begun = other.spawn(submits, std::ref(pool), std::ref(is_waiting));
        CHECK(busy_until([&] { return is_waiting && pool.metrics().at_the_door == 1; }));
        return begun;
    }();
    CHECK(other.run(support::take<int>, std::move(waiting)) == 7);
    check_books(pool);
}

TEST_CASE("admission: a task of another pool that waits goes on when the pool shuts down") {
    peal::pool other(peal::pool_options(1));
    peal::pool pool(bounded(1));
    auto submits = [](peal::pool& full) -> peal::task<bool> {
        try {
            static_cast<void>(co_await full.submit([] {}));
        } catch (const std::system_error& failure) {
            co_return failure.code() == std::errc::operation_canceled;
        }
        co_return false;
    };
    auto keep = std::make_unique<keeper>(pool);
    pool.spawn([] {}).detach();
    auto waiting = other.spawn(submits, std::ref(pool));
    CHECK(busy_until([&] { return pool.metrics().at_the_door == 1; }));
    std::thread ends([&pool] { pool.shutdown(0ms, 60s); });
    CHECK(other.run(support::take<bool>, std::move(waiting)));
    keep.reset();
    ends.join();
    check_books(pool);
}

TEST_CASE("admission: drained when nothing waits for its turn any more") {
    peal::pool pool(bounded(0));
    pool.run([](peal::pool& its) -> peal::task<> { co_await its.drained(); }, std::ref(pool));
    auto waits = [](peal::pool& its) -> peal::task<> {
        std::atomic<int> ran{0};
        peal::scope all;
        for (int round = 0; round < 20; ++round) {
            for (int i = 0; i < 100; ++i) all.spawn([&ran] { ++ran; });
            co_await its.drained();
            CHECK(ran == (round + 1) * 100);
        }
        for (int i = 0; i < 100; ++i) all.spawn([] {});
        auto waiting = its.drained();
        auto limited = peal::timeout(60s, waiting);
        auto ended = co_await peal::as_result(limited);
        CHECK(ended.has_value());
        co_await all.join();
    };
    pool.run(waits, std::ref(pool));
    check_books(pool);
}

TEST_CASE("admission: in a simulation, a full pool goes on before more comes from outside") {
    peal::pool_options options;
    options.max_pending = 3;
    peal::simulation sim(7, options);
    int ran = 0;
    for (int i = 0; i < 50; ++i) sim.pool().spawn([&ran] { ++ran; }).detach();
    CHECK(ran >= 47);
    CHECK(ran < 50);
    sim.pool().run([](peal::pool& its) -> peal::task<> { co_await its.drained(); }, std::ref(sim.pool()));
    CHECK(ran == 50);
}
