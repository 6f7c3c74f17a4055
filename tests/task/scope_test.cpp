// SPDX-License-Identifier: MIT

#include <peal/task/scope.hpp>

#include <algorithm>
#include <atomic>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

/// Runs `fn(pool)` in simulations with one and with four workers, several seeds each.
template <class Function>
void in_simulations(Function fn) {
    for (unsigned workers : {1u, 4u}) {
        for (std::uint64_t seed = 0; seed < 20; ++seed) {
            peal::simulation sim(seed, workers);
            sim.pool().run(fn, sim.pool());
        }
    }
}

/// What the children of a test did.
struct tally {
    int ended = 0;
    int canceled = 0;
};

peal::task<> works(tally& seen, std::chrono::microseconds time, tracked) {
    try {
        co_await peal::sleep_for(time);
    } catch (const std::system_error&) {
        ++seen.canceled;
        throw;
    }
    ++seen.ended;
}

peal::task<> fails_after(std::chrono::milliseconds time) {
    co_await peal::sleep_for(time);
    throw std::runtime_error("child");
}

// ---- join -----------------------------------------------------------------------------------------------------------------------

peal::task<> joins_all(peal::pool&) {
    auto started = peal::clock::now();
    tally seen;
    peal::scope tasks;
    for (int i = 1; i <= 10; ++i) tasks.spawn(works, std::ref(seen), i * 1ms, tracked(i));
    CHECK(tasks.size() == 10);
    co_await tasks.join();
    CHECK(tasks.size() == 0);
    CHECK(seen.ended == 10);
    CHECK(tracked::alive() == 0);  // arguments, too
    CHECK(peal::clock::now() - started >= 10ms);
    CHECK(peal::clock::now() - started < 11ms);  // beside each other
    co_await tasks.join();                       // nothing to wait for

    tasks.spawn(works, std::ref(seen), 1ms, tracked(0));  // a scope may be filled again
    co_await tasks.join();
    CHECK(seen.ended == 11);
}

peal::task<> failing_children(peal::pool&) {
    tally seen;
    peal::scope tasks(peal::on_error::keep_going);
    for (int i = 0; i < 4; ++i) {
        tasks.spawn(works, std::ref(seen), i * 2ms, tracked(i));
        tasks.spawn(peal::spawn_options("fails"), fails_after, i * 1ms);
    }
    auto watched = tasks.spawn(fails_after, 1ms);
    bool caught = false;
    try {
        co_await watched;
    } catch (const std::runtime_error&) {
        caught = true;
    }
    co_await tasks.join();
    CHECK(caught);
    CHECK(seen.ended == 4);
    CHECK(seen.canceled == 0);
}

}  // namespace

TEST_CASE("scope: join waits for all children, which run beside each other") {
    in_simulations(joins_all);
    CHECK(tracked::clean());
}

TEST_CASE("scope: with on_error::keep_going a child that fails costs that child, its siblings go on (P6)") {
    support::captured_stderr lines;
    peal::simulation sim(3, 4);
    sim.pool().run(failing_children, sim.pool());
    CHECK(sim.pool().counts().failed == 5);
    std::string text = lines.text();
    std::size_t reported = 0;
    for (std::size_t at = 0; (at = text.find("peal: task 'fails' failed", at)) != std::string::npos; ++at) ++reported;
    CHECK(reported == 4);
    CHECK(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == reported);
}

// ---- leaving by destructor ------------------------------------------------------------------------------------------------------

namespace {

peal::task<> forgets_join(tally& seen, std::chrono::milliseconds before_leaving) {
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));
    if (before_leaving.count() > 0) co_await peal::sleep_for(before_leaving);
}

peal::task<> leaves_normally(peal::pool& pool) {
    auto started = peal::clock::now();
    tally at_once;
    co_await forgets_join(at_once, 0ms);
    CHECK(at_once.ended + at_once.canceled == 5);
    tally later;
    co_await forgets_join(later, 1ms);
    CHECK(later.canceled == 5);
    CHECK(tracked::alive() == 0);
    CHECK(peal::clock::now() - started < 1min);
    CHECK(pool.counts().canceled == 10);
}

peal::task<> leaves_between_resumptions(peal::pool& pool, tally& seen) {
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));
    co_await pool.schedule();  // some children have begun, some wait in a queue
}

peal::task<> leaves_while_children_are_queued(peal::pool& pool) {
    tally seen;
    co_await leaves_between_resumptions(pool, seen);
    CHECK(seen.canceled == 5);
    CHECK(tracked::alive() == 0);
}

peal::task<> throws_out_of_scope(tally& seen) {
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));
    co_await peal::sleep_for(1ms);
    throw std::logic_error("out of here");
}

peal::task<> leaves_by_exception(peal::pool&) {
    tally seen;
    bool caught = false;
    try {
        co_await throws_out_of_scope(seen);
    } catch (const std::logic_error&) {
        caught = seen.canceled == 5 && tracked::alive() == 0;  // the children ended before the exception arrived
    }
    CHECK(caught);
}

peal::task<> moves_between_workers(peal::pool& pool, std::atomic<int>& seen) {
    bool stopped = false;
    for (unsigned i = 0; !stopped; i = (i + 1) % pool.size()) {
        co_await pool.schedule_on(i);
        auto slept = co_await peal::as_result(peal::sleep_for(10us));
        stopped = !slept;
    }
    co_await pool.schedule_on(pool.size() - 1);  // still moves when it was asked to stop
    seen.fetch_add(1, std::memory_order_relaxed);
}

peal::task<> leaves_children_on_other_workers(peal::pool& pool) {
    std::atomic<int> seen{0};
    {
        peal::scope tasks;
        for (int i = 0; i < 5; ++i) tasks.spawn(moves_between_workers, pool, std::ref(seen));
        co_await peal::sleep_for(200us);
    }
    if (seen.load(std::memory_order_relaxed) != 5) throw std::logic_error("a child outlived its scope");
}

}  // namespace

TEST_CASE("scope: destroyed without join it asks the children to stop and waits for them") { in_simulations(leaves_normally); }

TEST_CASE("scope: destroyed while children wait in a queue it waits for them") {
    in_simulations(leaves_while_children_are_queued);
}

TEST_CASE("scope: an exception that leaves it arrives after the children ended") { in_simulations(leaves_by_exception); }

TEST_CASE("scope: destroyed while children are on other workers it waits for them") {
    in_simulations(leaves_children_on_other_workers);
    for (unsigned workers : {1u, 2u, 3u}) {
        peal::pool pool(peal::pool_options{workers});
        for (int i = 0; i < 20; ++i) pool.run(leaves_children_on_other_workers, pool);
    }
}

// ---- nesting --------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> nests(tally& seen, int levels) {
    peal::scope tasks;
    tasks.spawn(works, std::ref(seen), 2ms, tracked(levels));
    if (levels > 0) tasks.spawn(nests, std::ref(seen), levels - 1);
    co_await tasks.join();
}

peal::task<> nests_and_is_left(tally& seen, int levels) {
    peal::scope tasks;
    tasks.spawn(works, std::ref(seen), 1h, tracked(levels));
    if (levels > 0) tasks.spawn(nests_and_is_left, std::ref(seen), levels - 1);
    try {
        co_await peal::sleep_for(1h);
    } catch (const std::system_error&) {  // every level leaves by destructor
    }
}

peal::task<> joins_nested(peal::pool&) {
    tally seen;
    co_await nests(seen, 10);
    CHECK(seen.ended == 11);
}

peal::task<> leaves_nested(peal::pool&) {
    tally seen;
    {
        peal::scope tasks;
        tasks.spawn(nests_and_is_left, std::ref(seen), 10);
        co_await peal::sleep_for(1ms);
    }
    CHECK(seen.canceled == 11);
    CHECK(tracked::alive() == 0);
}

peal::task<> has_a_sibling(peal::scope& siblings, tally& seen, int more) {
    co_await peal::sleep_for(100us);
    ++seen.ended;
    if (more > 0) siblings.spawn(has_a_sibling, siblings, std::ref(seen), more - 1);
}

peal::task<> child_spawns_siblings(peal::pool&) {
    tally seen;
    peal::scope tasks;
    tasks.spawn(has_a_sibling, tasks, std::ref(seen), 20);
    co_await tasks.join();
    CHECK(seen.ended == 21);
}

}  // namespace

TEST_CASE("scope: nested scopes are joined from the inside out, and left from the inside out") {
    in_simulations(joins_nested);
    in_simulations(leaves_nested);
    CHECK(tracked::clean());
}

TEST_CASE("scope: join waits for children that a child spawned into the same scope") { in_simulations(child_spawns_siblings); }

// ---- stopping -------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> joins_children(tally& seen, bool& canceled, bool& empty) {
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));
    try {
        co_await tasks.join();
    } catch (const std::system_error& failure) {
        canceled = peal::is_canceled(failure);
    }
    empty = tasks.size() == 0;
}

peal::task<> cancels_join(peal::pool& pool) {
    for (auto delay : {0ms, 1ms}) {  // before it began, and while it waits
        tally seen;
        bool canceled = false;
        bool empty = false;
        auto joiner = pool.spawn(joins_children, std::ref(seen), std::ref(canceled), std::ref(empty));
        if (delay.count() != 0) co_await peal::sleep_for(delay);
        joiner.request_stop();
        co_await joiner;
        CHECK(canceled);
        CHECK(empty);
        CHECK(seen.canceled == 5);
    }
}

peal::task<> asks_all_to_stop(peal::pool&) {
    tally seen;
    peal::scope tasks;
    for (int i = 0; i < 3; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));
    tasks.request_stop();
    for (int i = 0; i < 2; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));  // those that come later too
    co_await tasks.join();
    CHECK(seen.canceled == 5);
}

peal::task<> ten_thousand_children(peal::pool&) {
    tally seen;
    peal::scope tasks;
    co_await peal::sleep_for(1us);
    std::int64_t frames = peal::detail::live_frames();
    for (int i = 0; i < 10'000; ++i) {
        tasks.spawn(works, std::ref(seen), 1us, tracked(i));
        if (i % 100 == 0) co_await peal::sleep_for(1ms);
    }
    co_await peal::sleep_for(1ms);
    CHECK(seen.ended == 10'000);
    CHECK(tasks.size() == 0);
    CHECK(peal::detail::live_frames() == frames);  // the scope is still open
    co_await tasks.join();
}

}  // namespace

TEST_CASE("scope: a canceled join asks the children to stop, waits for them, and reports that it was canceled") {
    in_simulations(cancels_join);
}

TEST_CASE("scope: request_stop reaches all children, and those that are spawned later") { in_simulations(asks_all_to_stop); }

TEST_CASE("scope: children that have ended leave nothing behind while it is open") {
    peal::simulation sim(1);
    sim.pool().run(ten_thousand_children, sim.pool());
    CHECK(tracked::clean());
}

// ---- a thread of the program ------------------------------------------------------------------------------------------------------

namespace {

peal::task<> fills(peal::scope& tasks, std::atomic<int>& ended, peal::pool& pool) {
    struct child {
        static peal::task<> run(std::atomic<int>& ended, peal::pool& pool) {
            try {
                co_await peal::sleep_for(1h);
            } catch (const std::system_error&) {
            }
            for (int i = 0; i < 100; ++i) co_await pool.schedule();  // takes a while to end
            ended.fetch_add(1, std::memory_order_relaxed);
        }
    };
    for (int i = 0; i < 50; ++i) tasks.spawn(child::run, std::ref(ended), pool);
    co_return;
}

}  // namespace

TEST_CASE("scope: destroyed by a thread of the program it blocks until the children ended") {
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 20; ++i) {
        std::atomic<int> ended{0};
        {
            peal::scope tasks;
            pool.run(fills, tasks, std::ref(ended), pool);
        }
        REQUIRE(ended.load() == 50);
    }
}
