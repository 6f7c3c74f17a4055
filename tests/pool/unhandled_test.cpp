// SPDX-License-Identifier: MIT

// What a pool does when a task fails that nobody awaits: pool_options::unhandled. Who gets which failure: pool/shutdown, task/join_handle, task/scope.

#include <peal/task/unhandled.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto long_enough = 30s;  // a guard, not a measure

peal::task<> rest(std::chrono::milliseconds time) { co_await peal::sleep_for(time); }

bool adds_up(const peal::pool_counts& counts) {
    return counts.live == 0 && counts.accepted == counts.completed + counts.failed + counts.canceled;
}

peal::task<> fails_with(const char* text) {
    co_await peal::sleep_for(1ms);
    throw std::runtime_error(text);
}

}  // namespace

TEST_CASE("unhandled: counted, and nothing more") {
    support::captured_stderr captured;
    std::atomic<int> told{0};
    peal::pool_options options(2);
    options.unhandled = peal::unhandled::count;
    options.on_unhandled = [&told](std::exception_ptr, const peal::context&) { ++told; };
    peal::pool pool(options);
    for (int i = 0; i < 20; ++i) pool.spawn(fails_with, "quietly").detach();
    CHECK(pool.shutdown(long_enough, 0s).drained);
    CHECK(told == 0);
    CHECK(captured.text() == "");
    CHECK(pool.counts().failed == 20);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("unhandled: one stops all, and each that was stopped is counted as canceled") {
    unsigned workers = GENERATE(1u, 2u);
    std::atomic<int> told{0};
    peal::pool_options options(workers);
    options.unhandled = peal::unhandled::stop;
    options.on_unhandled = [&told](std::exception_ptr, const peal::context&) { ++told; };
    peal::pool pool(options);
    for (int i = 0; i < 50; ++i) pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    auto in_scope = []() -> peal::task<> {
        peal::scope children;
        for (int i = 0; i < 10; ++i) children.spawn(rest, std::chrono::milliseconds(1h));
        co_await children.join();
    };
    pool.spawn(in_scope).detach();
    pool.spawn(fails_with, "one").detach();
    CHECK(pool.shutdown(long_enough, 0s).drained);  // nobody else asked
    CHECK(told == 1);
    CHECK(pool.counts().failed == 1);
    CHECK(pool.counts().canceled == 61);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("unhandled: a handler that throws is told of, with what it was given, and costs nothing else") {
    support::captured_stderr captured;
    peal::pool_options options(1);
    options.name = "hasty";
    options.on_unhandled = [](std::exception_ptr, const peal::context&) { throw std::runtime_error("cannot tell"); };
    peal::pool pool(options);
    pool.spawn(peal::spawn_options("first"), fails_with, "what it is about").detach();
    while (pool.counts().live != 0) std::this_thread::sleep_for(1ms);
    CHECK(pool.run([] { return 7; }) == 7);
    CHECK(captured.text().find("peal: on_unhandled of pool 'hasty' has failed itself: cannot tell\n") != std::string::npos);
    CHECK(captured.text().find("peal: task 'first' (spawned at ") != std::string::npos);
    CHECK(captured.text().find("failed and nobody awaits it: what it is about\n") != std::string::npos);
}

TEST_CASE("unhandled: one ends the program, after it was told") {
    auto seen = support::death_of([] {
        peal::pool_options options(1);
        options.unhandled = peal::unhandled::terminate;
        peal::pool pool(options);
        pool.spawn(peal::spawn_options("last"), fails_with, "the end").detach();
        std::this_thread::sleep_for(30s);
    });
    CHECK(seen.says("peal: task 'last' (spawned at "));
    CHECK(seen.says("failed and nobody awaits it: the end"));
}
