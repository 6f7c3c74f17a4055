// SPDX-License-Identifier: MIT

// Producers and consumers with idle gaps of every length, so that workers fall asleep and are woken at every moment (P3). Values carry
// producer and sequence; consumers are canceled while they wait, and no value is lost by that.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/time/sleep.hpp>

#include "support/awaitables.hpp"
#include "support/catch.hpp"
#include "support/stopper.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;

namespace {

constexpr std::size_t consumers = 3;
constexpr std::uint32_t producers = 4;  // two threads, two tasks

class value {
  public:
    value(std::uint32_t producer, std::uint32_t sequence) : producer(producer), sequence(sequence) {}
    std::uint32_t producer;
    std::uint32_t sequence;
};
using box = support::mailbox<value>;

class state {
  public:
    std::array<box, consumers> boxes;
    std::array<std::atomic<std::uint64_t>, consumers> sent{};
    std::array<std::atomic<std::uint64_t>, consumers> taken{};
    std::atomic<std::uint64_t> cancels{0};
    std::atomic<std::uint32_t> producing{producers};
    support::verdict judged;
};

/// Nothing, a spin, or a sleep: around the time that a worker takes to fall asleep.
std::chrono::nanoseconds gap(support::dice& dice) {
    switch (dice.below(4)) {
        case 0: return 0ns;
        case 1: return std::chrono::nanoseconds(dice.below(5'000));
        case 2: return std::chrono::nanoseconds(dice.below(60'000));
        default: return std::chrono::nanoseconds(dice.one_in(20) ? dice.below(2'000'000) : dice.below(20'000));
    }
}

void send_one(state& all, support::dice& dice, std::uint32_t producer, std::array<std::uint32_t, consumers>& sequence) {
    std::size_t to = dice.below(consumers);
    ++all.sent[to];
    all.boxes[to].push(value(producer, sequence[to]++));
}

void produce(state& all, std::uint32_t producer, const support::stress_clock& clock) {
    support::dice dice(producer);
    std::array<std::uint32_t, consumers> sequence{};
    while (clock.goes_on()) {
        for (std::uint64_t burst = 1 + dice.below(4); burst != 0; --burst) send_one(all, dice, producer, sequence);
        auto idle = gap(dice);
        if (idle < 30us) {
            support::spin_for(idle);
        } else {
            std::this_thread::sleep_for(idle);
        }
    }
    --all.producing;
}

peal::task<> produce_in_pool(peal::pool& pool, state& all, std::uint32_t producer, const support::stress_clock& clock) {
    support::dice dice(producer);
    std::array<std::uint32_t, consumers> sequence{};
    while (clock.goes_on()) {
        for (std::uint64_t burst = 1 + dice.below(4); burst != 0; --burst) send_one(all, dice, producer, sequence);
        if (dice.one_in(3)) co_await pool.schedule_on(static_cast<unsigned>(dice.below(pool.size())));
        co_await peal::sleep_for(gap(dice));
    }
    --all.producing;
}

/// Takes values until it is canceled; the next consumer of the same box goes on where it was.
peal::task<> consume(peal::pool& pool, state& all, std::size_t index, std::uint64_t seed,
                     std::array<std::uint32_t, producers>& expected) {
    support::dice dice(seed);
    for (;;) {
        value next = co_await all.boxes[index].pop();
        all.judged.expect(next.sequence == expected[next.producer]++, "out of order, lost or doubled");
        ++all.taken[index];
        if (dice.one_in(8)) co_await pool.schedule();
        if (dice.one_in(16)) co_await pool.schedule_on(static_cast<unsigned>(dice.below(pool.size())));
    }
}

peal::task<> supervise(peal::pool& pool, state& all, std::size_t index, support::stopper& stopper) {
    support::dice dice(100 + index);
    std::array<std::uint32_t, producers> expected{};
    while (all.producing != 0 || all.taken[index] != all.sent[index]) {
        auto consumer = pool.spawn(consume, pool, std::ref(all), index, dice.next(), std::ref(expected));
        stopper.stop_after(std::chrono::nanoseconds(dice.below(300'000)), consumer.stop_handle());
        try {
            co_await consumer;
        } catch (const std::system_error& failure) {
            all.judged.expect(peal::is_canceled(failure), "a consumer failed");
            ++all.cancels;
        }
    }
}

}  // namespace

TEST_CASE("stress: producers and consumers with idle gaps lose no value and no wake-up") {
    support::stress_seed();
    for (unsigned workers : {1u, 2u, 4u}) {
        state all;
        peal::pool one{peal::pool_options(workers)};
        peal::pool two{peal::pool_options(1)};
        support::stopper stopper;
        support::stress_clock clock(3);
        std::vector<peal::join_handle<>> ends;
        for (std::size_t i = 0; i < consumers; ++i) {
            ends.push_back(one.spawn(supervise, one, std::ref(all), i, std::ref(stopper)));
        }
        ends.push_back(one.spawn(produce_in_pool, one, std::ref(all), 0u, std::cref(clock)));
        ends.push_back(two.spawn(produce_in_pool, two, std::ref(all), 1u, std::cref(clock)));
        std::thread third([&] { produce(all, 2, clock); });
        std::thread fourth([&] { produce(all, 3, clock); });
        third.join();
        fourth.join();
        auto deadline = std::chrono::steady_clock::now() + 60s;  // a guard: a lost wake-up would last for ever
        auto ended = [](const peal::join_handle<>& each) { return each.has_ended(); };
        while (!std::all_of(ends.begin(), ends.end(), ended) && std::chrono::steady_clock::now() < deadline) {
            std::this_thread::sleep_for(1ms);
        }
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < consumers; ++i) {
            INFO("consumer " << i << ", " << workers << " workers");
            CHECK(all.taken[i] == all.sent[i]);
            CHECK(all.boxes[i].size() == 0);
            sum += all.taken[i];
        }
        CHECK(all.judged.text() == "");
        CHECK(all.cancels > 0);
        for (peal::pool* pool : {&one, &two}) {
            REQUIRE(pool->shutdown(10s, 10s).drained);
            CHECK(pool->counts().failed == 0);
        }
        std::printf("%u workers: %llu values, %llu consumers canceled\n", workers, static_cast<unsigned long long>(sum),
                    static_cast<unsigned long long>(all.cancels));
    }
}
