// SPDX-License-Identifier: MIT

#include <peal/task/stop_token.hpp>

#include <memory>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/sync/channel.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

peal::task<int> gives_after(std::chrono::milliseconds pause, int value) {
    co_await peal::sleep_for(pause);
    co_return value;
}

peal::task<int> fails() {
    co_await peal::sleep_for(1ms);
    throw std::runtime_error("of its own");
}

peal::task<> without_a_stop(peal::pool&) {
    std::stop_source source;
    int got = co_await peal::with_stop_token(source.get_token(), gives_after(1ms, 3));
    CHECK(got == 3);
    got = co_await peal::with_stop_token(std::stop_token(), gives_after(1ms, 4));  // nobody can stop that
    CHECK(got == 4);
    co_await peal::with_stop_token(source.get_token(), peal::sleep_for(1ms));
    bool thrown = false;
    try {
        static_cast<void>(co_await peal::with_stop_token(source.get_token(), fails()));
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    CHECK(thrown);
    source.request_stop();  // too late for all of them
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(peal::this_task::stop_requested());
}

peal::task<int> waits(std::stop_token token, std::chrono::milliseconds time) {
    try {
        co_return co_await peal::with_stop_token(token, gives_after(time, 1));
    } catch (const std::system_error& failure) {
        CHECK(peal::is_canceled(failure));
    }
    co_await peal::sleep_for(1ms);  // the stop was for that part only
    co_return -1;
}

peal::task<> stopped(peal::pool&) {
    auto started = peal::clock::now();
    std::stop_source source;
    auto waiting = peal::spawn(waits, source.get_token(), 3'600'000ms);
    co_await peal::sleep_for(1ms);
    source.request_stop();
    int outcome = co_await waiting;
    CHECK(outcome == -1);
    outcome = co_await waits(source.get_token(), 3'600'000ms);  // told before it began
    CHECK(outcome == -1);
    peal::event happened;
    happened.set();
    co_await peal::with_stop_token(source.get_token(), happened.wait());  // need not wait
    CHECK(peal::clock::now() - started < 1s);
}

peal::task<> stopped_from_outside(peal::pool&) {
    std::stop_source source;
    auto wait_only = [](std::stop_token token) -> peal::task<> {
        co_await peal::with_stop_token(token, peal::sleep_for(1h));
    };
    for (auto pause : {0ms, 1ms}) {
        auto waiting = peal::spawn(wait_only, source.get_token());
        if (pause != 0ms) co_await peal::sleep_for(pause);
        waiting.request_stop();
        bool canceled = false;
        try {
            co_await waiting;
        } catch (const std::system_error& failure) {
            canceled = peal::is_canceled(failure);
        }
        CHECK(canceled);
    }
}

peal::task<> stops_itself(peal::pool&) {
    std::stop_source source;
    auto stop_from_within = [](std::stop_source& own) -> peal::task<> {
        own.request_stop();
        co_await peal::sleep_for(1h);
    };
    bool canceled = false;
    try {
        co_await peal::with_stop_token(source.get_token(), stop_from_within(source));
    } catch (const std::system_error& failure) {
        canceled = peal::is_canceled(failure);
    }
    CHECK(canceled);
}

}  // namespace

TEST_CASE("with_stop_token: gives the value or the exception when nobody stops it") { support::in_simulations(without_a_stop); }

TEST_CASE("with_stop_token: a token that is told to stop ends what is awaited, and no more") { support::in_simulations(stopped); }

TEST_CASE("with_stop_token: a stop of the task reaches what is awaited") { support::in_simulations(stopped_from_outside); }

TEST_CASE("with_stop_token: what is awaited may tell its own token") { support::in_simulations(stops_itself); }

TEST_CASE("with_stop_token: a token told by a thread, at about the moment of the end, loses no item") {
    peal::channel<int> items(1);
    std::unique_ptr<std::stop_source> source;
    constexpr int rounds = 500;  // each makes a thread
    int served = 0;
    int canceled = 0;
    std::string complaints;
    {
        peal::pool pool(peal::pool_options(2));
        auto receives = [&](std::stop_token token) -> peal::task<bool> {
            try {
                auto item = co_await peal::with_stop_token(token, items.receive());
                co_return item.has_value();
            } catch (const std::system_error&) {
            }
            co_return false;
        };
        for (int i = 0; i < rounds; ++i) {
            support::lots random(static_cast<std::uint64_t>(i));
            source = std::make_unique<std::stop_source>();
            auto waiting = pool.spawn(std::ref(receives), source->get_token());
            std::jthread stops([&] {
                support::spin_for(std::chrono::nanoseconds(random.below(20'000)));
                source->request_stop();
            });
            support::spin_for(std::chrono::nanoseconds(30'000 + i % 64 * 1000));
            bool is_sent = items.try_send(i) == peal::send_outcome::sent;
            auto join = [&]() -> peal::task<bool> { co_return co_await waiting; };
            bool got = peal::sync_wait(join());
            stops.join();
            ++(got ? served : canceled);
            bool is_left = items.try_receive().has_value();
            if (is_sent != (got || is_left)) complaints += "an item was lost\n";
            if (got && is_left) complaints += "an item came twice\n";
        }
    }
    CHECK(complaints == "");
    CHECK(served + canceled == rounds);
}
