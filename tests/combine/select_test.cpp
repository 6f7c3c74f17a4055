// SPDX-License-Identifier: MIT

#include <peal/combine/select.hpp>

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sync/broadcast.hpp>
#include <peal/sync/channel.hpp>
#include <peal/sync/event.hpp>
#include <peal/sync/mutex.hpp>
#include <peal/sync/oneshot.hpp>
#include <peal/sync/semaphore.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

// ---- exactly one ----------------------------------------------------------------------------------------------------------------

peal::task<> takes_one(peal::pool&) {
    peal::channel<int> a(4);
    peal::channel<std::string> b(4);
    co_await a.send(1);
    co_await b.send("one");
    for (int i = 0; i < 2; ++i) {
        auto got = co_await peal::select(a.receive(), b.receive(), peal::sleep_for(1h));
        // What was not taken is still there.
        CHECK(a.size() + b.size() == static_cast<std::size_t>(1 - i));
        if (got.index == 0) {
            CHECK(std::get<0>(got.value) == 1);
            CHECK(a.size() == 0);
        } else {
            CHECK(got.index == 1);
            CHECK(std::get<1>(got.value) == "one");
            CHECK(b.size() == 0);
        }
    }
}

peal::task<> sends_one(peal::pool&) {
    peal::channel<int> a(4);
    peal::channel<int> b(4);
    for (int i = 0; i < 4; ++i) {
        auto got = co_await peal::select(a.send(i), b.send(i));
        CHECK(got.value.index() == got.index);
        CHECK(a.size() + b.size() == static_cast<std::size_t>(i + 1));
    }
}

peal::task<> sends_later(peal::channel<int>& to, std::chrono::milliseconds pause, int item) {
    co_await peal::sleep_for(pause);
    co_await to.send(item);
}

peal::task<> waits_for_one(peal::pool&) {
    for (std::size_t capacity : {0u, 1u}) {
        peal::channel<int> a(capacity);
        peal::channel<int> b(capacity);
        peal::scope tasks;
        tasks.spawn(sends_later, std::ref(a), 2ms, 1);
        tasks.spawn(sends_later, std::ref(b), 1ms, 2);
        auto first = co_await peal::select(a.receive(), b.receive());
        CHECK(first.index == 1);
        CHECK(std::get<1>(first.value) == 2);
        auto second = co_await peal::select(a.receive(), b.receive());
        CHECK(second.index == 0);
        CHECK(std::get<0>(second.value) == 1);
        co_await tasks.join();
        CHECK(a.size() + b.size() == 0);
    }
}

peal::task<> gives_up_in_time(peal::pool&) {
    peal::channel<int> items(0);
    auto started = peal::clock::now();
    for (int i = 0; i < 3; ++i) {
        auto got = co_await peal::select(items.receive(), items.receive(), peal::sleep_for(5ms));
        CHECK(got.index == 2);
    }
    CHECK(peal::clock::now() - started >= 15ms);
    CHECK(peal::clock::now() - started < 20ms);
    CHECK(items.try_send(1) == peal::send_outcome::full);  // nobody has stayed in the line
    auto done = co_await peal::select(peal::sleep_for(0s), items.receive());
    CHECK(done.index == 0);
}

peal::task<> takes_turns(peal::pool&) {
    peal::channel<int> a(1000);
    peal::channel<int> b(1000);
    peal::channel<int> c(1000);
    for (int i = 0; i < 900; ++i) {
        co_await a.send(i);
        co_await b.send(i);
        co_await c.send(i);
    }
    std::array<int, 3> times{};
    for (int i = 0; i < 900; ++i) {
        auto got = co_await peal::select(a.receive(), b.receive(), c.receive());
        ++times[got.index];
    }
    for (int each : times) CHECK(each >= 200);  // 300 each, but for moves between workers
    CHECK(a.size() + b.size() + c.size() == 1800);
}

peal::task<> closed_channel(peal::pool&) {
    peal::channel<int> open(1);
    peal::channel<int> closed(1);
    closed.close();
    auto got = co_await peal::select(open.receive(), closed.receive());
    CHECK(got.index == 1);
    CHECK_FALSE(std::get<1>(got.value).has_value());

    co_await open.send(1);  // full
    bool thrown = false;
    try {
        static_cast<void>(co_await peal::select(open.send(2), closed.send(2)));
    } catch (const std::system_error& failure) {
        thrown = failure.code() == std::errc::broken_pipe;
    }
    CHECK(thrown);
    CHECK(open.size() == 1);

    // Closed while it waits.
    peal::channel<int> other(0);
    auto closes = [](peal::channel<int>& which) -> peal::task<> {
        co_await peal::sleep_for(1ms);
        which.close();
    };
    peal::scope tasks;
    tasks.spawn(closes, std::ref(other));
    auto end = co_await peal::select(other.receive(), other.receive());
    bool is_nothing = end.index == 0 ? !std::get<0>(end.value) : !std::get<1>(end.value);
    CHECK(is_nothing);
    co_await tasks.join();
}

// ---- the same channel on both sides ---------------------------------------------------------------------------------------------

peal::task<> exchanges(peal::channel<int>& items, int own, std::array<int, 2>& seen) {
    auto got = co_await peal::select(items.send(own), items.receive());
    if (got.index == 0) {
        ++seen[0];
    } else {
        ++seen[1];
        CHECK(std::get<1>(got.value) != own);
    }
}

peal::task<> send_and_receive_at_once(peal::pool&) {
    peal::channel<int> items(0);
    std::array<int, 2> seen{};
    peal::scope tasks;
    tasks.spawn(exchanges, std::ref(items), 0, std::ref(seen));
    co_await peal::sleep_for(1ms);
    CHECK(seen == std::array<int, 2>{0, 0});  // it does not serve itself
    tasks.spawn(exchanges, std::ref(items), 1, std::ref(seen));
    co_await tasks.join();
    CHECK(seen == std::array<int, 2>{1, 1});

    peal::channel<int> kept(1);
    auto got = co_await peal::select(kept.receive(), kept.send(5));  // empty: it can send only
    CHECK(got.index == 1);
    got = co_await peal::select(kept.receive(), kept.send(6));  // full: it can receive only
    CHECK(got.index == 0);
    CHECK(kept.size() == 0);
}

peal::task<> all_find_a_partner(peal::pool&) {
    peal::channel<int> items(0);
    std::array<int, 2> seen{};
    peal::scope tasks;
    for (int i = 0; i < 20; ++i) tasks.spawn(exchanges, std::ref(items), i, std::ref(seen));
    co_await tasks.join();
    CHECK(seen == std::array<int, 2>{10, 10});
}

// ---- stopped, failed ------------------------------------------------------------------------------------------------------------

peal::task<int> selects(peal::channel<int>& a, peal::channel<int>& b) {
    try {
        auto got = co_await peal::select(a.receive(), b.send(1), peal::sleep_for(1h));
        co_return static_cast<int>(got.index);
    } catch (const std::system_error& failure) {
        CHECK(peal::is_canceled(failure));
        co_return -1;
    }
}

peal::task<> stopped_from_outside(peal::pool&) {
    peal::channel<int> a(0);
    peal::channel<int> b(0);
    for (auto pause : {0ms, 1ms}) {  // before it began, and while it waits
        auto waiting = peal::spawn(selects, std::ref(a), std::ref(b));
        if (pause != 0ms) co_await peal::sleep_for(pause);
        waiting.request_stop();
        int outcome = co_await waiting;
        CHECK(outcome == -1);
    }
    CHECK(a.try_send(1) == peal::send_outcome::full);
    CHECK_FALSE(b.try_receive().has_value());
}

peal::task<int> fails_after(std::chrono::milliseconds pause) {
    co_await peal::sleep_for(pause);
    throw std::runtime_error("alternative");
}

peal::task<int> receives_two(peal::channel<int>& from) {
    auto one = co_await from.receive();
    auto two = co_await from.receive();
    co_return *one * 10 + *two;
}

peal::task<> tasks_as_alternatives(peal::pool&) {
    peal::channel<int> items(2);
    bool thrown = false;
    try {
        static_cast<void>(co_await peal::select(items.receive(), fails_after(1ms)));
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    CHECK(thrown);

    // The first item decides: the timer that comes before the second is too late.
    peal::scope tasks;
    co_await items.send(4);
    tasks.spawn(sends_later, std::ref(items), 20ms, 2);
    auto got = co_await peal::select(receives_two(items), peal::sleep_for(10ms));
    CHECK(got.index == 0);
    CHECK(std::get<0>(got.value) == 42);
    co_await tasks.join();

    auto task_alone = receives_two(items);
    auto none = co_await peal::select(std::move(task_alone), peal::sleep_for(1ms));
    CHECK(none.index == 1);
}

// ---- other things ---------------------------------------------------------------------------------------------------------------

peal::task<> other_primitives(peal::pool&) {
    peal::mutex one;
    peal::semaphore limit(1);
    {
        auto held = co_await one.lock();
        auto got = co_await peal::select(one.lock(), limit.acquire());
        CHECK(got.index == 1);
        CHECK(limit.available() == 0);
    }
    CHECK(limit.available() == 1);
    CHECK(one.try_lock().has_value());
    for (int i = 0; i < 4; ++i) {
        auto got = co_await peal::select(one.lock(), limit.acquire());
        bool is_one_only = one.try_lock().has_value() != (limit.available() == 1);
        CHECK(is_one_only);
    }
    CHECK(limit.available() == 1);
    CHECK(one.try_lock().has_value());

    peal::event happened;
    peal::oneshot<int> answer;
    peal::broadcast<int> news(4);
    auto reader = news.subscribe();
    CHECK(answer.send(5));
    auto first = co_await peal::select(happened.wait(), answer.receive(), reader.receive());
    CHECK(first.index == 1);
    CHECK(std::get<1>(first.value) == 5);
    CHECK(news.send(7));
    auto second = co_await peal::select(happened.wait(), reader.receive());
    CHECK(second.index == 1);
    auto heard = std::get<1>(second.value);
    bool fits = heard && heard->item == 7 && heard->missed == 0;
    CHECK(fits);
    happened.set();
    CHECK(news.send(8));
    CHECK(news.send(9));
    int items = 0;
    int events = 0;
    while (items < 2) {
        auto got = co_await peal::select(happened.wait(), reader.receive());
        if (got.index == 0) {
            ++events;
        } else {
            ++items;
            CHECK(std::get<1>(got.value)->item == 7 + items);
            CHECK(std::get<1>(got.value)->missed == 0);
        }
        REQUIRE(events < 10);
    }
}

}  // namespace

TEST_CASE("select: of several that are ready one is received, the others stay where they are") { support::in_simulations(takes_one); }

TEST_CASE("select: of several that have room one gets the item") { support::in_simulations(sends_one); }

TEST_CASE("select: the first that happens is taken, the next one later") { support::in_simulations(waits_for_one); }

TEST_CASE("select: a timer as an alternative ends it, and nobody stays in the line") { support::in_simulations(gives_up_in_time); }

TEST_CASE("select: those that are always ready take turns") { support::in_simulations(takes_turns, 3); }

TEST_CASE("select: a closed channel gives nothing, and refuses what is sent") { support::in_simulations(closed_channel); }

TEST_CASE("select: send and receive on one channel serve others, not each other") {
    support::in_simulations(send_and_receive_at_once);
    support::in_simulations(all_find_a_partner);
}

TEST_CASE("select: stopped from outside nothing has happened") { support::in_simulations(stopped_from_outside); }

TEST_CASE("select: a task as an alternative fails it, or is decided by its first item") {
    support::in_simulations(tasks_as_alternatives);
}

TEST_CASE("select: mutexes, permits, events, broadcasts as alternatives: those not taken are as before") {
    support::in_simulations(other_primitives);
}

// ---- threads --------------------------------------------------------------------------------------------------------------------

TEST_CASE("select: a stop that races with an item on either of two channels loses none") {
    peal::channel<int> a(0);
    peal::channel<int> b(1);
    std::optional<int> received;
    int next = 0;
    std::array<bool, 2> is_sent{};
    auto seen = support::race_with_stop(
        3000, [&] { received.reset(); },
        [&]() -> peal::task<bool> {
            try {
                auto got = co_await peal::select(a.receive(), b.receive());
                if (got.index == 0) {
                    received = std::get<0>(got.value);
                } else {
                    received = std::get<1>(got.value);
                }
            } catch (const std::system_error&) {
                co_return false;
            }
            co_return true;
        },
        [&] {
            is_sent[0] = a.try_send(++next) == peal::send_outcome::sent;
            is_sent[1] = b.try_send(++next) == peal::send_outcome::sent;
        },
        [&](bool got, support::verdict& found) {
            found.expect(received.has_value() == got, "served without an item");
            int sent = is_sent[0] + is_sent[1];
            int seen_items = received.has_value();
            while (a.try_receive()) ++seen_items;
            while (b.try_receive()) ++seen_items;
            found.expect(sent == seen_items, "an item was lost or doubled");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

/// Three channels; on both ends tasks that select among them. Each item is received exactly once.
class crossing {
  public:
    static constexpr int producers = 4;
    static constexpr int consumers = 3;
    static constexpr int each_sends = 4000;

    explicit crossing(std::size_t capacity) : one(capacity), two(capacity), three(capacity), seen(producers * each_sends) {}

    peal::task<> produces(int number) {
        for (int i = 0; i < each_sends; ++i) {
            int item = number * each_sends + i;
            auto got = co_await peal::select(one.send(item), two.send(item), three.send(item));
            sent[got.index].fetch_add(1, std::memory_order_relaxed);
        }
    }
    peal::task<> consumes() {
        for (;;) {
            auto got = co_await peal::select(one.receive(), two.receive(), three.receive());
            std::optional<int> item;
            if (got.index == 0) item = std::get<0>(got.value);
            if (got.index == 1) item = std::get<1>(got.value);
            if (got.index == 2) item = std::get<2>(got.value);
            if (!item) co_return;  // all are closed at once, and empty
            seen[static_cast<std::size_t>(*item)].fetch_add(1, std::memory_order_relaxed);
        }
    }

    peal::channel<int> one;
    peal::channel<int> two;
    peal::channel<int> three;
    std::array<std::atomic<int>, 3> sent{};
    std::vector<std::atomic<int>> seen;
};

peal::task<> crosses(crossing& all) {
    peal::scope senders;
    peal::scope receivers;
    for (int i = 0; i < crossing::producers; ++i) senders.spawn(&crossing::produces, &all, i);
    for (int i = 0; i < crossing::consumers; ++i) receivers.spawn(&crossing::consumes, &all);
    co_await senders.join();
    while (all.one.size() + all.two.size() + all.three.size() != 0) co_await peal::sleep_for(100us);
    all.one.close();
    all.two.close();
    all.three.close();
    co_await receivers.join();
}

}  // namespace

TEST_CASE("select: three alternatives on both ends, with real threads, lose no item and double none") {
    for (std::size_t capacity : {0u, 1u, 16u}) {
        crossing all(capacity);
        {
            peal::pool pool(peal::pool_options(4));
            pool.run(crosses, std::ref(all));
        }
        int wrong = 0;
        for (auto& each : all.seen) wrong += each.load() != 1;
        CHECK(wrong == 0);
        int sent = 0;
        for (auto& each : all.sent) {
            CHECK(each.load() > 0);
            sent += each.load();
        }
        CHECK(sent == crossing::producers * crossing::each_sends);
    }
}
