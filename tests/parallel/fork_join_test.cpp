// SPDX-License-Identifier: MIT

#include <peal/parallel/fork_join.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <tuple>
#include <variant>
#include <vector>

#include <peal/combine/select.hpp>
#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/sync/event.hpp>
#include <peal/sync/semaphore.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/death.hpp"
#include "support/kinds_of_values.hpp"
#include "support/rounds.hpp"
#include "support/sanitized.hpp"
#include "support/stopper.hpp"
#include "support/tcp_pair.hpp"
#include "support/tracked.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::busy_until;
using support::gives;
using support::gives_after;
using support::in_simulations;
using support::lends;
using support::tracked;
using support::unique_number;

constexpr int times = support::is_sanitized ? 1 : 10;

peal::task<unique_number> gives_unique(int value) { co_return unique_number(value); }
peal::task<> adds(int& sum, int value) {
    sum += value;
    co_return;
}
peal::task<> notes(std::string& notes, char name, std::chrono::microseconds time = 0us) {
    notes += name;
    if (time != 0us) co_await peal::sleep_for(time);
}
peal::task<> fails(const char* how, std::chrono::microseconds time = 0us) {
    if (time != 0us) co_await peal::sleep_for(time);
    throw std::runtime_error(how);
}
peal::task<> sleeps(std::chrono::microseconds time) { co_await peal::sleep_for(time); }

/// What it ended with.
template <class Awaited>
peal::task<std::string> end_of(Awaited awaited) {
    std::string text = "value";
    try {
        co_await std::move(awaited);
    } catch (const std::exception& failure) {
        text = peal::is_canceled(failure) ? "canceled" : failure.what();
    }
    co_return text;
}
template <class... Tasks>
peal::task<> joins(Tasks... tasks) {
    co_await peal::fork_join(std::move(tasks)...);
}

// ---- values ---------------------------------------------------------------------------------------------------------------------

peal::task<> kinds_of_values(peal::pool&) {
    int lent = 5;
    int sum = 0;
    auto values = co_await peal::fork_join(gives(1), gives_unique(2), lends(lent), adds(sum, 4));
    static_assert(std::is_same_v<decltype(values), std::tuple<int, unique_number, int&, std::monostate>>);
    CHECK(std::get<0>(values) == 1);
    CHECK(std::get<1>(values).value() == 2);
    CHECK(&std::get<2>(values) == &lent);
    CHECK(sum == 4);

    auto nothing = peal::fork_join(adds(sum, 1), adds(sum, 2));
    static_assert(std::is_void_v<peal::await_result<decltype(nothing)&>>);
    co_await nothing;
    CHECK(sum == 7);

    auto [a, b, c, d, e, f, g, h, i, j] = co_await peal::fork_join(gives(0), gives_after(1, 3us), gives(2), gives(3), gives_after(4, 1us),
                                                                   gives(5), gives(6), gives_after(7, 2us), gives(8), gives(9));
    std::vector<int> ten{a, b, c, d, e, f, g, h, i, j};
    for (int place = 0; place < 10; ++place) CHECK(ten[static_cast<std::size_t>(place)] == place);
}

peal::task<> other_awaitables(peal::pool&) {
    auto begun = peal::clock::now();
    co_await peal::fork_join(peal::sleep_for(2ms), peal::sleep_for(3ms));
    CHECK(peal::clock::now() - begun >= 3ms);
    CHECK(peal::clock::now() - begun < 4ms);
    auto handle = peal::spawn(gives_after, 7, 1ms);
    auto values = co_await peal::fork_join(handle, gives(8));
    CHECK(values == std::tuple(7, 8));
}

peal::task<tracked> gives_tracked(tracked value, std::chrono::microseconds time) {
    if (time != 0us) co_await peal::sleep_for(time);
    co_return std::move(value);
}
peal::task<> keeps_what_it_is_given(peal::pool&) {
    for (auto [first, second] : {std::pair(0us, 0us), std::pair(0us, 1us), std::pair(1us, 0us), std::pair(2us, 1us)}) {
        auto values = co_await peal::fork_join(gives_tracked(tracked(1), first), gives_tracked(tracked(2), second));
        CHECK(std::get<0>(values).value() == 1);
        CHECK(std::get<1>(values).value() == 2);
    }
}

}  // namespace

TEST_CASE("fork_join: gives values of every kind, in order") { in_simulations(kinds_of_values); }

TEST_CASE("fork_join: takes what is no task, too") { in_simulations(other_awaitables); }

TEST_CASE("fork_join: moves arguments and values, and destroys them once") {
    tracked::forget_counts();
    in_simulations(keeps_what_it_is_given);
    CHECK(tracked::clean());
    CHECK(tracked::copies() == 0);
}

TEST_CASE("fork_join: that is never awaited runs nothing, and drops what it was given") {
    std::string seen;
    {
        auto dropped = peal::fork_join(notes(seen, 'a'), gives_tracked(tracked(1), 0us));
        static_cast<void>(dropped);
        CHECK(tracked::alive() != 0);
    }
    CHECK(tracked::clean());
    CHECK(seen == "");
}

// ---- order ----------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> one_after_the_other(peal::pool&) {
    std::string seen;
    co_await peal::fork_join(notes(seen, 'a'), notes(seen, 'b'), notes(seen, 'c'), notes(seen, 'd'));
    CHECK(seen == "abcd");
    // What suspends holds up nobody.
    seen.clear();
    auto begun = peal::clock::now();
    co_await peal::fork_join(notes(seen, 'a', 30ms), notes(seen, 'b', 20ms), notes(seen, 'c', 10ms));
    CHECK(seen.size() == 3);
    auto took = peal::clock::now() - begun;
    CHECK(took >= 30ms);
    CHECK(took < 35ms);
}

/// Every order in which four children can end, each of which suspends or not.
peal::task<> every_order(peal::pool&) {
    std::array<int, 4> order{0, 1, 2, 3};
    do {
        for (int suspending = 0; suspending < 16; ++suspending) {
            auto time = [&](int child) {
                return std::chrono::microseconds((suspending >> child & 1) != 0 ? order[static_cast<std::size_t>(child)] + 1 : 0);
            };
            int sum = 0;
            auto values = co_await peal::fork_join(gives_tracked(tracked(0), time(0)), gives_after(1, time(1) + 1us),
                                                   gives_tracked(tracked(2), time(2)), adds(sum, 3));
            CHECK(std::get<0>(values).value() == 0);
            CHECK(std::get<1>(values) == 1);
            CHECK(std::get<2>(values).value() == 2);
            CHECK(sum == 3);
        }
    } while (std::next_permutation(order.begin(), order.end()));
}

peal::task<long> fib(int n, bool suspends) {
    if (suspends && n % 3 == 0) co_await peal::yield();
    if (n < 2) co_return n;
    auto [a, b] = co_await peal::fork_join(fib(n - 1, suspends), fib(n - 2, suspends));
    co_return a + b;
}

peal::task<> divides(peal::pool&) {
    long plain = co_await fib(12, false);
    CHECK(plain == 144);
    long with_suspensions = co_await fib(10, true);
    CHECK(with_suspensions == 55);
}

peal::task<> without_a_pool() {
    std::string seen;
    co_await peal::fork_join(notes(seen, 'a'), notes(seen, 'b'), notes(seen, 'c'));
    CHECK(seen == "abc");
    long value = co_await fib(10, true);
    CHECK(value == 55);
}

}  // namespace

TEST_CASE("fork_join: children run in order, and one that suspends lets the next begin") { in_simulations(one_after_the_other); }

TEST_CASE("fork_join: children may suspend and end in any order") {
    in_simulations(every_order, 5);
    CHECK(tracked::clean());
}

TEST_CASE("fork_join: divides a computation, on one worker and on several") {
    in_simulations(divides);
    for (unsigned workers : {1u, 2u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        CHECK(pool.run(fib, 20, false) == 6765);
        CHECK(pool.run(fib, 18, true) == 2584);
    }
}

TEST_CASE("fork_join: without a pool the children run one after the other") { peal::sync_wait(without_a_pool()); }

// ---- other pools ------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<int> hops(peal::pool& other, int value) {
    co_await other.schedule();
    co_return value;
}
/// The first one moves the task to another pool while others begin the second.
peal::task<> moves_away(peal::pool& home, peal::pool& other, support::verdict& found) {
    for (int i = 0; i < 2000 * times; ++i) {
        auto values = co_await peal::fork_join(hops(other, 1), gives(2), hops(home, 3), hops(other, 4));
        found.expect(values == std::tuple(1, 2, 3, 4), "other values");
        co_await home.schedule();
    }
}
peal::task<int> enters(peal::pool& pool) {
    auto [a, b, c] = co_await peal::fork_join(hops(pool, 1), gives(2), hops(pool, 3));
    co_return a + b + c;
}

}  // namespace

TEST_CASE("fork_join: children may move to another pool") {
    support::verdict found;
    peal::pool home{peal::pool_options(2)};
    peal::pool other{peal::pool_options(2)};
    home.run(moves_away, home, other, std::ref(found));
    CHECK(found.text() == "");
    CHECK(peal::sync_wait(enters(home)) == 6);
}

// ---- failures -------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> failures(peal::pool&) {
    std::string seen;
    // Nobody has taken the others.
    std::string first = co_await end_of(joins(fails("one"), notes(seen, 'b'), notes(seen, 'c')));
    CHECK(first == "one");
    CHECK(seen == "");
    std::string second = co_await end_of(joins(notes(seen, 'a'), fails("two"), notes(seen, 'c'), fails("four")));
    CHECK(second == "two");
    CHECK(seen == "a");
    std::string last = co_await end_of(joins(notes(seen, 'b'), fails("last")));
    CHECK(last == "last");

    // All have begun; the first in order counts, not the first in time.
    std::string in_order = co_await end_of(joins(support::sleep_regardless(2us), fails("b", 30us), notes(seen, 'c', 1us)));
    CHECK(in_order == "b");
}

peal::task<> fails_regardless(const char* how, std::chrono::microseconds time) {
    co_await support::sleep_regardless(time);
    throw std::runtime_error(how);
}

peal::task<> several_failures(peal::pool&) {
    std::string both = co_await end_of(joins(sleeps(5us), fails_regardless("b", 30us), fails_regardless("c", 10us)));
    CHECK(both == "b");
}

/// Those that run apart are stopped, and what they then say is not what is told.
peal::task<> stops_siblings(peal::pool&) {
    auto begun = peal::clock::now();
    std::string later = co_await end_of(joins(sleeps(50us), fails("b", 10us), sleeps(1h)));
    CHECK(later == "b");
    std::string earlier = co_await end_of(joins(sleeps(50us), sleeps(1h), fails("c", 10us)));
    CHECK(earlier == "c");
    std::string in_line = co_await end_of(joins(fails("a", 10us), sleeps(1h), sleeps(2h)));
    CHECK(in_line == "a");
    CHECK(peal::clock::now() - begun < 1ms);
}

/// Ends when it is asked to stop. Says whether it began, and complains if nobody asks.
peal::task<> until_stopped(std::atomic<int>& begun, support::verdict& found) {
    ++begun;
    found.expect(busy_until([] { return peal::this_task::stop_requested(); }), "a sibling failed, and this one was not stopped");
    co_return;
}
peal::task<> fails_soon(unsigned spins) {
    for (unsigned i = 0; i < spins; ++i) peal::detail::spin_hint();
    throw std::runtime_error("soon");
    co_return;
}
peal::task<> failures_meet_thieves(std::atomic<int>& begun, support::verdict& found) {
    support::lots random(1);
    for (int i = 0; i < 2000 * times; ++i) {
        std::string end = co_await end_of(joins(fails_soon(random.below(300)), until_stopped(begun, found)));
        found.expect(end == "soon", end);
    }
}

/// Of three, the last is taken by another worker and fails, while the first computes.
peal::task<> busy(const std::atomic<bool>& failed, support::verdict& found) {
    found.expect(busy_until([&failed] { return failed.load(); }), "nobody took the last one");
    std::this_thread::sleep_for(2ms);
    co_return;
}
peal::task<> fails_and_says_so(std::atomic<bool>& failed) {
    failed = true;
    throw std::runtime_error("taken");
    co_return;
}
peal::task<> begins(int& begun) {
    ++begun;
    co_return;
}
peal::task<> fails_elsewhere(int& begun, support::verdict& found) {
    for (int i = 0; i < 20; ++i) {
        std::atomic<bool> failed{false};
        std::string end = co_await end_of(joins(busy(failed, found), begins(begun), fails_and_says_so(failed)));
        found.expect(end == "taken", end);
    }
}

}  // namespace

TEST_CASE("fork_join: when a child fails, those that have not begun never do") { in_simulations(failures); }

TEST_CASE("fork_join: of several failures, the first in order is thrown") { in_simulations(several_failures); }

TEST_CASE("fork_join: a failure stops the siblings that run apart, and is told whichever place it has") { in_simulations(stops_siblings); }

TEST_CASE("fork_join: a child that is taken just when a sibling fails is stopped or never begins") {
    support::verdict found;
    std::atomic<int> begun{0};
    {
        peal::pool pool{peal::pool_options(3)};
        pool.run(failures_meet_thieves, std::ref(begun), std::ref(found));
    }
    CHECK(found.text() == "");
}

TEST_CASE("fork_join: when a child fails on another worker, the line of its siblings goes no further") {
    support::verdict found;
    int begun = 0;
    peal::pool pool{peal::pool_options(2)};
    pool.run(fails_elsewhere, std::ref(begun), std::ref(found));
    CHECK(found.text() == "");
    CHECK(begun < 20);  // mostly 0: the failure may be told too late
}

// ---- stops ----------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> says_how_it_ends(std::string& ends, char name, std::chrono::microseconds time) {
    try {
        co_await peal::sleep_for(time);
        ends += name;
    } catch (const std::system_error& failure) {
        ends += peal::is_canceled(failure) ? static_cast<char>(name - 'a' + 'A') : '?';
        throw;
    }
}
peal::task<> all_sleep(std::string& ends) {
    co_await peal::fork_join(says_how_it_ends(ends, 'a', 1h), says_how_it_ends(ends, 'b', 2us), says_how_it_ends(ends, 'c', 1h),
                             says_how_it_ends(ends, 'd', 2h));
}

peal::task<> stop_while_all_wait(peal::pool&) {
    std::string ends;
    auto handle = peal::spawn(all_sleep, std::ref(ends));
    co_await peal::sleep_for(10us);
    CHECK(ends == "b");
    handle.request_stop();
    std::string end = co_await end_of(std::move(handle));
    CHECK(end == "canceled");
    std::sort(ends.begin(), ends.end());
    CHECK(ends == "ACDb");
}

peal::task<> stops_before_it_waits(peal::stop_handle& itself) {
    itself.request_stop();
    co_await support::sleep_regardless(5us);
}
peal::task<> stopped_when_others_begin(std::string& ends, std::unique_ptr<peal::stop_handle>& itself) {
    co_await peal::sleep_for(1us);  // until it knows itself
    co_await peal::fork_join(stops_before_it_waits(*itself), says_how_it_ends(ends, 'b', 1h), says_how_it_ends(ends, 'c', 1h));
}
peal::task<> stop_before_others_begin(peal::pool&) {
    std::string ends;
    std::unique_ptr<peal::stop_handle> itself;
    auto handle = peal::spawn(stopped_when_others_begin, std::ref(ends), std::ref(itself));
    itself = std::make_unique<peal::stop_handle>(handle.stop_handle());
    std::string end = co_await end_of(std::move(handle));
    CHECK(end == "canceled");
    CHECK((ends == "BC" || ends == "CB" || ends == ""));  // a sibling of one that is canceled need not begin
}

/// Children of children apart.
peal::task<> tree_that_sleeps(int depth, int& ended) {
    struct ending {
        explicit ending(int& ended) : ended(ended) {}
        ~ending() { ++ended; }
        int& ended;
    };
    ending guard(ended);
    if (depth == 0) {
        co_await peal::sleep_for(1h);
    } else {
        co_await peal::fork_join(tree_that_sleeps(depth - 1, ended), tree_that_sleeps(depth - 1, ended));
    }
}
peal::task<> stop_of_a_tree(peal::pool&) {
    int ended = 0;
    auto handle = peal::spawn(tree_that_sleeps, 5, std::ref(ended));
    co_await peal::sleep_for(10us);
    handle.request_stop();
    std::string end = co_await end_of(std::move(handle));
    CHECK(end == "canceled");
    CHECK(ended == 63);
}

peal::task<> limits(peal::pool&) {
    std::string ends;
    auto begun = peal::clock::now();
    std::string end;
    try {
        co_await peal::timeout(10us, all_sleep(ends));
    } catch (const std::system_error& failure) {
        if (failure.code() == std::errc::timed_out) end = "timed out";
    }
    CHECK(end == "timed out");
    CHECK(peal::clock::now() - begun < 1ms);
    std::sort(ends.begin(), ends.end());
    CHECK(ends == "ACDb");
    end.clear();
    try {
        co_await peal::timeout(10us, peal::fork_join(sleeps(1h), sleeps(1h)));
    } catch (const std::system_error& failure) {
        if (failure.code() == std::errc::timed_out) end = "timed out";
    }
    CHECK(end == "timed out");
    auto in_time = co_await peal::timeout(1ms, peal::fork_join(gives_after(1, 5us), gives_after(2, 5us)));
    CHECK(in_time == std::tuple(1, 2));
}

peal::task<int> sum_of(int a, int b) {
    auto [x, y] = co_await peal::fork_join(gives_after(a, 2us), gives_after(b, 1us));
    co_return x + y;
}
peal::task<> in_combinations(peal::pool&) {
    auto sums = co_await peal::when_all(sum_of(1, 2), sum_of(3, 4), peal::fork_join(gives(5), gives_after(6, 1us)));
    CHECK(sums == std::tuple(3, 7, std::tuple(5, 6)));

    std::string ends;
    auto first = co_await peal::select(sum_of(1, 2), all_sleep(ends));
    CHECK(first.index == 0);
    CHECK(ends.size() == 4);
    auto second = co_await peal::select(all_sleep(ends), sum_of(1, 2));
    CHECK(second.index == 1);

    auto both = co_await peal::fork_join(peal::when_all(gives_after(1, 3us), gives(2)), peal::timeout(1ms, gives_after(3, 1us)));
    CHECK(both == std::tuple(std::tuple(1, 2), 3));

    peal::scope children;
    auto one = children.spawn(sum_of, 1, 2);
    auto two = children.spawn(sum_of, 3, 4);
    int sum = co_await one;
    sum += co_await two;
    CHECK(sum == 10);
    co_await children.join();
}

class facts {
  public:
    std::string name;
    peal::context::time_point deadline;
    bool stopped = false;
};
peal::task<facts> facts_after(std::chrono::microseconds time) {
    co_await peal::sleep_for(time);
    facts seen;
    seen.name = peal::this_task::name();
    seen.deadline = peal::this_task::deadline();
    seen.stopped = peal::this_task::stop_requested();
    co_return seen;
}
peal::task<std::string> wrong_facts(peal::context::time_point deadline) {
    std::string wrong;
    for (auto [first, second] : {std::pair(1us, 1us), std::pair(1us, 5us), std::pair(5us, 1us)}) {
        auto [a, b, c] = co_await peal::fork_join(facts_after(first), facts_after(second), facts_after(3us));
        for (const facts& each : {a, b, c}) {
            if (each.name != "forks") wrong += "name: " + each.name + ' ';
            if (each.deadline != deadline) wrong += "deadline ";
            if (each.stopped) wrong += "stopped ";
        }
        if (std::string(peal::this_task::name()) != "forks") wrong += "own name ";
        if (peal::this_task::deadline() != deadline) wrong += "own deadline ";
    }
    co_return wrong;
}
peal::task<std::string> with_deadline() {
    std::string without = co_await wrong_facts(peal::context::no_deadline);
    auto deadline = peal::clock::now() + 1h;
    std::string with = co_await peal::timeout_at(deadline, wrong_facts(deadline));
    co_return without + with;
}
peal::task<> knows_its_task(peal::pool& pool) {
    std::string wrong = co_await pool.spawn(peal::spawn_options("forks"), with_deadline);
    CHECK(wrong == "");
}

}  // namespace

TEST_CASE("fork_join: a stop reaches children in line and apart") {
    in_simulations(stop_while_all_wait);
    in_simulations(stop_of_a_tree);
}

TEST_CASE("fork_join: a stop reaches children that begin after it") { in_simulations(stop_before_others_begin); }

TEST_CASE("fork_join: timeout() around it ends all") { in_simulations(limits); }

TEST_CASE("fork_join: in and around scopes, when_all and select") { in_simulations(in_combinations); }

TEST_CASE("fork_join: children know the name, deadline and stop of their task") { in_simulations(knows_its_task); }

// ---- depth ------------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<long> left_deep(int levels) {
    if (levels == 0) co_return 0;
    auto [deeper, one, two] = co_await peal::fork_join(left_deep(levels - 1), gives(1), gives(1));
    co_return deeper + one + two;
}
peal::task<long> right_deep(int levels) {
    if (levels == 0) co_return 0;
    auto [one, deeper] = co_await peal::fork_join(gives(1), right_deep(levels - 1));
    co_return deeper + one;
}
peal::task<long> long_loop(int rounds) {
    long sum = 0;
    for (int i = 0; i < rounds; ++i) {
        auto [one, two] = co_await peal::fork_join(gives(1), gives(2));
        sum += one + two;
    }
    co_return sum;
}
/// Each level suspends, so that the next runs apart from it.
peal::task<long> deep_and_apart(int levels) {
    if (levels == 0) co_return 0;
    auto [one, deeper] = co_await peal::fork_join(gives_after(1, 1us), deep_and_apart(levels - 1));
    co_return deeper + one;
}
peal::task<> depths(peal::pool&) {
    long left = co_await left_deep(100'000);
    CHECK(left == 200'000);
    long right = co_await right_deep(100'000);
    CHECK(right == 100'000);
    long loop = co_await long_loop(100'000 * times);
    CHECK(loop == 300'000 * times);
    long apart = co_await deep_and_apart(2'000);
    CHECK(apart == 2'000);
}

/// More are forked than the queue holds, while another worker takes them; the deepest waits until that one has taken all it can.
peal::task<int> more_than_fit(int levels, std::atomic<int>& begun) {
    if (levels == 0) co_return busy_until([] { return peal::detail::this_thread.forks->is_drained(); }) ? 0 : 1'000'000;
    auto counts = [](std::atomic<int>& count) -> peal::task<int> {
        ++count;
        co_return 1;
    };
    auto [deeper, one, two, three] =
        co_await peal::fork_join(more_than_fit(levels - 1, begun), counts(begun), counts(begun), counts(begun));
    co_return deeper + one + two + three;
}

}  // namespace

TEST_CASE("fork_join: deep and long computations need no stack") {
    peal::simulation sim(1, 1);
    sim.pool().run(depths, sim.pool());
    for (unsigned workers : {1u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        pool.run(depths, pool);
    }
    CHECK(peal::sync_wait(left_deep(100'000)) == 200'000);
    CHECK(peal::sync_wait(right_deep(100'000)) == 100'000);
}

TEST_CASE("fork_join: more children than the queue holds, while others take them") {
    peal::pool pool{peal::pool_options(2)};
    for (int round = 0; round < 30 * times; ++round) {
        std::atomic<int> begun{0};
        CHECK(pool.run(more_than_fit, 4'000, std::ref(begun)) == 12'000);
        CHECK(begun == 12'000);
    }
}

// ---- several workers ----------------------------------------------------------------------------------------------------------------

namespace {

/// Computes until the other one has begun on another thread.
peal::task<bool> meets(std::atomic<std::thread::id>& mine, std::atomic<std::thread::id>& others) {
    mine = std::this_thread::get_id();
    bool met = busy_until([&others] { return others.load() != std::thread::id(); });
    co_return met && others.load() != std::this_thread::get_id();
}
peal::task<> meet(bool after_a_pause, support::verdict& found) {
    for (int i = 0; i < 50; ++i) {
        if (after_a_pause) co_await peal::sleep_for(3ms);  // the other worker sleeps
        std::atomic<std::thread::id> one{}, two{};
        auto both = co_await peal::fork_join(meets(one, two), meets(two, one));
        found.expect(std::get<0>(both) && std::get<1>(both), "nobody took the second child");
    }
}

}  // namespace

TEST_CASE("fork_join: another worker takes what waits, also one that slept") {
    support::verdict found;
    peal::pool pool{peal::pool_options(2)};
    pool.run(meet, false, std::ref(found));
    pool.run(meet, true, std::ref(found));
    CHECK(found.text() == "");
}

// ---- fairness -------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<long> spins(std::chrono::microseconds time) {
    support::spin_for(time);
    co_return 1;
}
/// Divides down to leaves that compute for a while, until the flag is set. Guarded.
peal::task<long> computes(int levels, std::chrono::microseconds leaf, const std::atomic<bool>& ends) {
    if (ends) co_return 0;
    if (levels == 0) {
        long one = co_await spins(leaf);
        co_return one;
    }
    auto [a, b] = co_await peal::fork_join(computes(levels - 1, leaf, ends), computes(levels - 1, leaf, ends));
    co_return a + b;
}
peal::task<bool> computes_until(std::chrono::microseconds leaf, const std::atomic<bool>& ends) {
    auto deadline = std::chrono::steady_clock::now() + 10s;
    co_await computes(40, leaf, ends);  // for ever, but for the flag
    co_return std::chrono::steady_clock::now() < deadline;
}
peal::task<> sets_after(std::chrono::milliseconds time, std::atomic<bool>& flag) {
    co_await peal::sleep_for(time);
    flag = true;
}
peal::task<> sets_after_data(std::atomic<bool>& flag) {
    auto ends = co_await support::connected_pair();
    auto sender = [](peal::net::tcp_stream& to) -> peal::task<> {
        co_await peal::sleep_for(2ms);
        co_await to.write_all(std::as_bytes(std::span("x", 1)));
    };
    auto sending = peal::spawn(sender, std::ref(ends.first));
    std::byte got[1];
    co_await ends.second.read(got);
    co_await sending;
    flag = true;
}

/// A child that waits for its sibling, while the worker always has something else to do: that one gets its turn all the same.
peal::task<> yields_until(const std::atomic<bool>& flag, support::verdict& found) {
    auto deadline = std::chrono::steady_clock::now() + 10s;
    while (!flag) {
        if (!found.expect(std::chrono::steady_clock::now() < deadline, "the second child never had its turn")) break;
        co_await peal::yield();
    }
}
peal::task<> waits(peal::event& event) { co_await event.wait(); }
peal::task<> sets(peal::event& event) {
    event.set();
    co_return;
}
peal::task<> waits_and_sets(std::atomic<bool>& flag) {
    peal::event event;
    co_await peal::fork_join(waits(event), sets(event));
    flag = true;
}
peal::task<> beside_busy_tasks(support::verdict& found) {
    std::atomic<bool> flag{false};
    peal::scope tasks;
    tasks.spawn(yields_until, std::cref(flag), std::ref(found));
    tasks.spawn(yields_until, std::cref(flag), std::ref(found));
    tasks.spawn(waits_and_sets, std::ref(flag));
    co_await tasks.join();
}

}  // namespace

TEST_CASE("fork_join: a long computation on the only worker holds up neither its timers nor its sockets") {
    peal::pool pool{peal::pool_options(1)};
    for (auto leaf : {0us, 50us, 1000us}) {
        std::atomic<bool> flag{false};
        auto timer = pool.spawn(sets_after, 5ms, std::ref(flag));
        CHECK(pool.run(computes_until, leaf, std::cref(flag)));
        pool.run(end_of<peal::join_handle<>>, std::move(timer));
        flag = false;
        auto reader = pool.spawn(sets_after_data, std::ref(flag));
        CHECK(pool.run(computes_until, leaf, std::cref(flag)));
        CHECK(pool.run(end_of<peal::join_handle<>>, std::move(reader)) == "value");
    }
}

TEST_CASE("fork_join: what a suspended child leaves in the queue does not wait until the worker is idle") {
    support::verdict found;
    for (unsigned workers : {1u, 2u}) {
        peal::pool pool{peal::pool_options(workers)};
        pool.run(beside_busy_tasks, std::ref(found));
    }
    CHECK(found.text() == "");
}

// ---- ends ---------------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> computes_until_stopped(int levels) {
    if (peal::this_task::stop_requested()) co_return;
    if (levels == 0) co_return;
    co_await peal::fork_join(computes_until_stopped(levels - 1), computes_until_stopped(levels - 1));
}
peal::task<> fails_with_children(support::verdict& found) {
    std::string text;
    try {
        peal::scope children;
        children.spawn(computes_until_stopped, 60).detach();
        children.spawn([]() -> peal::task<> { co_await peal::fork_join(sleeps(1h), computes_until_stopped(60)); }).detach();
        children.spawn([]() -> peal::task<> { co_await peal::fork_join(computes_until_stopped(60), sleeps(1h)); }).detach();
        co_await peal::sleep_for(2ms);
        throw std::runtime_error("leaves");
    } catch (const std::runtime_error& failure) {
        text = failure.what();
    }
    found.expect(text == "leaves", text);
}

peal::task<> awaits_twice(peal::pool&) {
    auto both = peal::fork_join(gives(1), gives(2));
    static_cast<void>(co_await both);
    static_cast<void>(co_await both);
}
peal::task<> awaits_moved_from(peal::pool&) {
    peal::task<int> first = gives(1);
    peal::task<int> second = std::move(first);
    static_cast<void>(co_await peal::fork_join(std::move(first), std::move(second)));
}

}  // namespace

TEST_CASE("fork_join: the shutdown of a pool stops a computation") {
    for (unsigned workers : {1u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int i = 0; i < 4; ++i) pool.spawn(computes_until_stopped, 60).detach();
        pool.spawn(joins<peal::task<>, peal::task<>>, sleeps(1h), sleeps(2h)).detach();
        std::this_thread::sleep_for(5ms);
        peal::shutdown_report report = pool.shutdown(1ms, 20s);
        CHECK(report.not_stopped.empty());
        CHECK(report.canceled == 5);
        CHECK(pool.counts().live == 0);
    }
}

TEST_CASE("fork_join: a scope that is left by an exception stops children that compute, and waits for them") {
    support::verdict found;
    for (unsigned workers : {1u, 2u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int i = 0; i < 20; ++i) pool.run(fails_with_children, std::ref(found));
    }
    CHECK(found.text() == "");
}

TEST_CASE("fork_join: is awaited once, and not with an empty task") {
    CHECK(support::death_in_task(awaits_twice).says("fork_join() was awaited twice"));
    CHECK(support::death_in_task(awaits_moved_from).says("an empty task was forked"));
}

// ---- stops that run code of the program ---------------------------------------------------------------------------------------------

namespace {

/// A stop takes a child apart off the line for permits, so that a thread of the program behind it gets one and goes on, inside the stop.
struct scene {
    peal::semaphore permits{1};
    std::atomic<bool> child_waits{false};
    std::atomic<bool> thread_goes_on{false};
};

peal::task<> yields_until_the_thread_goes_on(scene& all) {
    while (!all.thread_goes_on) co_await peal::yield();
}
peal::task<> asks_for_two(scene& all) {
    all.child_waits = true;
    auto both = co_await all.permits.acquire(2);
}
peal::task<> sleeps() { co_await peal::sleep_for(1h); }
peal::task<> forks_three(scene& all) {
    co_await peal::fork_join(sleeps(), yields_until_the_thread_goes_on(all), asks_for_two(all));
}
/// Waits for the pool whose task is being stopped.
peal::task<bool> needs_the_pool(scene& all, peal::pool& pool) {
    auto permit = co_await all.permits.acquire(1);
    all.thread_goes_on = true;
    std::atomic<bool> answered{false};
    auto answer = [&answered] { answered = true; };
    auto answering = pool.spawn(answer);
    bool came = busy_until([&answered] { return answered.load(); });
    co_await answering;
    co_return came;
}

}  // namespace

TEST_CASE("fork_join: a stop that makes a thread of the program go on does not hold up the children") {
    peal::pool pool{peal::pool_options(1)};
    scene all;
    auto stopped = pool.spawn(forks_three, std::ref(all));
    CHECK(busy_until([&all] { return all.child_waits.load(); }));
    bool came = false;
    std::thread waits([&] { came = peal::sync_wait(needs_the_pool(all, pool)); });
    std::this_thread::sleep_for(20ms);  // so that it waits, mostly; it passes, too, if it does not yet
    stopped.request_stop();
    waits.join();
    CHECK(came);
}
