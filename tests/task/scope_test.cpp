// SPDX-License-Identifier: MIT

#include <peal/task/scope.hpp>

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <ranges>
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
#include "support/rounds.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::in_simulations;
using support::tracked;

/// Of the heap; 0 where a sanitizer keeps the books.
std::size_t bytes_in_use() { return ::mallinfo2().uordblks; }

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

TEST_CASE("scope: that keeps going: a child that fails costs that child and goes to the handler, its siblings go on (P6)") {
    support::captured_stderr lines;
    peal::simulation sim(3, 4);
    sim.pool().run(failing_children, sim.pool());
    CHECK(sim.pool().counts().failed == 5);
    std::string text = lines.text();
    std::size_t reported = 0;
    for (std::size_t at = 0; (at = text.find("peal: task 'fails' (spawned at ", at)) != std::string::npos; ++at) ++reported;
    CHECK(reported == 4);
    CHECK(static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) == reported);
}

// ---- failures -------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> fails_with(int number, std::chrono::milliseconds after) {
    co_await peal::sleep_for(after);
    throw std::runtime_error("child " + std::to_string(number));
}

/// Fails when it is stopped.
peal::task<> fails_in_clean_up(int number) {
    bool stopped = false;
    try {
        co_await peal::sleep_for(1h);
    } catch (const std::system_error&) {
        stopped = true;
    }
    if (stopped) throw std::runtime_error("clean-up " + std::to_string(number));
}

std::string text_of(const std::exception_ptr& failure) {
    try {
        std::rethrow_exception(failure);
    } catch (const std::exception& thrown) {
        return thrown.what();
    }
}

/// What join() throws, "" if nothing.
peal::task<std::string> text_of_join(peal::scope& tasks) {
    try {
        co_await tasks.join();
    } catch (const std::exception& failure) {
        co_return failure.what();
    }
    co_return "";
}

peal::task<> first_failure(peal::pool& pool) {
    auto started = peal::clock::now();
    tally seen;
    peal::scope tasks;
    for (int i = 0; i < 5; ++i) tasks.spawn(works, std::ref(seen), 1h, tracked(i));
    tasks.spawn(fails_with, 2, 2ms);
    tasks.spawn(fails_with, 1, 1ms);
    for (int i = 0; i < 3; ++i) tasks.spawn(fails_in_clean_up, i);
    std::string thrown = co_await text_of_join(tasks);
    CHECK(thrown == "child 1");
    CHECK(seen.canceled == 5);
    CHECK(tracked::alive() == 0);
    CHECK(peal::clock::now() - started < 1s);
    std::vector<std::string> others;
    for (const std::exception_ptr& each : tasks.other_failures()) others.push_back(text_of(each));
    std::sort(others.begin(), others.end());
    CHECK(others == std::vector<std::string>{"clean-up 0", "clean-up 1", "clean-up 2"});
    CHECK(pool.counts().failed == 4);
    std::string again = co_await text_of_join(tasks);  // thrown once
    CHECK(again.empty());
}

peal::task<> of_an_awaited_handle(peal::pool&) {
    tally seen;
    peal::scope tasks;
    tasks.spawn(works, std::ref(seen), 5ms, tracked(0));
    auto watched = tasks.spawn(fails_with, 1, 1ms);
    std::string thrown;
    try {
        co_await watched;
    } catch (const std::runtime_error& failure) {
        thrown = failure.what();
    }
    CHECK(thrown == "child 1");
    std::string of_join = co_await text_of_join(tasks);
    CHECK(of_join.empty());
    CHECK(tasks.other_failures().empty());
    CHECK(seen.ended == 1);
}

peal::task<> canceled_is_no_failure(peal::pool&) {
    tally seen;
    peal::scope tasks;
    auto stopped = tasks.spawn(works, std::ref(seen), 1h, tracked(0)).stop_handle();
    tasks.spawn(works, std::ref(seen), 5ms, tracked(1));
    co_await peal::sleep_for(1ms);
    stopped.request_stop();
    std::string thrown = co_await text_of_join(tasks);
    CHECK(thrown.empty());
    CHECK(seen.canceled == 1);
    CHECK(seen.ended == 1);
}

peal::task<> many_failures(peal::pool& pool) {
    peal::scope tasks;
    for (int i = 0; i < 100; ++i) tasks.spawn(fails_in_clean_up, i);
    co_await peal::sleep_for(1ms);
    tasks.spawn(fails_with, 0, 0ms);
    std::string thrown = co_await text_of_join(tasks);
    CHECK(thrown == "child 0");
    CHECK(tasks.other_failures().size() == 64);  // the others went to the handler
    CHECK(pool.counts().failed == 101);
}

peal::task<> leaves_a_failure(bool by_exception) {
    peal::scope tasks;
    tasks.spawn(fails_with, 1, 1ms);
    co_await peal::sleep_for(2ms);
    if (by_exception) throw std::logic_error("another one");
}

peal::task<> nested_failure(peal::pool&) {
    auto inner = [](tally& seen) -> peal::task<> {
        peal::scope tasks;
        tasks.spawn(works, std::ref(seen), 1h, tracked(0));
        tasks.spawn(fails_with, 1, 1ms);
        co_await tasks.join();
    };
    tally seen;
    peal::scope tasks;
    tasks.spawn(works, std::ref(seen), 1h, tracked(1));
    tasks.spawn(inner, std::ref(seen));
    std::string thrown = co_await text_of_join(tasks);
    CHECK(thrown == "child 1");
    CHECK(seen.canceled == 2);
}

}  // namespace

TEST_CASE("scope: the first failure stops the siblings and is thrown by join, the others can be asked for") {
    in_simulations(first_failure);
    in_simulations(nested_failure);
    CHECK(tracked::clean());
}

TEST_CASE("scope: the failure of a child whose handle is awaited belongs to the awaiter") { in_simulations(of_an_awaited_handle); }

TEST_CASE("scope: a child that is canceled has not failed") { in_simulations(canceled_is_no_failure); }

TEST_CASE("scope: keeps 64 failures besides the first") {
    support::captured_stderr lines;
    peal::simulation sim(1);
    sim.pool().run(many_failures, sim.pool());
    CHECK(lines.text().find("clean-up") != std::string::npos);
}

TEST_CASE("scope: left without a join it reports the failure once") {
    std::vector<std::string> reported;
    int thrown = 0;
    {
        peal::pool_options options(1);
        options.on_unhandled = [&reported](std::exception_ptr failure, const peal::context&) { reported.push_back(text_of(failure)); };
        peal::pool pool(options);
        for (bool by_exception : {false, true}) {
            try {
                pool.run(leaves_a_failure, by_exception);
            } catch (const std::logic_error&) {
                ++thrown;
            }
        }
    }
    CHECK(thrown == 1);
    CHECK(reported == std::vector<std::string>{"child 1", "child 1"});
}

namespace {

peal::task<> fails_at_once() {
    throw std::runtime_error("at once");
    co_return;
}

peal::task<> joins_one_that_fails(std::atomic<int>& thrown) {
    peal::scope tasks;
    tasks.spawn(fails_at_once);
    try {
        co_await tasks.join();
    } catch (const std::runtime_error&) {
        thrown.fetch_add(1);
    }
}

}  // namespace

TEST_CASE("scope: a failure belongs to the scope also if the child ends on another worker before spawn() has returned") {
    std::atomic<int> thrown{0};
    std::atomic<int> unhandled{0};
    constexpr int rounds = 20'000;
    {
        peal::pool_options options(4);
        options.on_unhandled = [&unhandled](std::exception_ptr, const peal::context&) { unhandled.fetch_add(1); };
        peal::pool pool(options);
        auto repeats = [&thrown]() -> peal::task<> {
            for (int i = 0; i < rounds / 2; ++i) co_await joins_one_that_fails(thrown);
        };
        auto one = pool.spawn(std::ref(repeats));
        auto two = pool.spawn(std::ref(repeats));
        auto both = [&]() -> peal::task<> {
            co_await one;
            co_await two;
        };
        peal::sync_wait(both());
    }
    CHECK(thrown.load() == rounds);
    CHECK(unhandled.load() == 0);
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

// ---- a million children ---------------------------------------------------------------------------------------------------------

namespace {

peal::task<> does_nothing() { co_return; }

peal::task<> a_million_children(peal::pool& pool) {
    peal::scope tasks;
    std::int64_t frames = 0;
    std::uint64_t blocks = 0;
    for (int i = 0; i < 1'000'000; ++i) {
        tasks.spawn(does_nothing);
        if (i % 64 != 0) continue;
        while (tasks.size() != 0) co_await pool.schedule();
        if (i == 64 * 100) {  // the free lists are filled
            frames = peal::detail::live_frames();
            blocks = peal::detail::frame_system_allocations();
        }
    }
    while (tasks.size() != 0) co_await pool.schedule();
    CHECK(peal::detail::live_frames() == frames);
    CHECK(peal::detail::frame_system_allocations() == blocks);
    co_await tasks.join();
}

}  // namespace

TEST_CASE("scope: a million children that have ended hold no memory while it is open") {
    peal::simulation sim(1, 1);
    std::size_t before = bytes_in_use();
    sim.pool().run(a_million_children, sim.pool());
    CHECK(bytes_in_use() < before + (1 << 20));
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

// ---- many at once -----------------------------------------------------------------------------------------------------------------

namespace {

class copy_that_fails {
  public:
    explicit copy_that_fails(int good) : good_(good) {}
    copy_that_fails(const copy_that_fails& other) : good_(other.good_ - 1) {
        if (good_ < 0) throw std::runtime_error("no more copies");
    }

  private:
    int good_;
};

peal::task<> add(std::atomic<int>& sum, int number) {
    sum += number;
    co_return;
}

}  // namespace

TEST_CASE("scope: spawn_bulk() starts one for every element, also more than fit into a queue") {
    peal::pool pool(peal::pool_options(2));
    for (int count : {0, 1, 2, 255, 256, 257, 10'000}) {
        std::atomic<int> sum{0};
        auto add_one = [&sum](int number) { return add(sum, number); };
        auto all = [&]() -> peal::task<> {
            peal::scope tasks;
            tasks.spawn_bulk(std::views::iota(0, count), add_one);
            co_await tasks.join();
        };
        pool.run(std::ref(all));
        CHECK(sum == count * (count - 1) / 2);
    }
}

TEST_CASE("scope: spawn_bulk() takes options, plain functions and elements that can only be moved") {
    peal::pool pool(peal::pool_options(1));
    std::vector<std::unique_ptr<int>> numbers;
    for (int i = 1; i <= 3; ++i) numbers.push_back(std::make_unique<int>(i));
    int sum = 0;
    std::string names;
    auto take = [&](std::unique_ptr<int> number) {
        sum += *number;
        names += peal::this_task::name();
    };
    auto all = [&]() -> peal::task<> {
        peal::scope tasks;
        auto moved = numbers | std::views::transform([](std::unique_ptr<int>& each) { return std::move(each); });
        tasks.spawn_bulk(peal::spawn_options("bulk", peal::priority::high), moved, take);
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    CHECK(sum == 6);
    CHECK(names == "bulkbulkbulk");
}

TEST_CASE("scope: spawn_bulk() that fails halfway has started what came before") {
    peal::pool pool(peal::pool_options(1));
    std::atomic<int> begun{0};
    std::vector<copy_that_fails> elements;
    elements.reserve(3);
    for (int good : {9, 9, 0}) elements.emplace_back(good);
    auto count = [&begun](const copy_that_fails&) { ++begun; };
    bool thrown = false;
    auto all = [&]() -> peal::task<> {
        peal::scope tasks;
        try {
            tasks.spawn_bulk(elements, count);
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    CHECK(thrown);
    CHECK(begun == 2);
}
