// SPDX-License-Identifier: MIT

// Priorities: who is first, that nobody starves, and that what belongs together keeps its place.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using peal::priority;
using peal::spawn_options;

peal::task<> note(std::string& order, char who) {
    order += who;
    co_return;
}

peal::task<std::string> in_order_of_priority() {
    std::string order;
    peal::scope tasks;
    for (int i = 0; i < 3; ++i) {
        tasks.spawn(spawn_options("low", priority::low), note, std::ref(order), 'l');
        tasks.spawn(spawn_options("normal", priority::normal), note, std::ref(order), 'n');
        tasks.spawn(spawn_options("high", priority::high), note, std::ref(order), 'h');
    }
    co_await tasks.join();
    co_return order;
}

/// Yields until it is told to end.
peal::task<> busy(const std::atomic<bool>& ended, std::string& order, std::atomic<int>& turns, char who) {
    while (!ended) {
        order += who;
        ++turns;
        co_await peal::yield();
    }
}

peal::task<> await(peal::join_handle<> handle) { co_await handle; }

/// So many items of others ran between two of one that waits, while tasks of `others` are always ready.
std::size_t others_between(priority waiting, priority others) {
    peal::pool pool(peal::pool_options(1));
    std::string order;
    std::atomic<bool> ended{false};
    std::atomic<int> turns{0};
    std::atomic<int> turns_of_waiting{0};
    std::vector<peal::join_handle<>> all;
    auto add = [&](priority urgency, std::atomic<int>& counted, char who) {
        all.push_back(pool.spawn(spawn_options("busy", urgency), busy, std::ref(ended), std::ref(order), std::ref(counted), who));
    };
    for (int i = 0; i < 4; ++i) add(others, turns, 'b');
    auto give_up = std::chrono::steady_clock::now() + 60s;  // a guard against hanging
    auto wait_for = [&](const std::atomic<int>& counted, int wanted) {
        while (counted < wanted && std::chrono::steady_clock::now() < give_up) std::this_thread::sleep_for(1ms);
    };
    wait_for(turns, 10'000);
    add(waiting, turns_of_waiting, 'w');
    wait_for(turns_of_waiting, 100);
    ended = true;
    for (auto& each : all) pool.run(await, std::move(each));

    std::size_t longest = 0;
    std::size_t run = 0;
    for (char who : order.substr(order.find('w'), order.rfind('w') - order.find('w'))) {
        run = who == 'w' ? 0 : run + 1;
        longest = std::max(longest, run);
    }
    return longest;
}

peal::task<> spawns(std::vector<priority>& seen, int depth) {
    seen.push_back(peal::detail::this_thread.current->priority());
    if (depth == 0) co_return;
    peal::scope children;
    children.spawn(spawns, std::ref(seen), depth - 1);
    co_await children.join();
}

peal::task<priority> own() { co_return peal::detail::this_thread.current->priority(); }

peal::task<std::vector<priority>> in_parts() {
    auto own_task = own();
    std::vector<priority> seen;
    seen.push_back(co_await std::move(own_task));
    seen.push_back(co_await peal::timeout(1h, own()));
    auto [a, b] = co_await peal::when_all(own(), own());
    seen.push_back(a);
    seen.push_back(b);
    co_return seen;
}

}  // namespace

TEST_CASE("priority: high before normal before low, in order of arrival within each") {
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(in_order_of_priority) == "hhhnnnlll");
}

TEST_CASE("priority: a normal one waits for at most seven of high priority, a low one for at most 63 of others") {
    CHECK(others_between(priority::normal, priority::high) == 7);
    CHECK(others_between(priority::low, priority::normal) == 63);
    CHECK(others_between(priority::low, priority::high) == 63);
}

TEST_CASE("priority: with all three ready, a normal one and a low one still come in time") {
    peal::pool pool(peal::pool_options(1));
    std::string order;
    auto all = [&order]() -> peal::task<> {
        peal::scope tasks;
        for (int i = 0; i < 200; ++i) tasks.spawn(spawn_options("high", priority::high), note, std::ref(order), 'h');
        for (int i = 0; i < 100; ++i) tasks.spawn(spawn_options("normal", priority::normal), note, std::ref(order), 'n');
        for (int i = 0; i < 20; ++i) tasks.spawn(spawn_options("low", priority::low), note, std::ref(order), 'l');
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    auto longest_without = [&order](char who) {
        std::size_t longest = 0;
        std::size_t run = 0;
        for (char each : order.substr(0, order.rfind(who))) {
            run = each == who ? 0 : run + 1;
            longest = std::max(longest, run);
        }
        return longest;
    };
    CHECK(order.size() == 320);
    CHECK(longest_without('n') == 7);
    CHECK(longest_without('l') <= 63);
}

TEST_CASE("priority: a high one waits for the item that runs, and no other") {
    CHECK(others_between(priority::high, priority::low) <= 1);
    CHECK(others_between(priority::high, priority::normal) <= 1);
}

TEST_CASE("priority: passed on to children, and to the parts of a task") {
    peal::pool pool(peal::pool_options(2));
    std::vector<priority> seen;
    auto handle = pool.spawn(spawn_options("root", priority::low), spawns, std::ref(seen), 3);
    pool.run(await, std::move(handle));
    CHECK(seen == std::vector<priority>(4, priority::low));

    auto parts = pool.spawn(spawn_options("parts", priority::high), in_parts);
    seen = pool.run(
        [](peal::join_handle<std::vector<priority>> awaited) -> peal::task<std::vector<priority>> { co_return co_await awaited; },
        std::move(parts));
    CHECK(seen == std::vector<priority>(4, priority::high));
    CHECK(pool.run(own) == priority::normal);
}

TEST_CASE("priority: schedule() changes it from there on") {
    peal::pool pool(peal::pool_options(1));
    auto changes = [](peal::pool& here) -> peal::task<std::vector<priority>> {
        std::vector<priority> seen;
        for (priority urgency : {priority::low, priority::high, priority::normal}) {
            co_await here.schedule(urgency);
            seen.push_back(peal::detail::this_thread.current->priority());
        }
        co_await here.schedule();
        seen.push_back(peal::detail::this_thread.current->priority());
        co_return seen;
    };
    CHECK(pool.run(changes, std::ref(pool)) == std::vector{priority::low, priority::high, priority::normal, priority::normal});
}

TEST_CASE("priority: from a foreign thread, while a worker is busy with others") {
    peal::pool pool(peal::pool_options(1));
    std::string order;
    std::atomic<bool> ended{false};
    std::atomic<int> turns{0};
    auto loop = pool.spawn(spawn_options("busy", priority::normal), busy, std::ref(ended), std::ref(order), std::ref(turns), 'b');
    while (turns == 0) std::this_thread::yield();
    auto stops = [](std::atomic<bool>& end) -> peal::task<> {
        end = true;
        co_return;
    };
    pool.spawn(spawn_options("stops", priority::high), stops, std::ref(ended)).detach();
    pool.run(await, std::move(loop));
    CHECK(ended);
}

TEST_CASE("priority: others take what a busy worker has queued, of any priority") {
    peal::pool pool(peal::pool_options(2));
    for (priority urgency : {priority::high, priority::normal, priority::low}) {
        std::atomic<int> taken{0};
        auto takes = [&taken]() -> peal::task<> {
            ++taken;
            co_return;
        };
        auto blocks = [&]() -> peal::task<> {
            peal::scope tasks;
            for (int i = 0; i < 10; ++i) tasks.spawn(spawn_options("taken", urgency), std::ref(takes));
            auto give_up = std::chrono::steady_clock::now() + 60s;  // a guard against hanging
            while (taken.load() < 10 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
            int before_join = taken.load();
            co_await tasks.join();
            CHECK(before_join == 10);
        };
        pool.run(std::ref(blocks));
    }
}
