// SPDX-License-Identifier: MIT

#include <peal/sync/oneshot.hpp>

#include <memory>
#include <optional>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;

peal::task<> sent_first(peal::pool&) {
    peal::oneshot<std::unique_ptr<int>> answer;
    CHECK_FALSE(answer.try_receive().has_value());
    CHECK(answer.send(std::make_unique<int>(3)));
    CHECK(answer.is_closed());
    CHECK_FALSE(answer.send(std::make_unique<int>(4)));  // one
    auto got = co_await answer.receive();
    bool fits = got && **got == 3;
    CHECK(fits);
    auto none = co_await answer.receive();
    CHECK_FALSE(none.has_value());
    CHECK_FALSE(answer.send(std::make_unique<int>(5)));
}

peal::task<std::optional<int>> receives(peal::oneshot<int>& from) { co_return co_await from.receive(); }

peal::task<> awaited_first(peal::pool&) {
    {
        peal::oneshot<int> answer;
        auto waiting = peal::spawn(receives, std::ref(answer));
        co_await peal::sleep_for(1ms);
        CHECK(answer.send(3));
        auto got = co_await waiting;
        CHECK(got == 3);
    }
    peal::oneshot<int> nothing;
    auto waiting = peal::spawn(receives, std::ref(nothing));
    co_await peal::sleep_for(1ms);
    nothing.close();
    nothing.close();
    auto got = co_await waiting;
    CHECK_FALSE(got.has_value());
    CHECK_FALSE(nothing.send(1));
}

peal::task<> tries_again(peal::pool&) {
    peal::oneshot<int> answer;
    auto waiting = peal::spawn(receives, std::ref(answer));
    co_await peal::sleep_for(1ms);
    waiting.request_stop();
    bool canceled = false;
    try {
        static_cast<void>(co_await waiting);
    } catch (const std::system_error& failure) {
        canceled = peal::is_canceled(failure);
    }
    CHECK(canceled);
    CHECK(answer.send(4));
    auto got = co_await answer.receive();
    CHECK(got == 4);
}

peal::task<> never_received(peal::pool&) {
    {
        peal::oneshot<support::tracked> answer;
        CHECK(answer.send(support::tracked(1)));
    }
    CHECK(support::tracked::alive() == 0);
    co_return;
}

}  // namespace

TEST_CASE("oneshot: gives one value, and then nothing") { support::in_simulations(sent_first); }

TEST_CASE("oneshot: who waits gets the value, or nothing when it is closed") { support::in_simulations(awaited_first); }

TEST_CASE("oneshot: a canceled receive has taken nothing and may be tried again") { support::in_simulations(tries_again); }

TEST_CASE("oneshot: a value that nobody receives is destroyed with it") {
    support::in_simulations(never_received, 1);
    CHECK(support::tracked::clean());
}

TEST_CASE("oneshot: a stop that races with the value loses none") {
    std::unique_ptr<peal::oneshot<int>> answer;
    bool is_sent = false;
    auto seen = support::race_with_stop(
        3000, [&] { answer = std::make_unique<peal::oneshot<int>>(); },
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(answer->receive());
            co_return got.has_value();
        },
        [&] { is_sent = answer->send(1); },
        [&](bool got, support::verdict& found) {
            found.expect(is_sent, "it was not sent");
            found.expect(answer->try_receive().has_value() == !got, "the value was lost or came twice");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

peal::task<> receives_in_its_frame() {
    peal::oneshot<int> answer;
    auto tell = [](peal::oneshot<int>& to) { static_cast<void>(to.send(1)); };
    peal::spawn(tell, std::ref(answer));
    static_cast<void>(co_await answer.receive());
}

}  // namespace

TEST_CASE("oneshot: may be destroyed once the value was received, while the other side is still inside send()") {
    support::many_times(20'000, receives_in_its_frame);
}

TEST_CASE("oneshot: brings a value from a thread to a task, and from a task to a thread") {
    peal::pool pool(peal::pool_options(1));
    for (int i = 0; i < 200; ++i) {
        peal::oneshot<int> there;
        peal::oneshot<int> back;
        auto answers = [](peal::oneshot<int>& from, peal::oneshot<int>& to) -> peal::task<> {
            auto got = co_await from.receive();
            to.send(*got + 1);
        };
        auto task = pool.spawn(answers, std::ref(there), std::ref(back));
        std::thread sender([&] { there.send(i); });
        auto got = back.blocking_receive();
        REQUIRE(got == i + 1);
        sender.join();
    }
}

TEST_CASE("oneshot: its destruction while a task waits is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto answer = std::make_unique<peal::oneshot<int>>();
            peal::spawn(receives, std::ref(*answer));
            co_await peal::sleep_for(1ms);
            answer.reset();
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("was destroyed while a task waits for it"));
}
