// SPDX-License-Identifier: MIT

// Broken contracts of tasks, handles and scopes: each is an assertion whose message tells the rule.

#include <unistd.h>

#include <array>
#include <memory>
#include <system_error>
#include <thread>

#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/sockets.hpp"

namespace {

using namespace std::chrono_literals;

peal::task<int> one() { co_return 1; }

/// Runs `fn(pool)` as a task of a simulation, in a copy of this process.
support::death death_in_task(peal::task<> (*fn)(peal::pool&)) {
    return support::death_of([fn] {
        peal::simulation sim(1);
        sim.pool().run(fn, sim.pool());
    });
}

peal::task<> awaits_twice(peal::pool&) {
    peal::task<int> twice = one();
    co_await std::move(twice);
    co_await std::move(twice);
}

peal::task<> awaits_moved_from(peal::pool&) {
    peal::task<int> first = one();
    peal::task<int> second = std::move(first);
    co_await std::move(first);
}

peal::task<> awaits_empty(peal::pool&) {
    peal::task<int> empty;
    co_await std::move(empty);
}

peal::task<> spawns_empty(peal::pool& pool) {
    peal::task<int> empty;
    pool.spawn(std::move(empty));
    co_return;
}

peal::task<> joins_twice(peal::pool& pool) {
    auto handle = pool.spawn(one);
    co_await handle;
    co_await handle;
}

peal::task<> joins_detached(peal::pool& pool) {
    auto handle = pool.spawn(one);
    handle.detach();
    co_await handle;
}

peal::task<> asks_detached_for_stop_handle(peal::pool& pool) {
    auto handle = pool.spawn(one);
    handle.detach();
    static_cast<void>(handle.stop_handle());
    co_return;
}

peal::task<int> sleeps_and_gives_one() {
    co_await peal::sleep_for(1s);
    co_return 1;
}

peal::task<> joins(peal::join_handle<int>& handle) { co_await handle; }

peal::task<> joins_from_two_tasks(peal::pool& pool) {
    auto handle = pool.spawn(sleeps_and_gives_one);
    auto first = pool.spawn(joins, std::ref(handle));
    auto second = pool.spawn(joins, std::ref(handle));
    co_await first;
    co_await second;
}

peal::task<> blocks_by_sync_wait(peal::pool&) {
    static_cast<void>(peal::sync_wait(one()));
    co_return;
}

peal::task<> blocks_by_run(peal::pool& pool) {
    static_cast<void>(pool.run(one));
    co_return;
}

peal::task<> joins_scope(peal::scope& tasks) { co_await tasks.join(); }

peal::task<> joins_scope_from_two_tasks(peal::pool& pool) {
    peal::scope tasks;
    tasks.spawn(sleeps_and_gives_one);
    auto first = pool.spawn(joins_scope, tasks);
    auto second = pool.spawn(joins_scope, tasks);
    co_await first;
    co_await second;
}

peal::task<> sleeps_twice(peal::pool&) {
    auto sleep = peal::sleep_for(1ms);
    co_await sleep;
    co_await sleep;
}

peal::task<> sleeps_twice_when_stopped(peal::pool& pool) {
    auto sleeping = pool.spawn([]() -> peal::task<> {
        auto sleep = peal::sleep_for(1h);
        for (;;) {
            try {
                co_await sleep;
            } catch (const std::system_error&) {
            }
        }
    });
    co_await pool.schedule();
    sleeping.request_stop();
    co_await sleeping;
}

peal::task<> reads_twice(peal::net::tcp_stream& stream) {
    std::array<std::byte, 1> buffer;
    auto reading = stream.read(buffer);
    static_cast<void>(co_await reading);
    static_cast<void>(co_await reading);
}

peal::task<> reads_twice_when_stopped(peal::net::tcp_stream& stream) {
    std::array<std::byte, 1> buffer;
    auto reading = stream.read(buffer);
    for (;;) {
        try {
            static_cast<void>(co_await reading);
        } catch (const std::system_error&) {
        }
    }
}

peal::task<> names_a_worker_too_many(peal::pool& pool) { co_await pool.schedule_on(pool.size()); }

}  // namespace

TEST_CASE("contract: a task is awaited once") {
    CHECK(death_in_task(awaits_twice).says("a task was awaited twice"));
    CHECK(death_in_task(awaits_moved_from).says("a task was awaited twice, or after it was moved from"));
    CHECK(death_in_task(awaits_empty).says("a task was awaited twice, or after it was moved from"));
    CHECK(death_in_task(spawns_empty).says("an empty task was spawned"));
}

TEST_CASE("contract: a join_handle is awaited once, by one task, and not after detach") {
    CHECK(death_in_task(joins_twice).says("join_handle awaited twice"));
    CHECK(death_in_task(joins_detached).says("join_handle awaited twice, or after detach()"));
    CHECK(death_in_task(joins_from_two_tasks).says("two coroutines await the same join_handle"));
    CHECK(death_in_task(asks_detached_for_stop_handle).says("join_handle::stop_handle() after the handle was detached"));
}

TEST_CASE("contract: a worker is not blocked by sync_wait or run") {
    CHECK(death_in_task(blocks_by_sync_wait).says("sync_wait() or pool.run() was called on a worker"));
    CHECK(death_in_task(blocks_by_run).says("sync_wait() or pool.run() was called on a worker"));
}

TEST_CASE("contract: a scope is joined by one task, and spawns on a pool") {
    CHECK(death_in_task(joins_scope_from_two_tasks).says("two coroutines wait for the end of one scope"));
    auto seen = support::death_of([] {
        peal::scope outside;
        outside.spawn(one);
    });
    CHECK(seen.says("scope.spawn() called outside a pool: co_await pool.schedule() before it"));
}

TEST_CASE("contract: peal::spawn and timers say that they need a worker") {
    auto spawning = support::death_of([] { peal::spawn(one); });
    CHECK(spawning.says("peal::spawn() called outside a pool: use pool.spawn()"));
    auto sleeping = support::death_of([] { peal::sync_wait(sleeps_and_gives_one()); });
    CHECK(sleeping.says("co_await pool.schedule() before it"));
}

TEST_CASE("contract: an operation and a sleep are awaited once") {
    CHECK(death_in_task(sleeps_twice).says("sleep_for() or another wait was awaited twice"));
    CHECK(death_in_task(sleeps_twice_when_stopped).says("sleep_for() or another wait was awaited twice"));
    auto on_a_pool = [](peal::task<> (*fn)(peal::net::tcp_stream&), bool stopped) {
        return support::death_of([fn, stopped] {
            auto ends = support::local_pair();
            static_cast<void>(::write(ends.second.native_handle(), "ab", 2));  // enough for both
            peal::pool pool(peal::pool_options(1));
            auto task = pool.spawn(fn, std::ref(ends.first));
            if (stopped) task.request_stop();
            while (!task.has_ended()) std::this_thread::yield();
        });
    };
    CHECK(on_a_pool(reads_twice, false).says("an I/O operation was awaited twice"));
    CHECK(on_a_pool(reads_twice_when_stopped, true).says("an I/O operation was awaited twice"));
}

TEST_CASE("contract: schedule_on names a worker that exists") {
    CHECK(death_in_task(names_a_worker_too_many).says("the pool has no worker of this index"));
}

TEST_CASE("contract: a result that holds a value has no error") {
    auto seen = support::death_of([] {
        peal::result<int> good(1);
        static_cast<void>(good.error());
    });
    CHECK(seen.says("result::error() called on a result that holds a value"));
}

TEST_CASE("contract: a real pool is not destroyed by one of its own workers") {
    struct body {
        static peal::task<> destroys(std::unique_ptr<peal::pool>& own) {
            own.reset();
            co_return;
        }
    };
    auto seen = support::death_of([] {
        auto pool = std::make_unique<peal::pool>(peal::pool_options(1));
        pool->run(body::destroys, std::ref(pool));
    });
    CHECK(seen.says("a pool was shut down or destroyed by one of its own workers"));
}
