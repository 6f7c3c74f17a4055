// SPDX-License-Identifier: MIT

// Spawn, join, cancel, sleep and hop, all at once over two pools, until the time is over. The data proves itself: every task returns
// a number that its parent can compute, or ends as canceled.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>
#include <utility>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

namespace {

class world {
  public:
    world() : one(peal::pool_options(2)), two(peal::pool_options(2)) {}

    /// Tasks of one pool spawn in the other: both must be empty before one is shut down.
    void wait_until_empty() const {
        while (nodes != 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }

    support::verdict verdict;
    std::atomic<std::uint64_t> nodes{0};  // spawned, and not at their end yet
    peal::pool one;
    peal::pool two;
};

class counted {
  public:
    explicit counted(world& w) noexcept : w(&w) { ++w.nodes; }
    counted(counted&& other) noexcept : w(std::exchange(other.w, nullptr)) {}
    counted& operator=(counted&&) = delete;
    ~counted() {
        if (w != nullptr) --w->nodes;
    }

  private:
    world* w;
};

std::uint64_t mark(std::uint64_t seed) { return seed * 0x9e3779b97f4a7c15u + 1; }

std::uint64_t compute(std::uint64_t seed) { return mark(seed); }

peal::task<std::uint64_t> node(world& w, [[maybe_unused]] counted here_until_the_end, std::uint64_t seed, int depth) {
    support::dice dice(seed);
    for (std::uint64_t steps = dice.below(4); steps != 0; --steps) {
        switch (dice.below(6)) {
            case 0: co_await w.one.schedule(); break;
            case 1: co_await w.two.schedule(); break;
            case 2: co_await w.one.schedule_on(static_cast<unsigned>(dice.below(2))); break;
            case 3: co_await peal::sleep_for(std::chrono::microseconds(dice.below(300))); break;
            case 4: {
                std::uint64_t result = co_await w.two.offload(compute, seed);
                w.verdict.expect(result == mark(seed), "offload gave another result");
                break;
            }
            default: break;
        }
    }
    if (depth == 0) co_return mark(seed);

    peal::pool& here = dice.one_in(2) ? w.one : w.two;
    std::uint64_t first_seed = dice.next();
    std::uint64_t second_seed = dice.next();
    auto first = here.spawn(node, std::ref(w), counted(w), first_seed, depth - 1);
    auto second = here.spawn(node, std::ref(w), counted(w), second_seed, depth - 1);
    bool stops_second = dice.one_in(3);
    if (dice.one_in(4)) co_await peal::sleep_for(std::chrono::microseconds(dice.below(200)));
    if (stops_second) second.request_stop();
    // A stop of this task may end either join; the children then go on by themselves.
    std::uint64_t from_first = co_await first;
    w.verdict.expect(from_first == mark(first_seed), "first child gave another result");
    try {
        std::uint64_t from_second = co_await second;
        w.verdict.expect(from_second == mark(second_seed), "second child gave another result");
    } catch (const std::system_error& error) {
        bool canceled = error.code() == std::errc::operation_canceled;
        w.verdict.expect(canceled && (stops_second || peal::this_task::stop_requested()), "second child was canceled by nobody");
        if (!stops_second) throw;
    }
    co_return mark(seed);
}

peal::task<> tree_under_scope(world& w, std::uint64_t seed) {
    support::dice dice(seed);
    peal::scope children;
    for (std::uint64_t i = 1 + dice.below(4); i != 0; --i) children.spawn(node, std::ref(w), counted(w), dice.next(), 2);
    switch (dice.below(3)) {
        case 0: co_await children.join(); break;
        case 1: throw std::runtime_error("on purpose");  // the scope cancels and joins
        default: co_await peal::sleep_for(std::chrono::microseconds(dice.below(500)));  // so does leaving without a join
    }
}

}  // namespace

TEST_CASE("stress: trees of tasks over two pools give their results or end as canceled") {
    world w;
    support::dice dice(1);
    support::stress_clock clock;
    std::uint64_t rounds = 0;
    while (clock.goes_on()) {
        std::uint64_t seed = dice.next();
        auto tree = w.one.spawn(node, std::ref(w), counted(w), seed, 5);
        if (dice.one_in(4)) {
            std::this_thread::sleep_for(std::chrono::microseconds(dice.below(400)));
            tree.request_stop();
        }
        auto joining = [](peal::join_handle<std::uint64_t> joined) -> peal::task<std::uint64_t> { co_return co_await joined; };
        try {
            std::uint64_t result = w.two.run(joining, std::move(tree));
            REQUIRE(result == mark(seed));
        } catch (const std::system_error& error) {
            REQUIRE(error.code() == std::errc::operation_canceled);
        }
        ++rounds;
    }
    w.wait_until_empty();
    CHECK(w.one.shutdown(std::chrono::seconds(20), std::chrono::seconds(20)).drained);
    CHECK(w.two.shutdown(std::chrono::seconds(20), std::chrono::seconds(20)).drained);
    for (peal::pool* pool : {&w.one, &w.two}) {
        peal::pool_counts counts = pool->counts();
        CHECK(counts.live == 0);
        CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
    }
    CHECK(w.verdict.text() == "");
    CHECK(rounds > 0);
}

TEST_CASE("stress: scopes that are left by join, by exception and by leaving hold no child back") {
    world w;
    support::dice dice(2);
    support::stress_clock clock;
    while (clock.goes_on()) {
        try {
            w.one.run(tree_under_scope, std::ref(w), dice.next());
        } catch (const std::runtime_error&) {
        }
    }
    w.wait_until_empty();
    CHECK(w.verdict.text() == "");
}
