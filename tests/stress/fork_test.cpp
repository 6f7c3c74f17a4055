// SPDX-License-Identifier: MIT

// Random trees of fork_join and join with suspensions, failures and stops, on pools of two to four workers, until the time is over. The
// data proves itself: the value of a tree follows from its seed, or it ends by a failure that one of its nodes made, or as canceled if
// it was asked to stop; and every node that began has ended when its parent goes on.

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <peal/error.hpp>
#include <peal/parallel/fork_join.hpp>
#include <peal/parallel/join.hpp>
#include <peal/parallel/parallel_for.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"
#include "support/stopper.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

namespace {

std::uint64_t mixed(std::uint64_t seed, std::uint64_t with) { return (seed ^ with) * 0x9e3779b97f4a7c15u + 1; }

/// How a tree behaves; the same for all its nodes.
class habits {
  public:
    bool suspends = false;
    bool fails = false;
    std::atomic<std::uint64_t> nodes{0};
};

/// What the tree of `seed` gives if nobody fails: each node depends on all below it, in order.
std::uint64_t expected(std::uint64_t seed, int levels) {
    if (levels == 0) return mixed(seed, 0);
    std::uint64_t value = seed;
    for (std::uint64_t child = 0; child < 2 + seed % 2; ++child) value = mixed(value, expected(mixed(seed, child), levels - 1));
    return value;
}

/// Plain functions that divide by join().
std::uint64_t plain_tree(std::uint64_t seed, int levels, habits& all, std::atomic<int>& running) {
    support::counted here(running);
    ++all.nodes;
    if (all.fails && seed % 1009 == 0) throw std::runtime_error("on purpose");
    if (levels == 0) return mixed(seed, 0);
    std::atomic<int> below{0};
    auto child = [&](std::uint64_t which) { return plain_tree(mixed(seed, which), levels - 1, all, below); };
    std::uint64_t value = 0;
    try {
        auto [a, b] = peal::join([&] { return child(0); }, [&] { return child(1); });
        value = mixed(mixed(seed, a), b);
        if (seed % 2 == 1) value = mixed(value, child(2));
    } catch (...) {
        if (below != 0) throw std::logic_error("a function outlived its caller, which failed");
        throw;
    }
    if (below != 0) throw std::logic_error("a function outlived its caller");
    return value;
}

peal::task<std::uint64_t> tree(std::uint64_t seed, int levels, habits& all, std::atomic<int>& running) {
    support::counted here(running);
    ++all.nodes;
    if (all.suspends) {
        if (seed % 13 == 0) co_await peal::yield();
        if (seed % 101 == 0) co_await peal::sleep_for(std::chrono::microseconds(seed % 300));
    }
    if (all.fails && seed % 1013 == 0) throw std::runtime_error("on purpose");
    if (levels == 0) co_return mixed(seed, 0);
    std::atomic<int> below{0};
    std::uint64_t value = seed;
    std::exception_ptr failure;
    try {
        if (levels == 3 && seed % 5 == 0) {
            value = plain_tree(seed, levels, all, below);
        } else if (seed % 2 == 0) {
            auto [a, b] = co_await peal::fork_join(tree(mixed(seed, 0), levels - 1, all, below), tree(mixed(seed, 1), levels - 1, all, below));
            value = mixed(mixed(value, a), b);
        } else {
            auto [a, b, c] =
                co_await peal::fork_join(tree(mixed(seed, 0), levels - 1, all, below), tree(mixed(seed, 1), levels - 1, all, below),
                                         tree(mixed(seed, 2), levels - 1, all, below));
            value = mixed(mixed(mixed(value, a), b), c);
        }
    } catch (...) {
        failure = std::current_exception();
    }
    if (below != 0) throw std::logic_error("a child outlived its parent");
    if (failure) std::rethrow_exception(failure);
    co_return value;
}

/// The end of one tree.
class ends {
  public:
    std::atomic<std::uint64_t> values{0};
    std::atomic<std::uint64_t> failures{0};
    std::atomic<std::uint64_t> canceled{0};
};

peal::task<> judged(std::uint64_t seed, bool may_be_stopped, habits& all, ends& seen, support::verdict& found) {
    constexpr int levels = 7;
    std::atomic<int> running{0};
    try {
        std::uint64_t value = co_await tree(seed, levels, all, running);
        found.expect(value == expected(seed, levels), "another value");
        ++seen.values;
    } catch (const std::exception& failure) {
        if (peal::is_canceled(failure)) {
            found.expect(may_be_stopped, "canceled, and nobody asked");
            ++seen.canceled;
        } else {
            found.expect(all.fails && std::string(failure.what()) == "on purpose", failure.what());
            ++seen.failures;
        }
    }
    found.expect(running == 0, "the tree outlived its parent");
}

/// Several trees at a time, each stopped at some moment or left alone.
void grow(peal::pool& pool, support::dice& dice, support::stopper& outside, habits& all, ends& seen, support::verdict& found) {
    std::vector<peal::join_handle<>> trees;
    for (int i = 0; i < 3; ++i) {
        bool stopped = dice.one_in(3);
        trees.push_back(pool.spawn(judged, dice.next(), stopped, std::ref(all), std::ref(seen), std::ref(found)));
        if (stopped) support::stop_soon(pool, outside, dice.next(), 20, trees.back().stop_handle());
    }
    auto joining = [](peal::join_handle<> joined) -> peal::task<> { co_await joined; };
    for (peal::join_handle<>& each : trees) pool.run(joining, std::move(each));
}

}  // namespace

TEST_CASE("stress: trees of fork_join and join give their values, or end by their own failures or as canceled") {
    support::dice dice(77);
    ends seen;
    support::verdict found;
    for (unsigned workers : {2u, 3u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        support::stopper outside;
        support::stress_clock clock(3);
        while (clock.goes_on()) {
            habits all;
            all.suspends = dice.one_in(2);
            all.fails = dice.one_in(2);
            grow(pool, dice, outside, all, seen, found);
        }
        CHECK(pool.shutdown(std::chrono::seconds(20), std::chrono::seconds(20)).drained);
    }
    CHECK(found.text() == "");
    CHECK(seen.values > 0);
    CHECK(seen.failures > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("stress: loops beside loops handle each element once") {
    support::verdict found;
    support::dice dice(78);
    peal::pool pool{peal::pool_options(3)};
    support::stress_clock clock;
    while (clock.goes_on()) {
        std::size_t size = dice.below(3000);
        std::size_t grain = dice.below(50);
        auto loop = [size, grain, &found] {
            auto each = std::make_unique<std::atomic<int>[]>(size);
            peal::parallel_for(std::views::iota(std::size_t{0}, size), grain, [&each](std::size_t i) { ++each[i]; });
            for (std::size_t i = 0; i < size; ++i) found.expect(each[i] == 1, "not once");
        };
        auto one = pool.spawn(loop);
        auto two = pool.spawn(loop);
        auto joining = [](peal::join_handle<> first, peal::join_handle<> second) -> peal::task<> {
            co_await first;
            co_await second;
        };
        pool.run(joining, std::move(one), std::move(two));
    }
    CHECK(found.text() == "");
}
