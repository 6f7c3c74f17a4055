// SPDX-License-Identifier: MIT

// Tasks that keep their workers at random, by computing or by blocking, beside connections, timers, cancellations and hand-overs between workers: others stand
// in, owners come back in the middle of that, and nothing is lost. Every byte is checked by its position.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;

namespace {

class facts {
  public:
    support::verdict judged;
    std::atomic<std::uint64_t> kept{0}, bytes{0}, slept{0}, stopped{0}, handed{0};
};

/// Up to three patiences long, most of them not that long.
void keep_worker(support::dice& dice) {
    const auto length = std::chrono::microseconds(dice.below(dice.one_in(4) ? 4000 : 400));
    if (dice.one_in(2)) return std::this_thread::sleep_for(length);
    for (auto until = std::chrono::steady_clock::now() + length; std::chrono::steady_clock::now() < until;) {
    }
}

peal::task<> keeper(std::uint64_t seed, const support::stress_clock& clock, facts& seen) {
    support::dice dice(seed);
    while (clock.goes_on()) {
        keep_worker(dice);
        ++seen.kept;
        co_await peal::sleep_for(std::chrono::microseconds(dice.below(1500)));
    }
}

peal::task<> echo(peal::net::tcp_stream& stream) {
    std::vector<std::byte> buffer(4096);
    while (std::size_t bytes = co_await stream.read(buffer)) co_await stream.write_all(std::span(buffer).first(bytes));
}

peal::task<> receive_and_echo(peal::net::tcp_stream& stream) {
    peal::net::receiver incoming(stream);
    while (auto received = co_await incoming.receive()) co_await stream.write_all(received.bytes());
}

/// A connection, both ends on the pool; then another.
peal::task<> talk(std::uint64_t seed, const support::stress_clock& clock, facts& seen) {
    support::dice dice(seed);
    while (clock.goes_on()) {
        auto ends = support::local_pair();
        peal::scope both;
        if (dice.one_in(2)) {
            both.spawn(echo, std::ref(ends.first));
        } else {
            both.spawn(receive_and_echo, std::ref(ends.first));
        }
        std::vector<std::byte> back(2048);
        std::uint64_t position = 0;
        for (std::uint64_t rounds = dice.below(60); rounds != 0; --rounds) {
            std::vector<std::byte> part = support::pattern(1 + dice.below(back.size()), position);
            co_await ends.second.write_all(part);
            std::span<std::byte> wanted = std::span(back).first(part.size());
            std::size_t got = co_await ends.second.read_exactly(wanted);
            seen.judged.expect(got == part.size() && support::fits(wanted, position), "wrong bytes at " + std::to_string(position));
            position += part.size();
            seen.bytes += part.size();
            if (dice.one_in(4)) {
                auto reading = ends.second.read(back);  // nothing comes: the time is over, in a worker that may be kept
                auto limited = peal::timeout(std::chrono::microseconds(dice.below(800)), reading);
                auto ended = co_await peal::as_result(limited);
                seen.judged.expect(!ended && ended.error().code() == std::errc::timed_out, "a read of nothing did not time out");
                ++seen.stopped;
            }
        }
        ends.second.close();
        co_await both.join();
    }
}

peal::task<> sleeper(std::uint64_t seed, const support::stress_clock& clock, facts& seen) {
    support::dice dice(seed);
    while (clock.goes_on()) {
        const auto until = peal::clock::now() + std::chrono::microseconds(dice.below(3000));
        co_await peal::sleep_until(until);
        seen.judged.expect(peal::clock::now() >= until, "woken too early");
        ++seen.slept;
    }
}

peal::task<> receive_all(peal::channel<std::uint64_t>& from, facts& seen) {
    std::uint64_t expected = 0;
    while (auto item = co_await from.receive()) {
        seen.judged.expect(*item == expected, "an item is missing or came twice");
        ++expected;
        ++seen.handed;
    }
}

peal::task<> hand_over(std::uint64_t seed, const support::stress_clock& clock, facts& seen) {
    support::dice dice(seed);
    peal::channel<std::uint64_t> items(2);
    peal::scope other;
    other.spawn(receive_all, std::ref(items), std::ref(seen));
    for (std::uint64_t i = 0; clock.goes_on(); ++i) {
        co_await items.send(i);
        if (dice.one_in(8)) co_await peal::pool::current()->schedule_on(static_cast<unsigned>(dice.below(peal::pool::current()->size())));
        if (dice.one_in(64)) co_await peal::sleep_for(100us);
    }
    items.close();
    co_await other.join();
}

peal::task<> everything(const support::stress_clock& clock, facts& seen) {
    peal::scope all;
    for (std::uint64_t i = 0; i < 3; ++i) all.spawn(keeper, 10 + i, std::ref(clock), std::ref(seen));
    for (std::uint64_t i = 0; i < 4; ++i) all.spawn(talk, 20 + i, std::ref(clock), std::ref(seen));
    for (std::uint64_t i = 0; i < 4; ++i) all.spawn(sleeper, 30 + i, std::ref(clock), std::ref(seen));
    for (std::uint64_t i = 0; i < 2; ++i) all.spawn(hand_over, 40 + i, std::ref(clock), std::ref(seen));
    co_await all.join();
}

}  // namespace

TEST_CASE("rescue: nothing is lost while workers are kept at random") {
    const unsigned workers = GENERATE(1u, 2u, 3u);
    const support::stress_clock clock(3);
    facts seen;
    {
        peal::pool_options options(workers);
        options.rescue_after = 300us;
        options.spare_worker = true;
        options.on_stall = [](const peal::stall&) {};
        peal::pool pool(options);
        pool.run(everything, std::cref(clock), std::ref(seen));
        CHECK(pool.shutdown(60s, 60s).not_stopped.empty());
        const auto counts = pool.counts();
        CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
    }
    CHECK(seen.judged.text() == "");
    std::printf("%u workers: kept %llu times; %llu bytes, %llu timeouts, %llu sleeps, %llu items\n", workers,
                static_cast<unsigned long long>(seen.kept), static_cast<unsigned long long>(seen.bytes),
                static_cast<unsigned long long>(seen.stopped), static_cast<unsigned long long>(seen.slept),
                static_cast<unsigned long long>(seen.handed));
}
