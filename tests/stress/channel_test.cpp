// SPDX-License-Identifier: MIT

// Channels under eight threads: producers and consumers on two pools, by send(), try_send(), select() and blocking calls, stopped at random
// moments. Items carry their producer and their number: each is received exactly once, and those of one producer by one channel in order.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/stopper.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

namespace {

class item {
  public:
    item(unsigned producer, std::uint64_t number) noexcept : producer(producer), number(number) {}
    unsigned producer;
    std::uint64_t number;
};

constexpr unsigned producers = 6;
constexpr unsigned consumers = 5;

/// What was sent and received in one round.
class books {
  public:
    support::verdict verdict;

    /// By its producer only. Numbers count up.
    void sent(const item& which) {
        verdict.expect(which.number == sent_[which.producer].size() || sent_[which.producer].empty() ||
                           which.number > sent_[which.producer].back(),
                       "the test sends out of order");
        sent_[which.producer].push_back(which.number);
    }
    /// By its consumer only.
    void received(unsigned consumer, const item& which) { received_[consumer].push_back(which); }

    /// When all have ended. `in_order`: there was one channel, so each consumer gets those of each producer in order.
    void check(bool in_order) {
        std::vector<std::uint64_t> got[producers];
        for (auto& each : received_) {
            std::optional<std::uint64_t> last[producers];
            for (const item& one : each) {
                if (in_order && last[one.producer] && *last[one.producer] >= one.number) verdict.complain("out of order");
                last[one.producer] = one.number;
                got[one.producer].push_back(one.number);
            }
        }
        for (unsigned i = 0; i < producers; ++i) {
            std::sort(got[i].begin(), got[i].end());
            if (got[i].size() < sent_[i].size()) verdict.complain("items were lost");
            if (got[i].size() > sent_[i].size()) verdict.complain("items came twice, or were received and not sent");
            if (got[i].size() == sent_[i].size() && got[i] != sent_[i]) verdict.complain("other items were received than sent");
        }
    }
    std::size_t count() const {
        std::size_t sum = 0;
        for (auto& each : sent_) sum += each.size();
        return sum;
    }

  private:
    std::vector<std::uint64_t> sent_[producers];
    std::vector<item> received_[consumers];
};

template <class Channel>
constexpr bool is_bounded = requires(Channel& channel) { channel.capacity(); };

/// Sends one item; false if it was not sent, because this task was stopped.
template <class Channel>
peal::task<bool> sends_one(Channel& one, Channel& two, item which, support::dice& dice, bool both) {
    if constexpr (is_bounded<Channel>) {
        try {
            if (both) {
                static_cast<void>(co_await peal::select(one.send(which), two.send(which)));
            } else if (dice.one_in(8) && one.try_send(which) == peal::send_outcome::sent) {
                co_return true;
            } else {
                co_await one.send(which);
            }
        } catch (const std::system_error&) {
            co_return false;
        }
        co_return true;
    } else {
        co_return (both && dice.one_in(2) ? two : one).send(which);
    }
}

/// A part of a producer's items, in a task of its own so that it can be stopped. Gives the next number.
template <class Channel>
peal::task<std::uint64_t> produces_some(Channel& one, Channel& two, books& all, unsigned producer, std::uint64_t from, std::uint64_t seed,
                                        bool both) {
    support::dice dice(seed);
    std::uint64_t to = from + 1 + dice.below(20);
    for (; from < to; ++from) {
        item which(producer, from);
        if (!co_await sends_one(one, two, which, dice, both)) co_return from + 1;  // not sent, and never sent again
        all.sent(which);
        if (dice.one_in(16)) co_await peal::yield();
    }
    co_return from;
}

template <class Channel>
peal::task<> consumes_some(Channel& one, Channel& two, books& all, unsigned consumer, std::uint64_t seed, bool both, bool& closed) {
    support::dice dice(seed);
    for (std::uint64_t i = 1 + dice.below(20); i != 0 && !closed; --i) {
        std::optional<item> got;
        try {
            if (both) {
                auto any = co_await peal::select(one.receive(), two.receive(), peal::sleep_for(std::chrono::milliseconds(1)));
                if (any.index == 2) continue;
                if (any.index == 0) got = std::get<0>(any.value);
                if (any.index == 1) got = std::get<1>(any.value);
                if (!got) {  // one is closed; the other one may have items
                    got = one.try_receive();
                    if (!got) got = two.try_receive();
                }
            } else if (dice.one_in(8)) {
                got = one.try_receive();
                if (!got) continue;
            } else {
                got = co_await one.receive();
            }
        } catch (const std::system_error&) {
            co_return;
        }
        if (!got) {
            closed = true;
            co_return;
        }
        all.received(consumer, *got);
    }
}

template <class Channel>
class traffic {
  public:
    template <class... Arguments>
    explicit traffic(bool both, Arguments... arguments) : one(arguments...), two(arguments...), both_(both) {}

    void run(peal::pool& a, peal::pool& b, support::stopper& stops, std::chrono::milliseconds time, std::uint64_t seed) {
        support::dice dice(seed);
        auto end = std::chrono::steady_clock::now() + time;
        auto produces = [&](unsigned number, std::uint64_t own_seed) -> peal::task<> {
            support::dice own(own_seed);
            std::uint64_t next = 0;
            while (std::chrono::steady_clock::now() < end) {
                auto part = peal::spawn(produces_some<Channel>, std::ref(one), std::ref(two), std::ref(all), number, next, own.next(), both_);
                if (own.one_in(4)) stops.stop_after(std::chrono::nanoseconds(own.below(20'000)), part.stop_handle());
                next = co_await part;
                if constexpr (!is_bounded<Channel>) {
                    while (one.size() + two.size() > 1000) co_await peal::sleep_for(std::chrono::microseconds(200));
                }
            }
        };
        auto consumes = [&](unsigned number, std::uint64_t own_seed) -> peal::task<> {
            support::dice own(own_seed);
            bool closed = false;
            while (!closed) {
                auto part = peal::spawn(consumes_some<Channel>, std::ref(one), std::ref(two), std::ref(all), number, own.next(), both_,
                                        std::ref(closed));
                if (own.one_in(4)) stops.stop_after(std::chrono::nanoseconds(own.below(20'000)), part.stop_handle());
                co_await part;
            }
        };
        std::vector<peal::join_handle<>> senders;
        std::vector<peal::join_handle<>> receivers;
        for (unsigned i = 0; i < producers; ++i) senders.push_back((i % 2 == 0 ? a : b).spawn(std::ref(produces), i, dice.next()));
        for (unsigned i = 0; i < consumers; ++i) receivers.push_back((i % 2 == 0 ? a : b).spawn(std::ref(consumes), i, dice.next()));
        auto join_all = [](std::vector<peal::join_handle<>>& handles) -> peal::task<> {
            for (auto& each : handles) co_await each;
        };
        peal::sync_wait(join_all(senders));
        one.close();
        two.close();
        peal::sync_wait(join_all(receivers));
        all.check(!both_);
    }

    Channel one;
    Channel two;
    books all;

  private:
    bool both_;
};

}  // namespace

TEST_CASE("stress: channels of every capacity, with stops and select() on both ends: each item is received once, in order") {
    support::dice dice(1);
    support::stopper stops;
    peal::pool a(peal::pool_options(4));
    peal::pool b(peal::pool_options(4));
    std::size_t items = 0;
    auto part = support::stress_time() / 8;
    for (bool both : {false, true}) {
        for (std::size_t capacity : {0u, 1u, 64u}) {
            CAPTURE(both, capacity);
            traffic<peal::channel<item>> bounded(both, capacity);
            bounded.run(a, b, stops, part, dice.next());
            CHECK(bounded.all.verdict.text() == "");
            CHECK(bounded.all.count() > 0);
            items += bounded.all.count();
        }
        CAPTURE(both);
        traffic<peal::unbounded_channel<item>> unbounded(both);
        unbounded.run(a, b, stops, part, dice.next());
        CHECK(unbounded.all.verdict.text() == "");
        CHECK(unbounded.all.count() > 0);
        items += unbounded.all.count();
    }
    std::printf("%zu items\n", items);
}
