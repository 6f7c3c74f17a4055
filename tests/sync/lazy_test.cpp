// SPDX-License-Identifier: MIT

#include <peal/sync/lazy.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

peal::task<> done_by_one(peal::pool&) {
    peal::once first;
    int calls = 0;
    auto does = [&calls]() -> peal::task<> {
        co_await peal::sleep_for(1ms);
        ++calls;
    };
    auto needs = [&]() -> peal::task<> {
        co_await first.call(does);
        CHECK(calls == 1);  // who waits sees it done
    };
    CHECK_FALSE(first.is_done());
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(std::ref(needs));
    co_await tasks.join();
    CHECK(first.is_done());
    CHECK(calls == 1);
    co_await needs();

    peal::once plain;
    auto counts = [&calls] { ++calls; };
    co_await plain.call(counts);
    co_await plain.call(counts);
    CHECK(calls == 2);
}

peal::task<> fails_first(peal::pool&) {
    peal::once first;
    int calls = 0;
    auto does = [&calls]() -> peal::task<> {
        co_await peal::sleep_for(1ms);
        if (++calls == 1) throw std::runtime_error("once");
    };
    int failures = 0;
    auto needs = [&]() -> peal::task<> {
        try {
            co_await first.call(does);
        } catch (const std::runtime_error&) {
            ++failures;
        }
    };
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(std::ref(needs));
    co_await tasks.join();
    CHECK(first.is_done());
    CHECK(failures == 1);
    CHECK(calls == 2);
}

peal::task<> canceled_first(peal::pool&) {
    peal::once first;
    int calls = 0;
    auto does = [&calls]() -> peal::task<> {
        co_await peal::sleep_for(10ms);
        ++calls;
    };
    auto needs = [&]() -> peal::task<> { co_await first.call(does); };
    auto canceled = peal::spawn(std::ref(needs));
    co_await peal::sleep_for(1ms);
    auto next = peal::spawn(std::ref(needs));
    auto leaves = peal::spawn(std::ref(needs));
    co_await peal::sleep_for(1ms);
    leaves.request_stop();    // one who waits
    canceled.request_stop();  // the one who does it
    int ended_by_cancel = 0;
    for (auto* each : {&canceled, &next, &leaves}) {
        try {
            co_await *each;
        } catch (const std::system_error& failure) {
            ended_by_cancel += peal::is_canceled(failure);
        }
    }
    CHECK(ended_by_cancel == 2);
    CHECK(calls == 1);
    CHECK(first.is_done());
}

peal::task<> made_when_needed(peal::pool&) {
    int made = 0;
    auto make = [&made]() -> peal::task<std::unique_ptr<int>> {
        co_await peal::sleep_for(1ms);
        co_return std::make_unique<int>(++made);
    };
    peal::lazy<std::unique_ptr<int>> value(make);
    co_await peal::sleep_for(5ms);
    CHECK(made == 0);
    auto needs = [&]() -> peal::task<const void*> {
        auto& got = co_await value.get();
        CHECK(*got == 1);
        co_return got.get();
    };
    auto one = peal::spawn(std::ref(needs));
    auto two = peal::spawn(std::ref(needs));
    const void* a = co_await one;
    const void* b = co_await two;
    CHECK(a == b);
    CHECK(made == 1);
    auto plainly = [] { return std::string("plain"); };
    peal::lazy<std::string> plain(plainly);
    std::string& text = co_await plain.get();
    CHECK(text == "plain");
    text = "changed";
    std::string& again = co_await plain.get();
    CHECK(again == "changed");
}

peal::task<> made_again_after_failure(peal::pool&) {
    int tries = 0;
    auto make = [&tries]() -> int {
        if (++tries < 3) throw std::runtime_error("not yet");
        return tries;
    };
    peal::lazy<int> value(make);
    int failures = 0;
    for (int i = 0; i < 2; ++i) {
        try {
            static_cast<void>(co_await value.get());
        } catch (const std::runtime_error&) {
            ++failures;
        }
    }
    CHECK(failures == 2);
    int got = co_await value.get();
    CHECK(got == 3);
    got = co_await value.get();
    CHECK(got == 3);
}

}  // namespace

TEST_CASE("once: done by the first who needs it, while the others wait") { support::in_simulations(done_by_one); }

TEST_CASE("once: if it fails, the next one tries") { support::in_simulations(fails_first); }

TEST_CASE("once: if who does it is canceled, the next one does it; who waits may leave") { support::in_simulations(canceled_first); }

TEST_CASE("lazy: a value is made when it is first needed, once") { support::in_simulations(made_when_needed); }

TEST_CASE("lazy: a value that could not be made is tried again") { support::in_simulations(made_again_after_failure); }

TEST_CASE("lazy: with real threads a value is made once, and everybody sees all of it") {
    struct parts {
        long a = 0;
        long b = 0;
    };
    std::atomic<int> made{0};
    std::atomic<int> wrong{0};
    peal::pool pool(peal::pool_options(3));
    for (int round = 0; round < 500; ++round) {
        auto make = [&]() -> peal::task<parts> {
            made.fetch_add(1);
            co_await peal::yield();
            parts both;
            both.a = both.b = round + 1;
            co_return both;
        };
        peal::lazy<parts> value(make);
        auto needs = [&]() -> peal::task<> {
            parts& got = co_await value.get();
            if (got.a != round + 1 || got.b != round + 1) wrong.fetch_add(1);
        };
        auto all = [&]() -> peal::task<> {
            peal::scope tasks;
            for (int i = 0; i < 4; ++i) tasks.spawn(std::ref(needs));
            co_await tasks.join();
        };
        pool.run(std::ref(all));
    }
    CHECK(made.load() == 500);
    CHECK(wrong.load() == 0);
}
