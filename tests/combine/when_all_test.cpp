// SPDX-License-Identifier: MIT

#include <peal/combine/when_all.hpp>

#include <algorithm>
#include <list>
#include <memory>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/death.hpp"
#include "support/kinds_of_values.hpp"
#include "support/rounds.hpp"
#include "support/stopper.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::behave;
using support::child;
using support::child_log;
using support::family;
using support::family_end;
using support::gives;
using support::gives_after;
using support::in_simulations;
using support::tracked;
using support::unique_number;
using tasks_of_family = std::vector<peal::task<tracked>>;

// ---- every kind of child ----------------------------------------------------------------------------------------------------------

std::string text_of(const tracked& value) { return std::to_string(value.value()) + ' '; }
std::string text_of(peal::settled<tracked>& end) {
    if (end) return text_of(end.value());
    try {
        end.value();
    } catch (const std::exception& failure) {
        return std::string(end.was_canceled() ? "canceled " : "failed ") + failure.what() + ' ';
    }
    return "nothing ";
}
template <class T>
std::string text_of(std::vector<T> values) {
    std::string text;
    for (T& each : values) text += text_of(each);
    return text;
}
template <class... T>
std::string text_of(std::tuple<T...> values) {
    return std::apply([](T&... each) { return (text_of(each) + ...); }, values);
}

peal::task<std::string> all_of_range(tasks_of_family tasks) {
    std::string text;
    try {
        std::vector<tracked> values = co_await peal::when_all(std::move(tasks));
        text = text_of(std::move(values));
    } catch (const std::exception& failure) {
        text = failure.what();
    }
    co_return text;
}

peal::task<std::string> all_of_fixed(tasks_of_family tasks) {
    std::string text;
    try {
        if (tasks.size() == 1) {
            std::tuple<tracked> values = co_await peal::when_all(std::move(tasks[0]));
            text = text_of(std::move(values));
        } else if (tasks.size() == 2) {
            std::tuple<tracked, tracked> values = co_await peal::when_all(std::move(tasks[0]), std::move(tasks[1]));
            text = text_of(std::move(values));
        } else {
            std::tuple<tracked, tracked, tracked> values =
                co_await peal::when_all(std::move(tasks[0]), std::move(tasks[1]), std::move(tasks[2]));
            text = text_of(std::move(values));
        }
    } catch (const std::exception& failure) {
        text = failure.what();
    }
    co_return text;
}

peal::task<std::string> settled_range(tasks_of_family tasks) {
    std::vector<peal::settled<tracked>> ends = co_await peal::when_all_settled(std::move(tasks));
    co_return text_of(std::move(ends));
}

peal::task<std::string> settled_fixed(tasks_of_family tasks) {
    std::string text;
    if (tasks.size() == 1) {
        auto ends = co_await peal::when_all_settled(std::move(tasks[0]));
        text = text_of(std::move(ends));
    } else if (tasks.size() == 2) {
        auto ends = co_await peal::when_all_settled(std::move(tasks[0]), std::move(tasks[1]));
        text = text_of(std::move(ends));
    } else {
        auto ends = co_await peal::when_all_settled(std::move(tasks[0]), std::move(tasks[1]), std::move(tasks[2]));
        text = text_of(std::move(ends));
    }
    co_return text;
}

/// The values of all, or the failure that came first.
family_end all_expected(const family& children) {
    family_end end;
    std::size_t failed = children.first([&children](std::size_t i) { return !children.gives_value(i); });
    if (failed == children.size()) {
        for (std::size_t i = 0; i < children.size(); ++i) end.text += std::to_string(i) + ' ';
        end.took = children.last_end();
    } else {
        end.text = children.failure(failed);
        end.took = children.last_end(children.end_of(failed));
    }
    return end;
}

family_end settled_expected(const family& children) {
    family_end end;
    for (std::size_t i = 0; i < children.size(); ++i) {
        if (children.gives_value(i)) {
            end.text += std::to_string(i) + ' ';
        } else {
            end.text += std::string(children.kinds[i] == child::canceled ? "canceled " : "failed ") + children.failure(i) + ' ';
        }
    }
    end.took = children.last_end();
    return end;
}

}  // namespace

TEST_CASE("when_all: gives the values of all, or the first failure after the others were stopped and had ended") {
    CHECK(support::judge_families({all_of_range, all_of_fixed}, all_expected) == "");
}

TEST_CASE("when_all_settled: tells of each how it ended, and stops nobody") {
    CHECK(support::judge_families({settled_range, settled_fixed}, settled_expected) == "");
}

// ---- shapes -----------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<unique_number> gives_unique(int value) {
    co_await peal::sleep_for(1ms);
    co_return unique_number(value);
}
peal::task<int&> lends(int& number) {
    co_await peal::sleep_for(1ms);
    co_return number;
}
peal::task<> adds(int& sum, int value) {
    co_await peal::sleep_for(std::chrono::microseconds(value));
    sum += value;
}
peal::task<> fails() {
    throw std::runtime_error("on purpose");
    co_return;
}

peal::task<> empty_ranges(peal::pool&) {
    auto begun = peal::clock::now();
    std::vector<int> values = co_await peal::when_all(std::vector<peal::task<int>>());
    CHECK(values.empty());
    co_await peal::when_all(std::vector<peal::task<>>());
    auto ends = co_await peal::when_all_settled(std::list<peal::task<unique_number>>());
    CHECK(ends.empty());
    CHECK(peal::clock::now() == begun);
}

peal::task<> kinds_of_values(peal::pool&) {
    int lent = 5;
    int sum = 0;
    auto values = co_await peal::when_all(gives(1), gives_unique(2), lends(lent), adds(sum, 4));
    static_assert(std::is_same_v<decltype(values), std::tuple<int, unique_number, int&, std::monostate>>);
    CHECK(std::get<0>(values) == 1);
    CHECK(std::get<1>(values).value() == 2);
    CHECK(&std::get<2>(values) == &lent);
    CHECK(sum == 4);

    auto ends = co_await peal::when_all_settled(gives_unique(7), lends(lent), adds(sum, 4), fails());
    CHECK(std::get<0>(ends).value().value() == 7);
    CHECK(&std::get<1>(ends).value() == &lent);
    CHECK(std::get<2>(ends).has_value());
    std::get<2>(ends).value();
    CHECK_FALSE(std::get<3>(ends));
    CHECK_FALSE(std::get<3>(ends).was_canceled());
    CHECK_THROWS_AS(std::get<3>(ends).value(), std::runtime_error);
    CHECK(sum == 8);

    auto all_void = [&sum]() -> peal::task<> { co_await peal::when_all(adds(sum, 10), adds(sum, 20)); };  // gives nothing
    co_await all_void();
    CHECK(sum == 38);

    std::vector<peal::task<unique_number>> unique;
    for (int i = 0; i < 5; ++i) unique.push_back(gives_unique(i));
    std::vector<unique_number> numbers = co_await peal::when_all(std::move(unique));
    CHECK(numbers.size() == 5);
    CHECK(numbers[4].value() == 4);

    std::list<peal::task<>> adding;  // not a vector
    for (int i = 0; i < 5; ++i) adding.push_back(adds(sum, 1));
    co_await peal::when_all(std::move(adding));
    CHECK(sum == 43);
}

/// What is no task: operations, handles, other combinations.
peal::task<> other_awaitables(peal::pool& pool) {
    auto begun = peal::clock::now();
    auto spawned = pool.spawn(gives_after, 3, 2ms);
    auto values = co_await peal::when_all(peal::sleep_for(1ms), spawned, pool.schedule(), peal::when_all(gives(1), gives(2)),
                                          peal::timeout(1s, gives_after(5, 3ms)));
    CHECK(std::get<1>(values) == 3);
    CHECK(std::get<3>(values) == std::tuple<int, int>(1, 2));
    CHECK(std::get<4>(values) == 5);
    auto took = peal::clock::now() - begun;
    CHECK(took >= 3ms);
    CHECK(took < 4ms);  // beside each other
}

peal::task<int> sum_of_tree(int levels, int first) {
    if (levels == 0) {
        co_await peal::sleep_for(std::chrono::microseconds(first % 100));
        co_return first;
    }
    int half = 1 << (levels - 1);
    auto sums = co_await peal::when_all(sum_of_tree(levels - 1, first), sum_of_tree(levels - 1, first + half));
    co_return std::get<0>(sums) + std::get<1>(sums);
}

peal::task<> nests(peal::pool&) {
    int sum = co_await sum_of_tree(8, 0);
    CHECK(sum == 255 * 128);
}

peal::task<> failing_in_tree(int levels, int which, child_log& log) {
    if (levels == 0) {
        child kind = which == 0 ? child::throws_later : child::later;
        tracked value = co_await behave(kind, which, which == 0 ? 1ms : std::chrono::milliseconds(1h), log);
        co_return;
    }
    int half = 1 << (levels - 1);
    bool here = which >= 0 && which < half;
    co_await peal::when_all(failing_in_tree(levels - 1, here ? which : -1, log),
                            failing_in_tree(levels - 1, here ? -1 : which < 0 ? -1 : which - half, log));
}

peal::task<> fails_deep_inside(peal::pool&) {
    for (int which : {0, 5, 31}) {
        child_log log;
        auto begun = peal::clock::now();
        std::string said;
        try {
            co_await failing_in_tree(5, which, log);
        } catch (const std::runtime_error& failure) {
            said = failure.what();
        }
        CHECK(said == "0");
        CHECK(log.ended == 32);
        CHECK(log.stopped == 31);
        CHECK(peal::clock::now() - begun < 2ms);
    }
}

}  // namespace

TEST_CASE("when_all: of nothing ends at once") { in_simulations(empty_ranges); }

TEST_CASE("when_all: gives what is move-only, a reference, nothing, or has no default constructor") {
    in_simulations(kinds_of_values);
}

TEST_CASE("when_all: takes operations, handles and other combinations") { in_simulations(other_awaitables); }

TEST_CASE("when_all: nested, gives the values of all, and a failure inside stops all") {
    in_simulations(nests);
    in_simulations(fails_deep_inside);
    CHECK(tracked::clean());
}

TEST_CASE("when_all: a combination that is never awaited runs nothing and keeps nothing") {
    std::int64_t frames = peal::detail::live_frames();
    {
        int sum = 0;
        auto fixed = peal::when_all(adds(sum, 1), gives_unique(1));
        std::vector<peal::task<>> adding;
        adding.push_back(adds(sum, 1));
        auto range = peal::when_all_settled(std::move(adding));
        CHECK(peal::detail::live_frames() == frames + 3);
    }
    CHECK(peal::detail::live_frames() == frames);
}

// ---- stopping ---------------------------------------------------------------------------------------------------------------------

namespace {

enum class shape { fixed, range, settled };

/// Children that end only when they are stopped, one that is ready, and one that takes no notice.
peal::task<> waits_for_all(shape form, child_log& log, bool& canceled, bool& awaited) {
    tasks_of_family tasks;
    for (child kind : {child::ready, child::later, child::not_cancelable, child::later}) {
        tasks.push_back(behave(kind, 1, kind == child::later ? std::chrono::milliseconds(1h) : 3ms, log));
    }
    try {
        if (form == shape::fixed) {
            static_cast<void>(
                co_await peal::when_all(std::move(tasks[0]), std::move(tasks[1]), std::move(tasks[2]), std::move(tasks[3])));
        } else if (form == shape::range) {
            static_cast<void>(co_await peal::when_all(std::move(tasks)));
        } else {
            auto ends = co_await peal::when_all_settled(std::move(tasks));
            CHECK(ends[0].has_value());
            CHECK(ends[1].was_canceled());
            CHECK(ends[2].has_value());
            CHECK(ends[3].was_canceled());
            co_await peal::sleep_for(1h);
        }
    } catch (const std::system_error& failure) {
        canceled = peal::is_canceled(failure);
    }
    awaited = log.ended == 4 && log.stopped == 2;
}

peal::task<> stops_from_outside(peal::pool& pool) {
    for (shape form : {shape::fixed, shape::range, shape::settled}) {
        for (auto delay : {0ms, 1ms, 5ms}) {  // before it began, while all wait, when the others have ended
            child_log log;
            bool canceled = false;
            bool awaited = false;
            auto begun = peal::clock::now();
            auto waiting = pool.spawn(waits_for_all, form, std::ref(log), std::ref(canceled), std::ref(awaited));
            if (delay.count() != 0) co_await peal::sleep_for(delay);
            waiting.request_stop();
            co_await waiting;
            CHECK(canceled);
            CHECK(awaited);
            CHECK(peal::clock::now() - begun >= std::max<std::chrono::milliseconds>(delay, 3ms));
            CHECK(peal::clock::now() - begun < std::max<std::chrono::milliseconds>(delay, 3ms) + 1ms);
        }
    }
}

}  // namespace

TEST_CASE("when_all: a stop from outside reaches all; they are awaited all the same") {
    in_simulations(stops_from_outside);
    CHECK(tracked::clean());
}

namespace {

peal::task<int> pops(support::mailbox<int>& box) { co_return co_await box.pop(); }

/// Values for two mailboxes, each after a few turns of the queue.
peal::task<> pushes(peal::pool& pool, support::mailbox<int>& first, support::mailbox<int>& second, unsigned first_hops,
                    unsigned second_hops) {
    for (unsigned i = 0; i < first_hops; ++i) {
        support::spin_for(2us);
        co_await pool.schedule();
    }
    first.push(1);
    for (unsigned i = 0; i < second_hops; ++i) co_await pool.schedule();
    second.push(2);
}

peal::task<bool> pops_both(support::mailbox<int>& first, support::mailbox<int>& second) {
    try {
        auto values = co_await peal::when_all(pops(first), pops(second));
        if (values != std::tuple<int, int>(1, 2)) throw std::logic_error("other values arrived");
    } catch (const std::system_error& failure) {
        if (!peal::is_canceled(failure)) throw;
        co_return false;
    }
    co_return true;
}

peal::task<> ends_race_with_stops(peal::pool& pool, support::stopper& outside, int& canceled, support::verdict& judged, int rounds) {
    std::mt19937_64 random(1);
    for (int i = 0; i < rounds; ++i) {
        support::mailbox<int> first;
        support::mailbox<int> second;
        auto pushing = pool.spawn(pushes, pool, std::ref(first), std::ref(second), static_cast<unsigned>(random() % 8),
                                  static_cast<unsigned>(random() % 4));
        auto popping = pool.spawn(pops_both, std::ref(first), std::ref(second));
        support::stop_soon(pool, outside, random(), 14, popping.stop_handle());
        bool got = co_await popping;
        co_await pushing;
        if (!got) ++canceled;
        std::size_t left = first.size() + second.size();
        judged.expect(got ? left == 0 : left <= 2, "a value was lost or doubled");
    }
}

}  // namespace

TEST_CASE("when_all: a stop that races with the ends of all gives the values or cancels") {
    constexpr int rounds = 3000;
    unsigned workers = GENERATE(1u, 2u);
    peal::pool pool{peal::pool_options(workers)};
    support::verdict judged;
    int canceled = 0;
    {
        support::stopper outside;
        pool.run(ends_race_with_stops, pool, std::ref(outside), std::ref(canceled), judged, rounds);
    }
    CHECK(judged.text() == "");
    CHECK(canceled > 0);
    CHECK(canceled < rounds);
}

// ---- workers and pools ------------------------------------------------------------------------------------------------------------

namespace {

thread_local int pool_of_thread = 0;

peal::pool_options numbered_pool(int number) {
    peal::pool_options options(2);
    options.on_worker_start = [number](unsigned) { pool_of_thread = number; };
    return options;
}

[[gnu::noinline]] int pool_here() { return pool_of_thread; }  // the thread may change with each co_await

peal::task<int> visits(peal::pool& where, int number, int hops) {
    for (int i = 0; i < hops; ++i) co_await where.schedule();
    if (pool_here() != number) throw std::logic_error("the task is elsewhere");
    co_return number;
}

peal::task<int> goes_on_at_home(peal::pool& home, peal::pool& other, int rounds) {
    int away = 0;
    for (int i = 0; i < rounds; ++i) {
        auto values = co_await peal::when_all(visits(other, 2, 1 + i % 3), visits(home, 1, 1 + i % 2), visits(other, 2, 2));
        if (values != std::tuple<int, int, int>(2, 1, 2)) throw std::logic_error("other values arrived");
        if (pool_here() != 1) ++away;
    }
    co_return away;
}

peal::task<int> enters_by_branches(peal::pool& pool) {
    auto nothing = co_await peal::when_all(gives(1), gives(2));
    auto values = co_await peal::when_all(visits(pool, 1, 1), gives(std::get<1>(nothing)), visits(pool, 1, 2));
    co_return std::get<0>(values) + std::get<1>(values) + std::get<2>(values);
}

}  // namespace

TEST_CASE("when_all: goes on in its own pool, wherever its parts have gone") {
    peal::pool home(numbered_pool(1));
    peal::pool other(numbered_pool(2));
    CHECK(home.run(goes_on_at_home, home, other, 1000) == 0);
}

TEST_CASE("when_all: needs no worker, if its parts need none") {
    peal::pool pool(numbered_pool(1));
    for (int i = 0; i < 100; ++i) CHECK(peal::sync_wait(enters_by_branches(pool)) == 4);
}

// ---- many -------------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> many_in_sequence(peal::pool&, int count, std::uint64_t& grown) {
    int sum = 0;
    std::uint64_t before = 0;
    std::int64_t frames = peal::detail::live_frames();
    for (int i = 0; i < count; ++i) {
        auto values = co_await peal::when_all(gives(1), gives(2));
        sum += std::get<0>(values) + std::get<1>(values);
        if (i == 10) before = peal::detail::frame_system_allocations();
    }
    grown = peal::detail::frame_system_allocations() - before;
    CHECK(sum == 3 * count);
    CHECK(peal::detail::live_frames() == frames);
}

peal::task<> many_in_a_range(peal::pool&, int count) {
    std::vector<peal::task<int>> tasks;
    for (int i = 0; i < count; ++i) {
        if (i % 2 == 0) {
            tasks.push_back(gives(i));
        } else {
            tasks.push_back(gives_after(i, std::chrono::microseconds(i % 1000)));
        }
    }
    std::vector<int> values = co_await peal::when_all(std::move(tasks));
    bool in_order = values.size() == static_cast<std::size_t>(count);
    for (int i = 0; i < count && in_order; ++i) in_order = values[static_cast<std::size_t>(i)] == i;
    CHECK(in_order);
}

peal::task<> one_of_many_fails(peal::pool&, int count) {
    int sum = 0;
    std::vector<peal::task<>> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(adds(sum, 1'000'000));
    tasks.push_back(fails());
    for (int i = 0; i < count; ++i) tasks.push_back(adds(sum, 1'000'000));
    bool failed = false;
    try {
        co_await peal::when_all(std::move(tasks));
    } catch (const std::runtime_error&) {
        failed = true;
    }
    CHECK(failed);
    CHECK(sum == 0);
}

/// A random tree whose leaves sleep, fail or are ready. Gives its number of leaves.
peal::task<int> random_tree(std::mt19937_64& random, int levels, bool may_fail) {
    std::uint64_t kind = random() % 8;
    if (levels == 0 || kind == 0) {
        if (may_fail && random() % 50 == 0) throw std::runtime_error("on purpose");
        if (random() % 2 == 0) co_await peal::sleep_for(std::chrono::microseconds(random() % 500));
        co_return 1;
    }
    int sum = 0;
    if (kind < 4) {
        auto both = co_await peal::when_all(random_tree(random, levels - 1, may_fail), random_tree(random, levels - 1, may_fail));
        sum = std::get<0>(both) + std::get<1>(both);
    } else if (kind < 6) {
        std::vector<peal::task<int>> tasks;
        for (std::uint64_t i = random() % 4; i != 0; --i) tasks.push_back(random_tree(random, levels - 1, may_fail));
        std::vector<int> all = co_await peal::when_all(std::move(tasks));
        sum = std::accumulate(all.begin(), all.end(), 0);
    } else {
        auto ends =
            co_await peal::when_all_settled(random_tree(random, levels - 1, may_fail), random_tree(random, levels - 1, may_fail));
        sum += std::get<0>(ends) ? std::get<0>(ends).value() : 0;
        sum += std::get<1>(ends) ? std::get<1>(ends).value() : 0;
    }
    co_return sum;
}

peal::task<> stopped_trees(peal::pool& pool, std::uint64_t seed, int& canceled) {
    std::mt19937_64 random(seed);
    auto tree = pool.spawn(random_tree, std::ref(random), 5, seed % 2 == 0);
    co_await peal::sleep_for(std::chrono::microseconds(random() % 1000));
    tree.request_stop();
    try {
        co_await tree;
    } catch (const std::runtime_error& failure) {
        if (peal::is_canceled(failure)) ++canceled;
    }
}

}  // namespace

TEST_CASE("when_all: a hundred thousand one after the other need no more memory than one") {
    peal::simulation sim(1);
    std::uint64_t grown = 1;
    sim.pool().run(many_in_sequence, sim.pool(), 100'000, std::ref(grown));
    CHECK(grown == 0);
}

TEST_CASE("when_all: a hundred thousand at once give their values in order") {
    peal::simulation sim(1);
    sim.pool().run(many_in_a_range, sim.pool(), 100'000);
    sim.pool().run(one_of_many_fails, sim.pool(), 1000);
}

TEST_CASE("when_all: random trees that are stopped at any moment leave nothing behind") {
    int canceled = 0;
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        CAPTURE(seed);
        std::int64_t frames = peal::detail::live_frames();
        {
            peal::simulation sim(seed, 1 + seed % 3);
            sim.pool().run(stopped_trees, sim.pool(), seed, std::ref(canceled));
        }
        REQUIRE(peal::detail::live_frames() == frames);
    }
    CHECK(canceled > 0);
    CHECK(canceled < 1000);
}

// ---- contract ---------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> awaits_twice(peal::pool&) {
    auto both = peal::when_all(gives(1), gives(2));
    static_cast<void>(co_await both);
    static_cast<void>(co_await both);
}

peal::task<> awaits_range_twice(peal::pool&) {
    std::vector<peal::task<int>> tasks;
    tasks.push_back(gives(1));
    auto all = peal::when_all(std::move(tasks));
    static_cast<void>(co_await all);
    static_cast<void>(co_await all);
}

peal::task<> awaits_moved_from(peal::pool&) {
    peal::task<int> first = gives(1);
    peal::task<int> second = std::move(first);
    static_cast<void>(co_await peal::when_all(std::move(first), std::move(second)));
}

}  // namespace

TEST_CASE("when_all: is awaited once, and not with an empty task") {
    CHECK(support::death_in_task(awaits_twice).says("when_all() or another combination was awaited twice"));
    CHECK(support::death_in_task(awaits_range_twice).says("when_all() or another combination was awaited twice"));
    CHECK(support::death_in_task(awaits_moved_from).says("an empty task was awaited"));
}
