// SPDX-License-Identifier: MIT

#include <peal/sync/broadcast.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;

// ---- broadcast ------------------------------------------------------------------------------------------------------------------

peal::task<> hears(peal::broadcast<int>::subscriber reader, std::vector<int>& heard) {
    while (auto got = co_await reader.receive()) {
        heard.push_back(got->item);
        CHECK(got->missed == 0);
    }
}

peal::task<> to_everybody(peal::pool&) {
    peal::broadcast<int> news(4);
    CHECK(news.send(-1));  // to nobody
    std::vector<int> heard[3];
    peal::scope tasks;
    for (auto& each : heard) tasks.spawn(hears, news.subscribe(), std::ref(each));
    for (int i = 0; i < 10; ++i) {
        CHECK(news.send(i));
        co_await peal::sleep_for(1ms);
    }
    news.close();
    news.close();
    CHECK_FALSE(news.send(10));
    co_await tasks.join();
    for (auto& each : heard) CHECK(each == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

peal::task<> missed_items(peal::pool&) {
    peal::broadcast<int> news(4);
    auto reader = news.subscribe();
    int next = 0;
    for (int sent : {1, 3, 4, 5, 9, 100}) {
        int first = next;
        for (int i = 0; i < sent; ++i) CHECK(news.send(next++));
        int expected = std::max(first, next - 4);
        bool is_first = true;
        while (expected < next) {
            auto got = co_await reader.receive();
            REQUIRE(got.has_value());
            CHECK(got->item == expected);
            CHECK(got->missed == static_cast<std::uint64_t>(is_first ? expected - first : 0));
            ++expected;
            is_first = false;
        }
    }
}

peal::task<> after_close(peal::pool&) {
    peal::broadcast<std::string> news(2);
    auto reader = news.subscribe();
    CHECK(news.send("a"));
    CHECK(news.send("b"));
    CHECK(news.send("c"));
    news.close();
    auto late = news.subscribe();
    auto got = co_await reader.receive();
    bool fits = got && got->item == "b" && got->missed == 1;
    CHECK(fits);
    auto copy = reader;  // goes on from the same place by itself
    for (auto* each : {&reader, &copy}) {
        got = co_await each->receive();
        fits = got && got->item == "c" && got->missed == 0;
        CHECK(fits);
        got = co_await each->receive();
        CHECK_FALSE(got.has_value());
    }
    got = co_await late.receive();
    CHECK_FALSE(got.has_value());
}

peal::task<bool> outcome_of_receive(peal::broadcast<int>::subscriber& reader) {
    auto got = co_await peal::as_result(reader.receive());
    co_return got.has_value();
}

peal::task<> canceled(peal::pool&) {
    peal::broadcast<int> news(2);
    auto reader = news.subscribe();
    auto other = news.subscribe();
    auto waits = peal::spawn(outcome_of_receive, std::ref(reader));
    auto stays = peal::spawn(outcome_of_receive, std::ref(other));
    co_await peal::sleep_for(1ms);
    waits.request_stop();
    bool got = co_await waits;
    CHECK_FALSE(got);
    CHECK(news.send(1));
    got = co_await stays;
    CHECK(got);
    auto item = co_await reader.receive();  // it has missed nothing
    bool fits = item && item->item == 1 && item->missed == 0;
    CHECK(fits);
}

peal::task<> slots_are_destroyed(peal::pool&) {
    {
        peal::broadcast<support::tracked> news(3);
        auto reader = news.subscribe();
        for (int i = 0; i < 7; ++i) CHECK(news.send(support::tracked(i)));
        auto got = co_await reader.receive();
        CHECK(got->item.value() == 4);
    }
    CHECK(support::tracked::alive() == 0);
}

// ---- watch ----------------------------------------------------------------------------------------------------------------------

peal::task<> latest_value(peal::pool&) {
    peal::watch<int> setting(1);
    CHECK(setting.latest() == 1);
    auto reader = setting.subscribe();
    auto waiting = setting.subscribe(true);
    auto got = co_await reader.receive();
    CHECK(got == 1);
    auto next = [](peal::watch<int>::reader& from) -> peal::task<std::optional<int>> { co_return co_await from.receive(); };
    auto change = peal::spawn(next, std::ref(waiting));
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(change.has_ended());
    CHECK(setting.send(2));
    got = co_await change;
    CHECK(got == 2);
    CHECK(setting.send(3));
    CHECK(setting.send(4));
    got = co_await reader.receive();  // only the last
    CHECK(got == 4);
    CHECK(setting.latest() == 4);
    CHECK(setting.send(5));
    auto end = peal::spawn(next, std::ref(reader));
    got = co_await end;
    CHECK(got == 5);
    auto canceled = peal::spawn(next, std::ref(reader));
    co_await peal::sleep_for(1ms);
    canceled.request_stop();
    bool was_canceled = false;
    try {
        static_cast<void>(co_await canceled);
    } catch (const std::system_error& failure) {
        was_canceled = peal::is_canceled(failure);
    }
    CHECK(was_canceled);
    setting.close();
    CHECK_FALSE(setting.send(6));
    got = co_await reader.receive();
    CHECK_FALSE(got.has_value());
    got = co_await waiting.receive();  // what it has not seen yet it still gets
    CHECK(got == 5);
    got = co_await waiting.receive();
    CHECK_FALSE(got.has_value());
}

}  // namespace

TEST_CASE("broadcast: every subscriber gets every item, until it is closed") { support::in_simulations(to_everybody); }

TEST_CASE("broadcast: who is too far behind is told how many items he has missed") { support::in_simulations(missed_items, 2); }

TEST_CASE("broadcast: closed, it still gives what it keeps") { support::in_simulations(after_close); }

TEST_CASE("broadcast: a canceled receive takes nothing") { support::in_simulations(canceled); }

TEST_CASE("broadcast: what is overwritten is destroyed, and the rest with it") {
    support::in_simulations(slots_are_destroyed, 1);
    CHECK(support::tracked::clean());
}

TEST_CASE("watch: gives the latest value, and waits for a change") { support::in_simulations(latest_value); }

TEST_CASE("broadcast: a stop that races with an item loses none") {
    peal::broadcast<int> news(2);
    auto reader = news.subscribe();
    int number = 0;
    auto seen = support::race_with_stop(
        3000, [] {}, [&] { return outcome_of_receive(reader); }, [&] { static_cast<void>(news.send(++number)); },
        [&](bool got, support::verdict& found) -> peal::task<> {
            if (got) co_return;
            auto item = co_await reader.receive();
            found.expect(item && item->item == number && item->missed == 0, "another item, or one was missed");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

peal::task<> receives_in_its_frame() {
    peal::broadcast<int> news(1);
    auto reader = news.subscribe();
    auto tell = [](peal::broadcast<int>& to) { static_cast<void>(to.send(1)); };
    peal::spawn(tell, std::ref(news));
    static_cast<void>(co_await reader.receive());
}

peal::task<> closed_in_its_frame() {
    peal::watch<int> news(1);
    auto reader = news.subscribe(true);
    auto tell = [](peal::watch<int>& which) { which.close(); };
    peal::spawn(tell, std::ref(news));
    static_cast<void>(co_await reader.receive());
}

}  // namespace

TEST_CASE("broadcast: may be destroyed once an item was received, while the other side is still inside send() or close()") {
    support::many_times(10'000, receives_in_its_frame);
    support::many_times(10'000, closed_in_its_frame);
}

TEST_CASE("broadcast: with several senders and subscribers on two pools, received and missed add up to what was sent") {
    constexpr int senders = 3;
    constexpr int each_sends = 3000;
    peal::broadcast<int> news(16);
    std::atomic<int> left{senders};
    std::atomic<int> wrong{0};
    std::atomic<long> missed_in_all{0};
    auto sends = [&](int number) -> peal::task<> {
        for (int i = 0; i < each_sends; ++i) {
            static_cast<void>(news.send(number * each_sends + i));
            if (i % 32 == 0) co_await peal::yield();
        }
        if (left.fetch_sub(1) == 1) news.close();
    };
    auto hears_all = [&](peal::broadcast<int>::subscriber reader) -> peal::task<> {
        std::uint64_t received = 0;
        std::uint64_t missed = 0;
        int last[senders] = {-1, -1, -1};
        while (auto got = co_await reader.receive()) {
            ++received;
            missed += got->missed;
            int& before = last[got->item / each_sends];
            if (got->item <= before) wrong.fetch_add(1);  // per sender in order
            before = got->item;
        }
        if (received + missed != senders * each_sends) wrong.fetch_add(1);
        missed_in_all.fetch_add(static_cast<long>(missed));
    };
    {
        peal::pool a(peal::pool_options(2));
        peal::pool b(peal::pool_options(2));
        for (int i = 0; i < 3; ++i) {
            a.spawn(std::ref(hears_all), news.subscribe());
            b.spawn(std::ref(hears_all), news.subscribe());
        }
        for (int i = 0; i < senders; ++i) (i % 2 == 0 ? a : b).spawn(std::ref(sends), i);
        bool a_drained = a.shutdown(20s, 1s).drained;
        bool b_drained = b.shutdown(20s, 1s).drained;
        CHECK(a_drained);
        CHECK(b_drained);
    }
    CHECK(wrong.load() == 0);
}

TEST_CASE("broadcast: its destruction while a task waits, and a capacity of 0, are broken contracts") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto news = std::make_unique<peal::broadcast<int>>(2);
            auto reader = news->subscribe();
            peal::spawn(outcome_of_receive, std::ref(reader));
            co_await peal::sleep_for(1ms);
            news.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
    seen = support::death_of([] { peal::broadcast<int> none(0); });
    CHECK(seen.says("broadcast of capacity 0"));
}
