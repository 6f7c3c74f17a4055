// SPDX-License-Identifier: MIT

#include <peal/sync/channel.hpp>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sync/mutex.hpp>
#include <peal/sync/oneshot.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

enum class ended { with_item, with_nothing, by_cancel };

peal::task<ended> outcome_of_receive(peal::channel<int>& from) {
    auto got = co_await peal::as_result(from.receive());
    if (!got) {
        CHECK(got.error().is_canceled());
        co_return ended::by_cancel;
    }
    if (got.value()) co_return ended::with_item;
    co_return ended::with_nothing;
}

enum class sent { yes, closed, canceled };

peal::task<sent> outcome_of_send(peal::channel<int>& to, int item) {
    auto done = co_await peal::as_result(to.send(item));
    if (done) co_return sent::yes;
    if (done.error().is_canceled()) co_return sent::canceled;
    CHECK(done.error().code() == std::errc::broken_pipe);
    co_return sent::closed;
}

peal::task<> sends(peal::channel<int>& to, int first, int last) {
    for (int i = first; i < last; ++i) co_await to.send(i);
}

peal::task<> receives_one(peal::channel<int>& from, std::vector<int>& order, int number) {
    auto item = co_await from.receive();
    if (item) order.push_back(number * 100 + *item);
}

// ---- without waiting ------------------------------------------------------------------------------------------------------------

peal::task<> keeps_so_many(peal::pool&) {
    peal::channel<std::unique_ptr<int>> jobs(3);
    CHECK(jobs.capacity() == 3);
    CHECK(jobs.size() == 0);
    for (int round = 0; round < 4; ++round) {  // the ring turns
        for (int i = 0; i < 3; ++i) co_await jobs.send(std::make_unique<int>(i));
        CHECK(jobs.size() == 3);
        auto more = std::make_unique<int>(3);
        CHECK(jobs.try_send(more) == peal::send_outcome::full);
        CHECK(more != nullptr);  // still ours
        for (int i = 0; i < 2; ++i) {
            auto item = co_await jobs.receive();
            bool fits = item && **item == i;
            CHECK(fits);
        }
        CHECK(jobs.try_send(more) == peal::send_outcome::sent);
        CHECK(more == nullptr);
        for (int i = 2; i < 4; ++i) {
            auto item = jobs.try_receive();
            bool fits = item && **item == i;
            CHECK(fits);
        }
        CHECK_FALSE(jobs.try_receive().has_value());
    }
    jobs.close();
    auto late = std::make_unique<int>(9);
    CHECK(jobs.try_send(late) == peal::send_outcome::closed);
    CHECK(late != nullptr);
}

peal::task<> without_bound(peal::pool&) {
    peal::unbounded_channel<int> items;
    for (int i = 0; i < 1000; ++i) CHECK(items.send(i));
    CHECK(items.size() == 1000);
    for (int i = 0; i < 500; ++i) {
        auto item = co_await items.receive();
        CHECK(item == i);
    }
    items.close();
    CHECK(items.is_closed());
    CHECK_FALSE(items.send(0));
    for (int i = 500; i < 1000; ++i) {
        auto item = items.try_receive();
        CHECK(item == i);
    }
    auto end = co_await items.receive();
    CHECK_FALSE(end.has_value());
}

// ---- order ----------------------------------------------------------------------------------------------------------------------

peal::task<> receivers_in_order(peal::pool&) {
    for (std::size_t capacity : {0u, 1u, 4u}) {
        peal::channel<int> items(capacity);
        std::vector<int> order;
        peal::scope tasks;
        for (int i = 0; i < 4; ++i) {
            tasks.spawn(receives_one, std::ref(items), std::ref(order), i);
            co_await peal::sleep_for(1ms);
        }
        for (int i = 0; i < 4; ++i) {
            co_await items.send(i);
            co_await peal::sleep_for(1ms);
        }
        co_await tasks.join();
        CHECK(order == std::vector<int>{0, 101, 202, 303});
    }
}

peal::task<> senders_in_order(peal::pool&) {
    for (std::size_t capacity : {0u, 1u, 4u}) {
        peal::channel<int> items(capacity);
        peal::scope tasks;
        for (int i = 0; i < 8; ++i) {
            tasks.spawn(outcome_of_send, std::ref(items), i);
            co_await peal::sleep_for(1ms);
        }
        CHECK(items.size() == capacity);
        for (int i = 0; i < 8; ++i) {
            auto item = items.try_receive();
            CHECK(item == i);
        }
        CHECK_FALSE(items.try_receive().has_value());
        co_await tasks.join();
    }
}

peal::task<> hands_over(peal::pool&) {
    peal::channel<int> items(0);
    CHECK(items.try_send(1) == peal::send_outcome::full);
    auto sending = peal::spawn(outcome_of_send, std::ref(items), 7);
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(sending.has_ended());  // until it is received
    auto item = co_await items.receive();
    CHECK(item == 7);
    sent how = co_await sending;
    CHECK(how == sent::yes);
    auto receiving = peal::spawn(outcome_of_receive, std::ref(items));
    co_await peal::sleep_for(1ms);
    CHECK(items.try_send(1) == peal::send_outcome::sent);
    ended end = co_await receiving;
    CHECK(end == ended::with_item);
}

// ---- close ----------------------------------------------------------------------------------------------------------------------

peal::task<> closes(peal::pool&) {
    {
        peal::channel<int> items(2);
        co_await items.send(1);
        co_await items.send(2);
        auto waits = peal::spawn(outcome_of_send, std::ref(items), 3);
        co_await peal::sleep_for(1ms);
        items.close();
        items.close();
        sent how = co_await waits;
        CHECK(how == sent::closed);
        how = co_await outcome_of_send(items, 4);
        CHECK(how == sent::closed);
        auto one = co_await items.receive();  // what was sent before can still be had
        auto two = co_await items.receive();
        auto end = co_await items.receive();
        auto still = items.try_receive();
        CHECK(one == 1);
        CHECK(two == 2);
        CHECK_FALSE(end.has_value());
        CHECK_FALSE(still.has_value());
        bool thrown = false;
        try {
            co_await items.send(5);
        } catch (const std::system_error& failure) {
            thrown = failure.code() == std::errc::broken_pipe;
        }
        CHECK(thrown);
    }
    peal::channel<int> empty(1);
    auto first = peal::spawn(outcome_of_receive, std::ref(empty));
    auto second = peal::spawn(outcome_of_receive, std::ref(empty));
    co_await peal::sleep_for(1ms);
    empty.close();
    ended a = co_await first;
    ended b = co_await second;
    CHECK(a == ended::with_nothing);
    CHECK(b == ended::with_nothing);
}

// ---- cancellation ---------------------------------------------------------------------------------------------------------------

peal::task<> canceled_receiver(peal::pool&) {
    for (std::size_t capacity : {0u, 2u}) {
        peal::channel<int> items(capacity);
        auto canceled = peal::spawn(outcome_of_receive, std::ref(items));
        co_await peal::sleep_for(1ms);
        auto next = peal::spawn(outcome_of_receive, std::ref(items));
        co_await peal::sleep_for(1ms);
        canceled.request_stop();
        co_await items.send(1);
        ended first = co_await canceled;
        ended second = co_await next;
        CHECK(first == ended::by_cancel);
        CHECK(second == ended::with_item);
    }
}

peal::task<> canceled_sender(peal::pool&) {
    for (std::size_t capacity : {0u, 1u}) {
        peal::channel<int> items(capacity);
        if (capacity == 1) co_await items.send(0);
        auto canceled = peal::spawn(outcome_of_send, std::ref(items), 1);
        co_await peal::sleep_for(1ms);
        auto next = peal::spawn(outcome_of_send, std::ref(items), 2);
        co_await peal::sleep_for(1ms);
        canceled.request_stop();
        sent first = co_await canceled;
        CHECK(first == sent::canceled);
        if (capacity == 1) {
            auto item = co_await items.receive();
            CHECK(item == 0);
        }
        auto item = co_await items.receive();
        CHECK(item == 2);
        sent second = co_await next;
        CHECK(second == sent::yes);
        CHECK_FALSE(items.try_receive().has_value());
    }
}

peal::task<> items_end_once(peal::pool&) {
    {
        peal::channel<tracked> items(2);
        co_await items.send(tracked(1));
        co_await items.send(tracked(2));
        auto waits = [](peal::channel<tracked>& to) -> peal::task<> {
            auto ignored = co_await peal::as_result(to.send(tracked(3)));
        };
        auto waiting = peal::spawn(waits, std::ref(items));
        co_await peal::sleep_for(1ms);
        waiting.request_stop();
        co_await waiting;
        auto item = co_await items.receive();
        CHECK(item->value() == 1);
        co_await items.send(tracked(4));
    }  // destroyed with two items in it
    {
        peal::unbounded_channel<tracked> items;
        CHECK(items.send(tracked(1)));
        CHECK(items.send(tracked(2)));
        auto item = items.try_receive();
        CHECK(item->value() == 1);
    }
    CHECK(tracked::alive() == 0);
}

}  // namespace

TEST_CASE("channel: keeps as many items as it has room for, first in, first out") { support::in_simulations(keeps_so_many); }

TEST_CASE("unbounded_channel: sending never waits, until it is closed") { support::in_simulations(without_bound, 3); }

TEST_CASE("channel: receivers are served in order of arrival") { support::in_simulations(receivers_in_order); }

TEST_CASE("channel: senders are served in order of arrival") { support::in_simulations(senders_in_order); }

TEST_CASE("channel: of capacity 0 each send waits for its receive") { support::in_simulations(hands_over); }

TEST_CASE("channel: closed, it gives what was sent before, then nothing; who waits to send has not sent") {
    support::in_simulations(closes);
}

TEST_CASE("channel: a canceled receiver takes nothing, the next one gets the item") { support::in_simulations(canceled_receiver); }

TEST_CASE("channel: a canceled sender has not sent, the next one has") { support::in_simulations(canceled_sender); }

TEST_CASE("channel: every item is destroyed once, wherever it was") {
    support::in_simulations(items_end_once);
    CHECK(tracked::clean());
}

// ---- races ----------------------------------------------------------------------------------------------------------------------

TEST_CASE("channel: a stop of the receiver that races with an item loses none") {
    for (std::size_t capacity : {0u, 1u}) {
        peal::channel<int> items(capacity);
        std::optional<int> received;
        int next = 0;
        bool is_sent = false;
        auto seen = support::race_with_stop(
            3000, [&] { received.reset(); },
            [&]() -> peal::task<bool> {
                auto got = co_await peal::as_result(items.receive());
                if (got) received = std::move(*got);
                co_return got.has_value();
            },
            [&] { is_sent = items.try_send(++next) == peal::send_outcome::sent; },
            [&](bool got, support::verdict& found) {
                std::optional<int> left = items.try_receive();
                if (got && !received) found.complain("nothing was received from an open channel");
                if (got && !left && !is_sent) found.complain("received what was not sent");
                if (got && received != next) found.complain("another item was received");
                if (got && left) found.complain("an item was received twice");
                if (!got && is_sent && left != next) found.complain("an item was lost");
                if (!got && !is_sent && left) found.complain("an item came from nowhere");
            });
        CHECK(seen.complaints == "");
        CHECK(seen.served > 0);
        CHECK(seen.canceled > 0);
    }
}

TEST_CASE("channel: a stop of the sender that races with its receiver loses no item and doubles none") {
    for (std::size_t capacity : {0u, 1u}) {
        peal::channel<int> items(capacity);
        std::optional<int> received;
        int number = 0;
        auto seen = support::race_with_stop(
            3000,
            [&] {
                ++number;
                if (capacity == 1) static_cast<void>(items.try_send(-1));
            },
            [&]() -> peal::task<bool> {
                auto done = co_await peal::as_result(items.send(number));
                co_return done.has_value();
            },
            [&] {
                received = items.try_receive();
                if (capacity == 1) received.reset();
            },
            [&](bool sent, support::verdict& found) {
                if (!received) received = items.try_receive();
                found.expect(received.has_value() == sent, sent ? "an item was lost" : "an item was received that was not sent");
                if (received) found.expect(*received == number, "another item was received");
                found.expect(!items.try_receive(), "an item came twice");
            });
        CHECK(seen.complaints == "");
        CHECK(seen.served > 0);
        CHECK(seen.canceled > 0);
    }
}

TEST_CASE("channel: a stop that races with close() ends the wait once") {
    std::unique_ptr<peal::channel<int>> items;
    auto seen = support::race_with_stop(
        3000, [&] { items = std::make_unique<peal::channel<int>>(1); },
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(items->receive());
            co_return got.has_value();
        },
        [&] { items->close(); }, [](bool, support::verdict&) {});
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

peal::task<> receives_in_its_frame(std::size_t capacity) {
    peal::channel<int> items(capacity);
    auto tell = [](peal::channel<int>& to) -> peal::task<> { co_await to.send(1); };
    auto told = peal::spawn(tell, std::ref(items));
    static_cast<void>(co_await items.receive());
    // A sender that waited for room or for us refers to the channel in its frame, and uses it no more.
}
peal::task<> of_capacity_0() { return receives_in_its_frame(0); }
peal::task<> of_capacity_1() { return receives_in_its_frame(1); }

peal::task<> closed_in_its_frame() {
    peal::channel<int> items(1);
    auto tell = [](peal::channel<int>& to) { to.close(); };
    peal::spawn(tell, std::ref(items));
    static_cast<void>(co_await items.receive());
}

peal::task<> try_sent_in_its_frame() {
    peal::channel<int> items(1);
    auto tell = [](peal::channel<int>& to) { static_cast<void>(to.try_send(1)); };
    peal::spawn(tell, std::ref(items));
    static_cast<void>(co_await items.receive());
}

}  // namespace

TEST_CASE("channel: may be destroyed once the last item was received, while the other side is still inside send() or close()") {
    support::many_times(10'000, of_capacity_0);
    support::many_times(10'000, of_capacity_1);
    support::many_times(10'000, closed_in_its_frame);
    support::many_times(10'000, try_sent_in_its_frame);
}

TEST_CASE("channel: joins tasks of two pools and threads of the program") {
    constexpr int count = 3000;
    for (std::size_t capacity : {0u, 8u}) {
        peal::channel<int> items(capacity);
        std::atomic<long> sum{0};
        std::atomic<int> received{0};
        {
            peal::pool a(peal::pool_options(2));
            peal::pool b(peal::pool_options(2));
            auto receives = [&]() -> peal::task<> {
                while (auto item = co_await items.receive()) {
                    sum.fetch_add(*item);
                    received.fetch_add(1);
                }
            };
            auto first = a.spawn(sends, std::ref(items), 0, count);
            auto second = b.spawn(sends, std::ref(items), count, 2 * count);
            a.spawn(std::ref(receives));
            b.spawn(std::ref(receives));
            std::thread sender([&] {
                for (int i = 2 * count; i < 2 * count + 300; ++i) items.blocking_send(i);
            });
            std::thread receiver([&] {
                while (auto item = items.blocking_receive()) {
                    sum.fetch_add(*item);
                    received.fetch_add(1);
                }
            });
            sender.join();
            auto until_sent = [&]() -> peal::task<> {
                co_await first;
                co_await second;
            };
            peal::sync_wait(until_sent());
            items.close();
            receiver.join();
            CHECK(a.shutdown(20s, 1s).drained);
            CHECK(b.shutdown(20s, 1s).drained);
        }
        long all = 2 * count + 300;
        CHECK(received.load() == all);
        CHECK(sum.load() == all * (all - 1) / 2);
    }
}

TEST_CASE("channel: its destruction while a task waits is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto items = std::make_unique<peal::channel<int>>(1);
            peal::spawn(outcome_of_receive, std::ref(*items));
            co_await peal::sleep_for(1ms);
            items.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}

TEST_CASE("channel: it stays where it is, as all that tasks wait with: given to a task by reference") {
    static_assert(!std::is_move_constructible_v<peal::channel<int>>);
    static_assert(!std::is_move_constructible_v<peal::unbounded_channel<int>>);
    static_assert(!std::is_move_constructible_v<peal::oneshot<int>>);
    static_assert(!std::is_move_constructible_v<peal::mutex>);
    auto sends = [](peal::channel<int>& to) -> peal::task<> { co_await to.send(7); };
    auto both = [&]() -> peal::task<int> {
        peal::channel<int> items(1);
        peal::scope tasks;
        tasks.spawn(sends, items);
        auto got = co_await items.receive();
        co_await tasks.join();
        co_return got.value_or(0);
    };
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(std::ref(both)) == 7);
}
