// SPDX-License-Identifier: MIT

// Shutdown (P7): drain, cancel, report by name; the books add up (P1); nothing hangs.

#include <peal/pool/pool.hpp>

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <peal/net/tcp.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/awaitables.hpp"
#include "support/catch.hpp"
#include "support/captured_stderr.hpp"
#include "support/leaks.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto long_enough = 30s;  // a guard, not a measure

peal::task<> rest(std::chrono::milliseconds time) { co_await peal::sleep_for(time); }

peal::task<> stuck() { co_await support::never(); }

/// Each abandoned task leaves a context and the frame of its coroutine.
void expect_abandoned(int tasks) {
    support::expected_frames += 2 * tasks;
    support::expected_descriptors += 2;  // of the pool's one worker
}

bool adds_up(const peal::pool_counts& counts) {
    return counts.live == 0 && counts.accepted == counts.completed + counts.failed + counts.canceled;
}

}  // namespace

TEST_CASE("shutdown: tasks that end by themselves are waited for") {
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 50; ++i) pool.spawn(rest, std::chrono::milliseconds(i)).detach();
    auto report = pool.shutdown(long_enough, long_enough);
    CHECK(report.drained);
    CHECK(report.canceled == 0);
    CHECK(report.not_stopped.empty());
    CHECK(pool.counts().completed == 50);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: tasks that would go on are canceled, whatever they wait for") {
    auto accept = [](peal::net::tcp_listener& listener) -> peal::task<> {
        for (;;) static_cast<void>(co_await listener.accept());
    };
    auto read = [](peal::net::address server) -> peal::task<> {
        auto stream = co_await peal::net::tcp_stream::connect(server);
        std::array<std::byte, 10> buffer;
        static_cast<void>(co_await stream.read(buffer));
    };
    auto join = [](peal::pool& pool) -> peal::task<> {
        auto other = pool.spawn(rest, std::chrono::milliseconds(1h));
        co_await other;
    };
    auto scope = []() -> peal::task<> {
        peal::scope children;
        for (int i = 0; i < 5; ++i) children.spawn(rest, std::chrono::milliseconds(1h));
        co_await children.join();
    };
    auto forgotten_join = []() -> peal::task<> {
        peal::scope children;
        for (int i = 0; i < 5; ++i) children.spawn(rest, std::chrono::milliseconds(1h));
        co_await peal::sleep_for(1h);
    };
    peal::pool pool(peal::pool_options(2));
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    for (int i = 0; i < 5; ++i) {
        pool.spawn(accept, std::ref(listener)).detach();
        pool.spawn(read, listener.local_address()).detach();
        pool.spawn(join, pool).detach();
        pool.spawn(scope).detach();
        pool.spawn(forgotten_join).detach();
        pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    }
    std::this_thread::sleep_for(20ms);
    auto live = pool.counts().live;
    CHECK(live >= 5 * 6);
    auto report = pool.shutdown(1ms, long_enough);
    CHECK_FALSE(report.drained);
    CHECK(report.canceled == live);
    CHECK(report.not_stopped.empty());
    CHECK(pool.counts().canceled == live);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: what does not stop is named, with the place where it was spawned") {
    auto spawn_inside = [](peal::pool& pool) { pool.spawn(peal::spawn_options("deaf inside"), stuck).detach(); };
    std::optional<peal::pool> pool(std::in_place, peal::pool_options(1));
    int line = __LINE__ + 1;
    pool->spawn(peal::spawn_options("deaf"), stuck).detach();
    pool->spawn(stuck).detach();
    pool->run(spawn_inside, *pool);
    expect_abandoned(3);
    auto report = pool->shutdown(1ms, 20ms);
    CHECK_FALSE(report.drained);
    REQUIRE(report.not_stopped.size() == 3);
    auto names = [&report](const std::string& begin) {
        return std::count_if(report.not_stopped.begin(), report.not_stopped.end(),
                             [&begin](const std::string& name) { return name.starts_with(begin); });
    };
    CHECK(names("deaf (spawned at ") == 1);
    CHECK(names("deaf inside (spawned at ") == 1);
    CHECK(names("unnamed task (spawned at ") == 1);
    CHECK(report.not_stopped[0].ends_with("shutdown_test.cpp:" + std::to_string(line) + ")"));
    auto counts = pool->counts();
    CHECK(counts.live == 3);
    CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled + counts.live);
    // The destructor says the same on standard error.
    support::captured_stderr captured;
    pool.reset();
    CHECK(captured.text().find("3 tasks did not stop") != std::string::npos);
    CHECK(captured.text().find("deaf (spawned at") != std::string::npos);
}

TEST_CASE("shutdown: tasks in scopes that do not stop are counted") {
    auto parent = []() -> peal::task<> {
        peal::scope children;
        children.spawn(stuck);
        children.spawn(stuck);
        co_await children.join();
    };
    peal::pool pool(peal::pool_options(1));
    pool.spawn(peal::spawn_options("parent"), parent).detach();
    std::this_thread::sleep_for(5ms);
    auto report = pool.shutdown(1ms, 20ms);
    expect_abandoned(3);
    std::sort(report.not_stopped.begin(), report.not_stopped.end());
    REQUIRE(report.not_stopped.size() == 2);
    CHECK(report.not_stopped[0] == "2 tasks in scopes");
    CHECK(report.not_stopped[1].starts_with("parent (spawned at "));
    support::captured_stderr captured;  // of the destructor
}

TEST_CASE("shutdown: afterwards nothing is accepted, and that is an error, not a hang") {
    auto is_refusal = [](auto action) {
        try {
            action();
        } catch (const std::system_error& failure) {
            return peal::is_canceled(failure) && std::string(failure.what()).find("stopped accepting") != std::string::npos;
        }
        return false;
    };
    peal::pool pool(peal::pool_options(1));
    auto first = pool.shutdown(1s, 1s);
    CHECK(first.drained);
    CHECK(is_refusal([&pool] { pool.spawn(rest, 0ms).detach(); }));
    CHECK(is_refusal([&pool] { pool.run(rest, 0ms); }));
    CHECK(adds_up(pool.counts()));
    CHECK(pool.shutdown(1s, 1s).drained);  // idempotent
}

TEST_CASE("shutdown: two threads at once both get the report") {
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 10; ++i) pool.spawn(rest, 20ms).detach();
    peal::shutdown_report reports[2];
    std::thread other([&] { reports[0] = pool.shutdown(long_enough, long_enough); });
    reports[1] = pool.shutdown(long_enough, long_enough);
    other.join();
    CHECK(reports[0].drained);
    CHECK(reports[1].drained);
}

TEST_CASE("shutdown: a task that spawns while the pool drains is told") {
    auto body = [](peal::pool& pool, std::atomic<int>& refused) -> peal::task<> {
        for (;;) {
            co_await peal::sleep_for(100us);
            try {
                pool.spawn(rest, 0ms).detach();
            } catch (const std::system_error& failure) {
                if (peal::is_canceled(failure)) ++refused;
                co_return;
            }
        }
    };
    peal::pool pool(peal::pool_options(1));
    std::atomic<int> refused{0};
    pool.spawn(body, pool, std::ref(refused)).detach();
    std::this_thread::sleep_for(5ms);
    CHECK(pool.shutdown(long_enough, long_enough).drained);
    CHECK(refused == 1);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: request_stop() of the pool cancels what runs") {
    auto spawn_inside = [](peal::pool& pool) {
        for (int i = 0; i < 20; ++i) pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    };
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 20; ++i) pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    pool.run(spawn_inside, pool);
    pool.request_stop();
    auto report = pool.shutdown(long_enough, 0s);
    CHECK(report.drained);
    CHECK(pool.counts().canceled == 40);
}

// ---- failures that nobody takes --------------------------------------------------------------------------------------------------------

TEST_CASE("shutdown: the handler gets the failures of detached tasks, with the task; awaited ones go to the awaiter") {
    auto failing = [](const char* text) -> peal::task<> {
        co_await peal::sleep_for(1ms);
        throw std::runtime_error(text);
    };
    auto await_it = [](peal::join_handle<> handle) -> peal::task<> { co_await handle; };
    auto in_scope = [](decltype(failing) child) -> peal::task<> {
        peal::scope children;
        children.spawn(peal::spawn_options("child"), child, "five");
        co_await children.join();
    };
    std::mutex mutex;
    std::vector<std::string> seen;
    peal::pool_options options(2);
    options.on_unhandled = [&](std::exception_ptr failure, const peal::context& task) {
        std::lock_guard guard(mutex);
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            seen.push_back(std::string(task.name()) + ": " + error.what());
        }
    };
    peal::pool pool(options);
    pool.spawn(peal::spawn_options("detached"), failing, "one").detach();
    { auto dropped = pool.spawn(peal::spawn_options("dropped"), failing, "two"); }
    CHECK_THROWS_AS(pool.run(failing, "three"), std::runtime_error);
    CHECK_THROWS_AS(pool.run(await_it, pool.spawn(failing, "four")), std::runtime_error);
    pool.run(in_scope, failing);
    pool.spawn(rest, std::chrono::milliseconds(1h)).detach();  // canceled: no failure
    pool.shutdown(10ms, long_enough);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::string>{"child: five", "detached: one", "dropped: two"});
    CHECK(pool.counts().failed == 6);  // and the one that awaited the fourth
    CHECK(pool.counts().canceled == 1);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: a failure reaches the handler, however late the handle is dropped") {
    auto failing = []() -> peal::task<> {
        throw std::runtime_error("nobody looked");
        co_return;
    };
    std::atomic<int> seen{0};
    peal::pool_options options(1);
    options.on_unhandled = [&](std::exception_ptr, const peal::context&) { ++seen; };
    peal::pool pool(options);
    auto handle = pool.spawn(failing);
    while (!handle.has_ended()) std::this_thread::sleep_for(1ms);
    handle.detach();
    CHECK(pool.shutdown(long_enough, 0s).drained);
    CHECK(seen == 1);
}

TEST_CASE("shutdown: a handle may outlive its pool, result, failure and all") {
    support::captured_stderr captured;
    std::optional<peal::join_handle<std::string>> good;
    std::optional<peal::join_handle<>> bad;
    std::optional<peal::stop_handle> stopper;
    {
        peal::pool pool(peal::pool_options(1));
        good.emplace(pool.spawn([]() { return std::string(100, 'x'); }));
        bad.emplace(pool.spawn([]() { throw std::runtime_error("late"); }));
        stopper.emplace(good->stop_handle());
    }
    CHECK(good->has_ended());
    stopper->request_stop();
    good.reset();
    stopper.reset();
    bad.reset();
    CHECK(captured.text().find("late") != std::string::npos);  // no handler is left: standard error
}
