// SPDX-License-Identifier: MIT

// Random trees of when_all, when_any, first_success, timeout and shield over two pools, with stops at random, until the time is over.
// The data proves itself: the value of a tree follows from its seed, whichever of its parts were first, or it ends as canceled or as
// timed out; and every node that began has ended when its parent goes on.

#include <array>
#include <atomic>
#include <chrono>
#include <exception>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

namespace {

class world {
  public:
    world() : one(options()), two(options()) {}

    /// A child whose handle was dropped may have timed out.
    peal::pool_options options() {
        peal::pool_options made(2);
        made.on_unhandled = [this](std::exception_ptr failure, const peal::context&) {
            try {
                std::rethrow_exception(failure);
            } catch (const std::system_error& error) {
                verdict.expect(error.code() == std::errc::timed_out, error.what());
            }
        };
        return made;
    }

    support::verdict verdict;
    std::atomic<std::uint64_t> values{0};
    std::atomic<std::uint64_t> canceled{0};
    std::atomic<std::uint64_t> timed_out{0};
    peal::pool one;
    peal::pool two;
};

std::uint64_t mark(std::uint64_t seed) { return seed * 0x9e3779b97f4a7c15u + 1; }

peal::task<> walks(world& w, support::dice& dice) {
    for (std::uint64_t steps = dice.below(4); steps != 0; --steps) {
        switch (dice.below(5)) {
            case 0: co_await w.one.schedule(); break;
            case 1: co_await w.two.schedule(); break;
            case 2: co_await peal::sleep_for(std::chrono::microseconds(dice.below(200))); break;
            case 3: {
                std::uint64_t seed = dice.next();
                std::uint64_t result = co_await w.two.offload(mark, seed);
                w.verdict.expect(result == mark(seed), "offload gave another result");
                break;
            }
            default: break;
        }
    }
}

peal::task<std::uint64_t> tree(world& w, std::atomic<int>& running, std::uint64_t seed, int depth);

peal::task<std::uint64_t> spawned_tree(world& w, std::uint64_t seed, int depth) {
    std::atomic<int> running{0};
    std::uint64_t value = co_await tree(w, running, seed, depth);
    w.verdict.expect(running == 0, "a node outlived its parent");
    co_return value;
}

peal::task<> all_of(world& w, support::dice& dice, std::atomic<int>& below, int depth) {
    if (dice.one_in(2)) {
        std::uint64_t first = dice.next();
        std::uint64_t second = dice.next();
        auto values = co_await peal::when_all(tree(w, below, first, depth), tree(w, below, second, depth));
        w.verdict.expect(std::get<0>(values) == mark(first) && std::get<1>(values) == mark(second), "when_all gave other values");
    } else {
        std::vector<std::uint64_t> seeds;
        std::vector<peal::task<std::uint64_t>> tasks;
        for (std::uint64_t i = dice.below(4); i != 0; --i) {
            seeds.push_back(dice.next());
            tasks.push_back(tree(w, below, seeds.back(), depth));
        }
        std::vector<std::uint64_t> values = co_await peal::when_all(std::move(tasks));
        bool right = values.size() == seeds.size();
        for (std::size_t i = 0; right && i < seeds.size(); ++i) right = values[i] == mark(seeds[i]);
        w.verdict.expect(right, "when_all of a range gave other values");
    }
}

peal::task<> any_of(world& w, support::dice& dice, std::atomic<int>& below, int depth) {
    std::array<std::uint64_t, 3> seeds{dice.next(), dice.next(), dice.next()};
    if (dice.one_in(2)) {
        auto first = co_await peal::when_any(tree(w, below, seeds[0], depth), tree(w, below, seeds[1], depth),
                                             tree(w, below, seeds[2], depth));
        std::uint64_t value = first.index == 0   ? std::get<0>(first.value)
                              : first.index == 1 ? std::get<1>(first.value)
                                                 : std::get<2>(first.value);
        w.verdict.expect(value == mark(seeds[first.index]), "when_any gave another value");
    } else {
        std::vector<peal::task<std::uint64_t>> tasks;
        for (std::uint64_t seed : seeds) tasks.push_back(tree(w, below, seed, depth));
        auto first = co_await peal::first_success(std::move(tasks));
        w.verdict.expect(first.value == mark(seeds[first.index]), "first_success gave another value");
    }
}

peal::task<> settled_of(world& w, support::dice& dice, std::atomic<int>& below, int depth) {
    std::uint64_t first = dice.next();
    std::uint64_t second = dice.next();
    auto ends = co_await peal::when_all_settled(tree(w, below, first, depth), tree(w, below, second, depth));
    if (std::get<0>(ends)) w.verdict.expect(std::get<0>(ends).value() == mark(first), "when_all_settled gave another value");
    if (std::get<1>(ends)) w.verdict.expect(std::get<1>(ends).value() == mark(second), "when_all_settled gave another value");
}

peal::task<> in_time(world& w, support::dice& dice, std::atomic<int>& below, int depth) {
    std::uint64_t seed = dice.next();
    auto limit = std::chrono::microseconds(dice.below(500));
    auto around = peal::this_task::deadline();
    std::uint64_t value = co_await peal::timeout(limit, tree(w, below, seed, depth));
    w.verdict.expect(value == mark(seed), "timeout gave another value");
    w.verdict.expect(peal::this_task::deadline() == around, "the deadline is another one than before");
}

/// Nothing outside of it is seen inside.
peal::task<std::uint64_t> behind_shield(world& w, std::atomic<int>& below, std::uint64_t seed, int depth) {
    w.verdict.expect(peal::this_task::deadline() == peal::context::no_deadline, "a deadline behind a shield");
    w.verdict.expect(!peal::this_task::stop_requested(), "a stop behind a shield");
    std::uint64_t value = co_await tree(w, below, seed, depth);
    w.verdict.expect(!peal::this_task::stop_requested(), "a stop behind a shield");
    co_return value;
}

peal::task<> shielded(world& w, support::dice& dice, std::atomic<int>& below, int depth) {
    std::uint64_t seed = dice.next();
    bool before = peal::this_task::stop_requested();
    std::uint64_t value = co_await peal::shield(behind_shield(w, below, seed, depth));
    w.verdict.expect(value == mark(seed), "shield gave another value");
    w.verdict.expect(!before || peal::this_task::stop_requested(), "a stop was forgotten");
}

/// In a scope, which the deadline of this task limits, too.
peal::task<> in_scope(world& w, support::dice& dice, int depth) {
    std::uint64_t seed = dice.next();
    peal::scope children;
    auto child = children.spawn(spawned_tree, std::ref(w), seed, depth);
    if (dice.one_in(2)) children.spawn(spawned_tree, std::ref(w), dice.next(), 0).detach();
    if (dice.one_in(4)) child.request_stop();
    std::uint64_t value = co_await child;
    w.verdict.expect(value == mark(seed), "a child gave another value");
    co_await children.join();
}

peal::task<std::uint64_t> tree(world& w, std::atomic<int>& running, std::uint64_t seed, int depth) {
    support::counted here(running);
    support::dice dice(seed);
    co_await walks(w, dice);
    if (depth == 0) co_return mark(seed);
    std::atomic<int> below{0};
    try {
        switch (dice.below(8)) {
            case 0:
            case 1: co_await all_of(w, dice, below, depth - 1); break;
            case 2:
            case 3: co_await any_of(w, dice, below, depth - 1); break;
            case 4: co_await settled_of(w, dice, below, depth - 1); break;
            case 5: co_await in_time(w, dice, below, depth - 1); break;
            case 6: co_await shielded(w, dice, below, depth - 1); break;
            default: co_await in_scope(w, dice, depth - 1); break;
        }
    } catch (const std::system_error& failure) {
        w.verdict.expect(below == 0, "a node outlived its parent, which failed");
        bool expected = peal::is_canceled(failure) || failure.code() == std::errc::timed_out;
        w.verdict.expect(expected, std::string("a failure that nobody made: ") + failure.what());
        if (dice.one_in(2)) throw;  // else this node made the best of it
    }
    w.verdict.expect(below == 0, "a node outlived its parent");
    co_return mark(seed);
}

/// The outcome of one tree, told to the world.
peal::task<> judged(world& w, std::uint64_t seed, int depth) {
    try {
        std::uint64_t value = co_await spawned_tree(w, seed, depth);
        w.verdict.expect(value == mark(seed), "the tree gave another value");
        ++w.values;
    } catch (const std::system_error& failure) {
        ++(failure.code() == std::errc::timed_out ? w.timed_out : w.canceled);
        w.verdict.expect(peal::is_canceled(failure) || failure.code() == std::errc::timed_out, failure.what());
    }
}

}  // namespace

TEST_CASE("stress: trees of combinations over two pools give their values, or end as canceled or timed out") {
    std::int64_t frames = peal::detail::live_frames();
    {
        world w;
        support::dice dice(1);
        support::stress_clock clock;
        while (clock.goes_on()) {
            std::vector<peal::join_handle<>> trees;
            for (int i = 0; i < 4; ++i) {
                peal::pool& pool = i % 2 == 0 ? w.one : w.two;
                trees.push_back(pool.spawn(judged, std::ref(w), dice.next(), 4));
            }
            if (dice.one_in(2)) {
                std::this_thread::sleep_for(std::chrono::microseconds(dice.below(400)));
                trees[dice.below(4)].request_stop();
                trees[dice.below(4)].request_stop();
            }
            for (peal::join_handle<>& each : trees) {
                auto joining = [](peal::join_handle<> joined) -> peal::task<> { co_await joined; };
                w.one.run(joining, std::move(each));
            }
        }
        CHECK(w.one.shutdown(std::chrono::seconds(20), std::chrono::seconds(20)).drained);
        CHECK(w.two.shutdown(std::chrono::seconds(20), std::chrono::seconds(20)).drained);
        for (peal::pool* pool : {&w.one, &w.two}) {
            peal::pool_counts counts = pool->counts();
            CHECK(counts.live == 0);
            CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
        }
        CHECK(w.verdict.text() == "");
        CHECK(w.values > 0);
        CHECK(w.canceled > 0);
    }
    CHECK(peal::detail::live_frames() == frames);
}
