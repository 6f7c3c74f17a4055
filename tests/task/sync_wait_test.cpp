// SPDX-License-Identifier: MIT

#include <peal/task/sync_wait.hpp>

#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

peal::task<std::thread::id> thread_of_task() { co_return std::this_thread::get_id(); }

peal::task<std::vector<std::thread::id>> moves_to(peal::pool& pool) {
    std::vector<std::thread::id> threads;
    threads.push_back(std::this_thread::get_id());
    co_await pool.schedule();
    threads.push_back(std::this_thread::get_id());
    co_return threads;
}

peal::task<std::unique_ptr<int>> gives_owned() { co_return std::make_unique<int>(3); }
peal::task<int&> gives_reference(int& object) { co_return object; }
peal::task<> fails() {
    throw std::domain_error("as told");
    co_return;
}
peal::task<int> keeps(tracked kept) { co_return kept.value(); }

peal::task<int> gives_on_pool(peal::pool& pool, int value) {
    co_await pool.schedule();
    co_await peal::sleep_for(1ms);
    co_return value;
}

peal::task<int> joins_from_outside(peal::pool& pool) {
    auto first = pool.spawn(gives_on_pool, pool, 1);
    auto second = pool.spawn(gives_on_pool, pool, 2);
    int sum = co_await first;
    sum += co_await second;
    co_return sum;
}

peal::task<std::size_t> hops(peal::pool& first, peal::pool& second) {
    std::size_t wrong = 0;
    for (int i = 0; i < 100; ++i) {
        co_await first.schedule();
        if (peal::pool::current() != &first) ++wrong;
        co_await second.schedule();
        if (peal::pool::current() != &second) ++wrong;
    }
    co_return wrong;
}

}  // namespace

TEST_CASE("sync_wait: starts on the calling thread and goes on where the task moves") {
    CHECK(peal::sync_wait(thread_of_task()) == std::this_thread::get_id());
    peal::pool pool(peal::pool_options(1));
    auto threads = peal::sync_wait(moves_to(pool));
    CHECK(threads.front() == std::this_thread::get_id());
    CHECK(threads.back() != std::this_thread::get_id());
}

TEST_CASE("sync_wait: gives move-only values, references and exceptions") {
    CHECK(*peal::sync_wait(gives_owned()) == 3);
    int object = 0;
    CHECK(&peal::sync_wait(gives_reference(object)) == &object);
    CHECK_THROWS_AS(peal::sync_wait(fails()), std::domain_error);
    CHECK(peal::sync_wait(keeps(tracked(4))) == 4);
    CHECK(tracked::clean());
}

TEST_CASE("sync_wait: a task joins tasks of a pool") {
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 20; ++i) REQUIRE(peal::sync_wait(joins_from_outside(pool)) == 3);
}

TEST_CASE("sync_wait: a task moves between pools") {
    peal::pool first(peal::pool_options(1));
    peal::pool second(peal::pool_options(1));
    CHECK(peal::sync_wait(hops(first, second)) == 0);
}

TEST_CASE("sync_wait: many threads wait at the same time, each for its own task") {
    peal::pool pool(peal::pool_options(2));
    std::vector<int> wrong(4, 0);
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < wrong.size(); ++t) {
        threads.emplace_back([&pool, &mine = wrong[t], t] {
            for (int i = 0; i < 100; ++i) {
                int value = static_cast<int>(t) * 1000 + i;
                if (peal::sync_wait(gives_on_pool(pool, value)) != value) ++mine;
                if (pool.run(gives_on_pool, pool, value) != value) ++mine;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(wrong == std::vector<int>(4, 0));
}
