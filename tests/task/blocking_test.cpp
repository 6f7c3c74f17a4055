// SPDX-License-Identifier: MIT

#include <peal/task/blocking.hpp>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/fs/walk.hpp>
#include <peal/net/resolve.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"
#include "support/temp_folder.hpp"
#include "support/threads.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

/// Blocks until it is opened.
class gate {
  public:
    void open() {
        open_.store(true);
        open_.notify_all();
    }
    void pass() const { open_.wait(false); }

  private:
    std::atomic<bool> open_{false};
};

peal::pool_options with_threads(unsigned count) {
    peal::pool_options options(2);
    options.name = "b";
    options.blocking_threads = count;
    return options;
}

int twice(int number) { return 2 * number; }
void throws(const std::string& text) { throw std::runtime_error(text); }

peal::task<> gives_results(peal::pool& pool) {
    int four = co_await peal::blocking(twice, 2);
    if (four != 4) throw std::logic_error("another result");
    if (peal::pool::current() != &pool) throw std::logic_error("resumed elsewhere");

    bool thrown = false;
    try {
        co_await peal::blocking(throws, "what it threw");
    } catch (const std::runtime_error& failure) {
        thrown = failure.what() == std::string("what it threw");
    }
    if (!thrown) throw std::logic_error("the exception was lost");

    std::thread::id where;
    auto note = [](std::thread::id& at) { at = std::this_thread::get_id(); };
    co_await peal::blocking(note, std::ref(where));
    if (where == std::this_thread::get_id()) throw std::logic_error("ran on a worker");

    auto pass_on = [](std::unique_ptr<int> given) { return given; };
    auto given = std::make_unique<int>(5);
    auto back = co_await peal::blocking(pass_on, std::move(given));
    if (!back || *back != 5) throw std::logic_error("a value that can only be moved was lost");

    auto value_of = [](const tracked& kept) { return kept.value(); };
    tracked argument(6);
    int six = co_await peal::blocking(value_of, argument);
    if (six != 6) throw std::logic_error("an argument was lost");
}

}  // namespace

TEST_CASE("blocking: gives the result or the exception of the function, and resumes on the pool") {
    {
        peal::pool pool(with_threads(2));
        for (int i = 0; i < 100; ++i) pool.run(gives_results, pool);
    }
    CHECK(tracked::clean());
}

TEST_CASE("blocking: so many calls run at the same time as there may be threads, in order of arrival") {
    peal::pool pool(with_threads(3));
    std::atomic<int> running{0};
    std::atomic<int> most{0};
    auto give_up = std::chrono::steady_clock::now() + 60s;  // a guard against hanging
    auto call = [&] {
        int now = running.fetch_add(1) + 1;
        int before = most.load();
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        // The first ones stay until there are three; then all go through.
        while (most.load() < 3 && std::chrono::steady_clock::now() < give_up) std::this_thread::sleep_for(1ms);
        running.fetch_sub(1);
    };
    auto calls = [&]() -> peal::task<> { co_await peal::blocking(std::ref(call)); };
    auto all = [&]() -> peal::task<> {
        peal::scope tasks;
        for (int i = 0; i < 30; ++i) tasks.spawn(std::ref(calls));
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    CHECK(most.load() == 3);
    CHECK(support::threads_named("b/calls").size() == 3);
}

TEST_CASE("blocking: a call that waits for its thread and is canceled never begins") {
    peal::pool pool(with_threads(1));
    gate door;
    std::atomic<bool> begun{false};
    auto blocks = [&] { door.pass(); };
    auto begins = [&] { begun = true; };
    std::string order;
    auto notes = [&order](char who) { order += who; };
    auto first = [&]() -> peal::task<> { co_await peal::blocking(std::ref(blocks)); };
    auto second = [&]() -> peal::task<> { co_await peal::blocking(std::ref(begins)); };
    auto later = [&](char who) -> peal::task<> { co_await peal::blocking(std::ref(notes), who); };
    int canceled = 0;
    auto all = [&]() -> peal::task<> {
        auto running = peal::spawn(std::ref(first));
        co_await peal::sleep_for(5ms);
        auto a = peal::spawn(std::ref(later), 'a');
        co_await peal::sleep_for(5ms);
        auto waiting = peal::spawn(std::ref(second));
        co_await peal::sleep_for(5ms);
        auto b = peal::spawn(std::ref(later), 'b');
        co_await peal::sleep_for(5ms);
        waiting.request_stop();
        try {
            co_await waiting;  // does not wait for the thread
        } catch (const std::system_error& failure) {
            canceled += peal::is_canceled(failure);
        }
        auto late = peal::spawn(std::ref(second));
        late.request_stop();
        try {
            co_await late;
        } catch (const std::system_error& failure) {
            canceled += peal::is_canceled(failure);
        }
        door.open();
        co_await running;
        co_await a;
        co_await b;
    };
    pool.run(std::ref(all));
    CHECK(canceled == 2);
    CHECK_FALSE(begun.load());
    CHECK(order == "ab");
}

TEST_CASE("blocking: a function that runs is told to stop, and waited for") {
    peal::pool pool(with_threads(2));
    auto until_told = [](std::stop_token told, int result) {
        while (!told.stop_requested()) std::this_thread::sleep_for(100us);
        std::this_thread::sleep_for(2ms);
        return result;
    };
    auto calls = [&]() -> peal::task<int> { co_return co_await peal::blocking(std::ref(until_told), 7); };
    gate door;
    auto ignores = [&] { door.pass(); };
    auto stubborn = [&]() -> peal::task<int> {
        co_await peal::blocking(std::ref(ignores));
        co_return 8;
    };
    int results = 0;
    bool waited = false;
    auto all = [&]() -> peal::task<> {
        auto running = peal::spawn(std::ref(calls));
        auto other = peal::spawn(std::ref(stubborn));
        co_await peal::sleep_for(10ms);
        running.request_stop();
        results += co_await running;  // what it gave, although it was told to stop
        other.request_stop();
        co_await peal::sleep_for(5ms);
        waited = !other.has_ended();
        door.open();
        results += co_await other;
    };
    pool.run(std::ref(all));
    CHECK(results == 15);
    CHECK(waited);
}

TEST_CASE("blocking: a stop that races with the begin of a call: it runs once, or never") {
    std::atomic<int> runs{0};
    int runs_before = 0;
    auto call = [&] {
        support::spin_for(5us);
        runs.fetch_add(1);
    };
    auto seen = support::race_with_stop(
        2000, [&] { runs_before = runs.load(); },
        [&]() -> peal::task<bool> {
            try {
                co_await peal::blocking(std::ref(call));
            } catch (const std::system_error&) {
                co_return false;
            }
            co_return true;
        },
        [] {},
        [&](bool got, support::verdict& found) {
            found.expect(runs.load() - runs_before == (got ? 1 : 0), "ran although it was canceled, or did not run");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("blocking: functions that throw cost no thread") {
    peal::pool pool(with_threads(2));
    std::atomic<int> caught{0};
    auto calls = [&]() -> peal::task<> {
        try {
            co_await peal::blocking(throws, "again");
        } catch (const std::runtime_error&) {
            caught.fetch_add(1);
        }
    };
    std::atomic<int> together{0};
    auto meets = [&] {  // needs both threads at the same time
        together.fetch_add(1);
        for (int i = 0; i < 20'000 && together.load() < 2; ++i) std::this_thread::sleep_for(1ms);
    };
    auto meeting = [&]() -> peal::task<> { co_await peal::blocking(std::ref(meets)); };
    auto all = [&]() -> peal::task<> {
        {
            peal::scope tasks;
            for (int i = 0; i < 200; ++i) tasks.spawn(std::ref(calls));
            co_await tasks.join();
        }
        peal::scope tasks;
        tasks.spawn(std::ref(meeting));
        tasks.spawn(std::ref(meeting));
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    CHECK(caught.load() == 200);
    CHECK(together.load() == 2);
}

TEST_CASE("blocking: calls that block keep nobody from names and folders") {
    support::temp_folder folder;
    support::put(folder / "a", "content");
    peal::pool pool(with_threads(2));
    gate door;
    auto blocks = [&] { door.pass(); };
    auto calls = [&]() -> peal::task<> { co_await peal::blocking(std::ref(blocks)); };
    std::size_t addresses = 0;
    std::size_t entries = 0;
    auto all = [&]() -> peal::task<> {
        peal::scope tasks;
        for (int i = 0; i < 10; ++i) tasks.spawn(std::ref(calls));
        co_await peal::sleep_for(10ms);
        auto found = co_await peal::net::resolve("127.0.0.1", "80");
        addresses = found.size();
        peal::fs::directory_walk walk(folder.path());
        auto batch = co_await walk.next();
        entries = batch.size();
        door.open();
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    CHECK(addresses == 1);
    CHECK(entries == 2);  // the folder itself, and what is in it
}

TEST_CASE("blocking: a pool that ends waits for calls that run, those that wait are canceled") {
    std::atomic<int> runs{0};
    std::atomic<int> canceled{0};
    gate door;
    auto blocks = [&] {
        door.pass();
        runs.fetch_add(1);
    };
    auto calls = [&]() -> peal::task<> {
        try {
            co_await peal::blocking(std::ref(blocks));
        } catch (const std::system_error&) {
            canceled.fetch_add(1);
        }
    };
    {
        peal::pool pool(with_threads(1));
        for (int i = 0; i < 3; ++i) pool.spawn(std::ref(calls));
        while (support::threads_named("b/calls").empty()) std::this_thread::sleep_for(1ms);
        std::thread opens([&] {
            while (canceled.load() < 2) std::this_thread::sleep_for(1ms);
            door.open();
        });
        auto report = pool.shutdown(20ms, 20s);
        opens.join();
        CHECK(report.not_stopped.empty());
    }
    CHECK(runs.load() == 1);
    CHECK(canceled.load() == 2);
}

TEST_CASE("blocking: outside a pool it is a broken contract") {
    auto seen = support::death_of([] {
        auto calls = []() -> peal::task<int> { co_return co_await peal::blocking(twice, 2); };
        static_cast<void>(peal::sync_wait(calls()));
    });
    CHECK(seen.says("on a thread that is no worker"));
}
