// SPDX-License-Identifier: MIT

#include <peal/combine/timeout.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include <peal/combine/when_all.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/death.hpp"
#include "support/kinds_of_values.hpp"
#include "support/rounds.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/tcp_pair.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using peal::clock;
using peal::net::tcp_stream;
using support::behave;
using support::child;
using support::child_log;
using support::gives;
using support::gives_after;
using support::in_simulations;
using support::stream_pair;
using support::tracked;
using support::unique_number;

enum class how { value, timed_out, canceled, failed };

class ending {
  public:
    how kind = how::value;
    std::string text;
    std::chrono::milliseconds took{0};
    bool is(how wanted, std::chrono::milliseconds time) const { return kind == wanted && took == time; }
    bool says(const std::string& words) const { return text.find(words) != std::string::npos; }
};

/// How the await of `awaited` ended, and after how many milliseconds.
template <class Awaited>
peal::task<ending> end_of(Awaited&& awaited) {
    ending seen;
    auto begun = clock::now();
    try {
        static_cast<void>(co_await static_cast<Awaited&&>(awaited));
    } catch (const std::system_error& failure) {
        seen.text = failure.what();
        seen.kind = failure.code() == std::errc::timed_out ? how::timed_out
                    : peal::is_canceled(failure)           ? how::canceled
                                                           : how::failed;
    } catch (const std::exception& failure) {
        seen.text = failure.what();
        seen.kind = how::failed;
    }
    seen.took = std::chrono::floor<std::chrono::milliseconds>(clock::now() - begun);
    co_return seen;
}

// ---- every kind of child ----------------------------------------------------------------------------------------------------------

peal::task<> every_kind_in_time(peal::pool&) {
    for (child kind : support::every_child) {
        child_log log;
        auto limited = peal::timeout(1s, behave(kind, 7, 2ms, log));
        ending end = co_await end_of(limited);
        bool has_time = support::family::has_time(kind);
        CHECK(end.took == (has_time ? 2ms : 0ms));
        CHECK(log.ended == 1);
        CHECK(log.stopped == 0);
        switch (kind) {
            case child::ready:
            case child::later:
            case child::not_cancelable: CHECK(end.kind == how::value); break;
            case child::throws:
            case child::throws_later:
                CHECK(end.kind == how::failed);
                CHECK(end.text == "7");
                break;
            case child::canceled:  // by itself: that is no timeout
                CHECK(end.kind == how::canceled);
                CHECK(end.says("7: "));
                break;
        }
    }
}

peal::task<> every_kind_too_late(peal::pool&) {
    for (child kind : {child::later, child::throws_later, child::not_cancelable}) {
        child_log log;
        auto limited = peal::timeout(2ms, behave(kind, 7, 5ms, log));
        ending end = co_await end_of(limited);
        CHECK(log.ended == 1);
        if (kind == child::not_cancelable) {  // it lost the race against the clock, and gave its value all the same
            CHECK(end.is(how::value, 5ms));
            continue;
        }
        CHECK(end.is(how::timed_out, 2ms));
        CHECK(log.stopped == 1);
        CHECK(end.says("timeout after 2 ms (set at "));
        CHECK(end.says("timeout_test.cpp:"));
    }
}

peal::task<> over_at_the_start(peal::pool&) {
    for (child kind : support::every_child) {
        for (int form = 0; form < 4; ++form) {
            child_log log;
            peal::task<tracked> op = behave(kind, 7, 2ms, log);
            auto now = clock::now();
            auto limited = form == 0   ? peal::timeout(0ms, std::move(op))
                           : form == 1 ? peal::timeout(-1h, std::move(op))
                           : form == 2 ? peal::timeout_at(now, std::move(op))
                                       : peal::timeout_at(clock::time_point::min(), std::move(op));
            ending end = co_await end_of(limited);
            CHECK(log.ended == 1);
            switch (kind) {
                case child::ready: CHECK(end.is(how::value, 0ms)); break;
                case child::not_cancelable: CHECK(end.is(how::value, 2ms)); break;
                case child::throws: CHECK(end.is(how::failed, 0ms)); break;
                case child::later:
                case child::throws_later:
                case child::canceled:  // cannot be told from one that the timeout stopped
                    CHECK(end.is(how::timed_out, 0ms));
                    break;
            }
        }
    }
}

peal::task<> cleans_up_slowly() {
    auto slept = co_await peal::as_result(peal::sleep_for(1h));
    CHECK_FALSE(slept);
    co_await peal::shield(peal::sleep_for(3ms));
    throw std::runtime_error("cleaned up");
}

peal::task<> other_failures_pass(peal::pool&) {
    ending end = co_await end_of(peal::timeout(2ms, cleans_up_slowly()));
    CHECK(end.is(how::failed, 5ms));
    CHECK(end.text == "cleaned up");
}

}  // namespace

TEST_CASE("timeout: what ends in time gives what it gives") { in_simulations(every_kind_in_time); }

TEST_CASE("timeout: what does not end in time is stopped and awaited; its value is given if there is one after all") {
    in_simulations(every_kind_too_late);
    in_simulations(other_failures_pass);
    CHECK(tracked::clean());
}

TEST_CASE("timeout: over already at the start, it leaves what does not suspend alone") {
    in_simulations(over_at_the_start);
    CHECK(tracked::clean());
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
peal::task<> does_nothing() { co_return; }

peal::task<> kinds_of_values(peal::pool& pool) {
    int lent = 5;
    unique_number unique = co_await peal::timeout(1s, gives_unique(2));
    CHECK(unique.value() == 2);
    int& reference = co_await peal::timeout(1s, lends(lent));
    CHECK(&reference == &lent);
    co_await peal::timeout(1s, does_nothing());
    unique_number shielded = co_await peal::shield(gives_unique(3));
    CHECK(shielded.value() == 3);
    int& shielded_reference = co_await peal::shield(lends(lent));
    CHECK(&shielded_reference == &lent);
    co_await peal::shield(peal::sleep_for(1ms));
    co_await peal::timeout(1s, pool.schedule());
    auto spawned = pool.spawn(gives_after, 9, 1ms);
    int joined = co_await peal::timeout(1s, spawned);
    CHECK(joined == 9);
    int both = co_await peal::timeout_at(clock::now() + 1s, peal::shield(peal::timeout(std::chrono::hours(1'000'000'000), gives(4))));
    CHECK(both == 4);
    int for_ever = co_await peal::timeout_at(clock::time_point::max(), gives_after(6, 1ms));
    CHECK(for_ever == 6);
    auto canceled_join = pool.spawn(gives_after, 10, 5ms);
    ending end = co_await end_of(peal::timeout(1ms, canceled_join));
    CHECK(end.is(how::timed_out, 1ms));
    joined = co_await canceled_join;  // a canceled join leaves the task alone
    CHECK(joined == 10);
}

peal::task<> as_results(peal::pool&) {
    auto slept = co_await peal::as_result(peal::timeout(2ms, peal::sleep_for(1h)));
    CHECK_FALSE(slept);
    CHECK(slept.error().code() == std::errc::timed_out);
    CHECK(slept.error().operation().starts_with("timeout after 2 ms (set at "));
    auto number = co_await peal::as_result(peal::timeout(2ms, gives(7)));
    CHECK(*number == 7);
    auto nothing = co_await peal::as_result(peal::timeout(2ms, does_nothing()));
    CHECK(nothing.has_value());
    auto short_time = co_await peal::as_result(peal::timeout(1500us, peal::sleep_for(1h)));
    CHECK(short_time.error().operation().starts_with("timeout after 1500 us (set at "));
    auto until = co_await peal::as_result(peal::timeout_at(clock::now() + 1ms, peal::sleep_for(1h)));
    CHECK(until.error().operation().starts_with("timeout (set at "));
}

}  // namespace

TEST_CASE("timeout, shield: give what is move-only, a reference, nothing, or has no default constructor") {
    in_simulations(kinds_of_values);
}

TEST_CASE("timeout: as_result gives the error, which says how long and where it was set") { in_simulations(as_results); }

// ---- several ----------------------------------------------------------------------------------------------------------------------

namespace {

/// `outer` around `inner` around a sleep: which of the two ended it.
peal::task<> nested(peal::pool&) {
    ending end = co_await end_of(peal::timeout(2ms, peal::timeout(9ms, peal::sleep_for(1h))));
    CHECK(end.is(how::timed_out, 2ms));
    CHECK(end.says("timeout after 2 ms"));
    end = co_await end_of(peal::timeout(9ms, peal::timeout(2ms, peal::sleep_for(1h))));
    CHECK(end.is(how::timed_out, 2ms));
    CHECK(end.says("timeout after 2 ms"));
    auto until = clock::now() + 3ms;
    end = co_await end_of(peal::timeout_at(until, peal::timeout_at(until, peal::sleep_for(1h))));  // at the same time
    CHECK(end.is(how::timed_out, 3ms));
    end = co_await end_of(peal::timeout(4ms, peal::timeout(0ms, peal::sleep_for(1h))));
    CHECK(end.is(how::timed_out, 0ms));
    CHECK(end.says("timeout after 0 ms"));
    end = co_await end_of(peal::timeout(0ms, peal::timeout(4ms, peal::sleep_for(1h))));
    CHECK(end.is(how::timed_out, 0ms));
    CHECK(end.says("timeout after 0 ms"));
    end = co_await end_of(peal::timeout(4ms, peal::timeout(3ms, peal::timeout(5ms, peal::timeout(2ms, peal::sleep_for(1ms))))));
    CHECK(end.is(how::value, 1ms));
}

peal::task<int> limits_inside(std::chrono::milliseconds inner) {
    co_await peal::sleep_for(1ms);
    co_return co_await peal::timeout(inner, gives_after(1, 1h));
}

peal::task<> nested_across_tasks(peal::pool&) {
    // The inner one begins later: 1 + 3 ms are earlier than 5 ms, 1 + 5 ms are not.
    ending end = co_await end_of(peal::timeout(5ms, limits_inside(3ms)));
    CHECK(end.is(how::timed_out, 4ms));
    CHECK(end.says("timeout after 3 ms"));
    end = co_await end_of(peal::timeout(5ms, limits_inside(5ms)));
    CHECK(end.is(how::timed_out, 5ms));
    // Beside each other.
    auto all = peal::when_all(limits_inside(7ms), limits_inside(2ms), limits_inside(8ms));
    end = co_await end_of(all);
    CHECK(end.is(how::timed_out, 3ms));
    CHECK(end.says("timeout after 2 ms"));
    auto first = co_await peal::when_any(peal::timeout(2ms, gives_after(1, 1h)), gives_after(2, 1ms));
    CHECK(first.index == 1);
}

peal::task<> many_in_sequence(peal::pool&, int count, std::uint64_t& grown) {
    std::uint64_t before = 0;
    std::int64_t frames = peal::detail::live_frames();
    for (int i = 0; i < count; ++i) {
        int value = co_await peal::timeout(1h, gives(i));
        if (value != i) throw std::logic_error("another value");
        if (i % 10 == 0) co_await peal::timeout(1h, peal::sleep_for(1us));
        if (i == 20) before = peal::detail::frame_system_allocations();
    }
    grown = peal::detail::frame_system_allocations() - before;
    CHECK(peal::detail::live_frames() == frames);
}

}  // namespace

TEST_CASE("timeout: of several around each other the earliest counts, and is named") {
    in_simulations(nested);
    in_simulations(nested_across_tasks);
}

TEST_CASE("timeout: a hundred thousand that are not needed need no more memory than one") {
    peal::simulation sim(1);
    std::uint64_t grown = 1;
    sim.pool().run(many_in_sequence, sim.pool(), 100'000, std::ref(grown));
    CHECK(grown == 0);
    CHECK(sim.elapsed() < 1h);
}

// ---- deadlines --------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<clock::time_point> deadline_here() { co_return peal::this_task::deadline(); }
peal::task<> notes_deadline(clock::time_point& seen) {
    co_await peal::sleep_for(1us);
    seen = peal::this_task::deadline();
}

peal::task<clock::time_point> deadline_of_child(bool shielded) {
    clock::time_point seen;
    peal::scope tasks;
    tasks.spawn(notes_deadline, std::ref(seen));
    if (shielded) {
        co_await peal::shield(tasks.join());
    } else {
        co_await tasks.join();
    }
    co_return seen;
}

peal::task<clock::time_point> deadline_of_shield_in_child() {
    struct childhood {
        static peal::task<> run(clock::time_point& seen) { seen = co_await peal::shield(deadline_here()); }
    };
    clock::time_point seen;
    peal::scope tasks;
    tasks.spawn(childhood::run, std::ref(seen));
    co_await tasks.join();
    co_return seen;
}

peal::task<> deadlines(peal::pool& pool) {
    constexpr auto none = peal::context::no_deadline;
    CHECK(peal::this_task::deadline() == none);
    auto now = clock::now();
    auto seen = co_await peal::timeout(1s, deadline_here());
    CHECK(seen == now + 1s);
    CHECK(peal::this_task::deadline() == none);
    seen = co_await peal::timeout(1s, peal::timeout(2s, deadline_here()));
    CHECK(seen == now + 1s);
    seen = co_await peal::timeout(2s, peal::timeout(1s, deadline_here()));
    CHECK(seen == now + 1s);
    auto three = co_await peal::timeout(
        5s, peal::when_all(deadline_here(), peal::timeout(1s, deadline_here()), peal::timeout(9s, deadline_here())));
    CHECK(std::get<0>(three) == now + 5s);
    CHECK(std::get<1>(three) == now + 1s);
    CHECK(std::get<2>(three) == now + 5s);
    seen = co_await peal::timeout(1s, peal::shield(deadline_here()));
    CHECK(seen == none);
    seen = co_await peal::timeout(1s, peal::shield(peal::timeout(2s, deadline_here())));
    CHECK(seen == now + 2s);
    seen = co_await peal::timeout(1s, deadline_of_child(false));
    CHECK(seen == now + 1s);
    now = clock::now();
    seen = co_await peal::timeout(1s, deadline_of_child(true));
    CHECK(seen == now + 1s);
    seen = co_await peal::timeout(1s, deadline_of_shield_in_child());
    CHECK(seen == none);
    auto detached = pool.spawn(deadline_here);
    seen = co_await peal::timeout(1s, detached);
    CHECK(seen == none);  // a task of the pool is nobody's child
}

}  // namespace

TEST_CASE("timeout: deadline() is the earliest around the code, also in the children of a scope, and none behind a shield") {
    in_simulations(deadlines);
}

// ---- shield -----------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> shields(child_log& log, bool& undisturbed, bool& seen_after) {
    tracked value = co_await peal::shield(behave(child::later, 1, 3ms, log));
    undisturbed = value.value() == 1 && log.stopped == 0;
    auto slept = co_await peal::as_result(peal::sleep_for(1h));
    seen_after = !slept && peal::this_task::stop_requested();
}

peal::task<> shield_keeps_stops_out(peal::pool& pool) {
    for (auto delay : {0ms, 1ms}) {  // before, and while it waits
        child_log log;
        bool undisturbed = false;
        bool seen_after = false;
        auto begun = clock::now();
        auto shielding = pool.spawn(shields, std::ref(log), std::ref(undisturbed), std::ref(seen_after));
        if (delay.count() != 0) co_await peal::sleep_for(delay);
        shielding.request_stop();
        co_await shielding;
        CHECK(undisturbed);
        CHECK(seen_after);
        CHECK(clock::now() - begun >= 3ms);
        CHECK(clock::now() - begun < 4ms);
    }
}

peal::task<int> outlasts_its_timeout() {
    co_await peal::shield(peal::sleep_for(3ms));
    co_await peal::sleep_for(1h);
    co_return 1;
}

peal::task<> shield_keeps_timeouts_out(peal::pool&) {
    ending end = co_await end_of(peal::timeout(1ms, outlasts_its_timeout()));
    CHECK(end.is(how::timed_out, 3ms));
    end = co_await end_of(peal::timeout(1ms, peal::shield(peal::timeout(3ms, peal::sleep_for(1h)))));
    CHECK(end.is(how::timed_out, 3ms));  // the inner one
    CHECK(end.says("timeout after 3 ms"));
    child_log log;
    end = co_await end_of(peal::shield(behave(child::throws, 1, 0ms, log)));
    CHECK(end.is(how::failed, 0ms));
}

/// What a child says good-bye with is limited by its own timeout, whatever its scope's deadline is.
peal::task<> says_goodbye(ending& seen) {
    auto slept = co_await peal::as_result(peal::sleep_for(1h));
    CHECK_FALSE(slept);
    seen = co_await end_of(peal::shield(peal::timeout(3ms, peal::sleep_for(1h))));
}
peal::task<> has_child_that_says_goodbye(ending& seen) {
    peal::scope tasks;
    tasks.spawn(says_goodbye, std::ref(seen));
    co_await tasks.join();
}

/// A scope that is joined behind a shield: its deadline does not stop the child, whose own timeout does.
peal::task<> limits_itself(ending& seen) {
    seen = co_await end_of(peal::timeout(5ms, peal::sleep_for(1h)));
}
peal::task<> joins_behind_shield(ending& seen) {
    peal::scope tasks;
    tasks.spawn(limits_itself, std::ref(seen));
    co_await peal::shield(tasks.join());
}

peal::task<> shields_in_scopes(peal::pool&) {
    ending seen;
    ending outer = co_await end_of(peal::timeout(2ms, has_child_that_says_goodbye(seen)));
    CHECK(seen.is(how::timed_out, 3ms));
    CHECK(seen.says("timeout after 3 ms"));
    CHECK(outer.is(how::timed_out, 5ms));
    CHECK(outer.says("timeout after 2 ms"));

    outer = co_await end_of(peal::timeout(2ms, joins_behind_shield(seen)));
    CHECK(seen.is(how::timed_out, 5ms));
    CHECK(outer.is(how::value, 5ms));
}

}  // namespace

TEST_CASE("shield: a stop from outside does not reach what it shields, and is seen after") {
    in_simulations(shield_keeps_stops_out);
    CHECK(tracked::clean());
}

TEST_CASE("shield: a timeout from outside does not reach what it shields, one inside does") {
    in_simulations(shield_keeps_timeouts_out);
}

TEST_CASE("shield: a timeout behind it ends what it limits, also in a child of a scope whose own time is up") {
    in_simulations(shields_in_scopes);
}

// ---- stopping ---------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> waits_in_timeout(child kind, std::chrono::milliseconds limit, child_log& log, ending& seen) {
    auto limited = peal::timeout(limit, behave(kind, 1, 4ms, log));
    seen = co_await end_of(limited);
    log.stopped += peal::this_task::stop_requested() ? 100 : 0;
}

peal::task<> stops_from_outside(peal::pool& pool) {
    for (child kind : {child::later, child::not_cancelable}) {
        for (auto limit : {std::chrono::milliseconds(1h), 2ms}) {  // the second is over before one that takes no notice has ended
            for (auto delay : {0ms, 1ms}) {                        // before it began, and while it waits
                child_log log;
                ending seen;
                auto waiting = pool.spawn(waits_in_timeout, kind, limit, std::ref(log), std::ref(seen));
                if (delay.count() != 0) co_await peal::sleep_for(delay);
                waiting.request_stop();
                co_await waiting;
                CHECK(log.ended == 1);
                if (kind == child::later) {
                    CHECK(seen.is(how::canceled, delay));  // and not timed out
                    CHECK(log.stopped == 101);
                } else {
                    CHECK(seen.is(how::value, 4ms));
                    CHECK(log.stopped == 100);
                }
            }
        }
    }
}

/// Was asked to stop, and is still cleaning up when the time is up: it was canceled.
peal::task<> canceled_after_clean_up() {
    auto slept = co_await peal::as_result(peal::sleep_for(1h));
    co_await peal::shield(peal::sleep_for(3ms));
    slept.value();
}
peal::task<> stopped_then_over(peal::pool& pool) {
    struct waiting {
        static peal::task<> run(ending& seen) { seen = co_await end_of(peal::timeout(2ms, canceled_after_clean_up())); }
    };
    ending seen;
    auto handle = pool.spawn(waiting::run, std::ref(seen));
    co_await peal::sleep_for(1ms);
    handle.request_stop();
    co_await handle;
    CHECK(seen.is(how::canceled, 4ms));
}

}  // namespace

TEST_CASE("timeout: a stop from outside reaches what it limits, and is no timeout") {
    in_simulations(stops_from_outside);
    in_simulations(stopped_then_over);
    CHECK(tracked::clean());
}

namespace {

peal::task<int> pops(support::mailbox<int>& box) { co_return co_await box.pop(); }

peal::task<> pushes(peal::pool& pool, support::mailbox<int>& box, unsigned turns) {
    for (unsigned i = 0; i < turns; ++i) {
        support::spin_for(5us);
        co_await pool.schedule();
    }
    box.push(1);
}

peal::task<how> pops_in_time(support::mailbox<int>& box, std::chrono::microseconds limit) {
    auto limited = peal::timeout(limit, pops(box));
    ending end = co_await end_of(limited);
    co_return end.kind;
}

/// The end, the clock and a stop, all at about the same time.
peal::task<> ends_race(peal::pool& pool, support::stopper& outside, std::array<int, 4>& seen, support::verdict& judged, int rounds) {
    std::mt19937_64 random(1);
    for (int i = 0; i < rounds; ++i) {
        support::mailbox<int> box;
        auto pushing = pool.spawn(pushes, pool, std::ref(box), static_cast<unsigned>(random() % 16));
        auto popping = pool.spawn(pops_in_time, std::ref(box), std::chrono::microseconds(random() % 60));
        std::uint64_t when = random();
        if (random() % 2 == 0) support::stop_soon(pool, outside, when, 20, popping.stop_handle());
        how kind = co_await popping;
        co_await pushing;
        ++seen[static_cast<std::size_t>(kind)];
        judged.expect(box.size() == (kind == how::value ? 0 : 1), "the value was lost or is still there");
    }
}

}  // namespace

TEST_CASE("timeout: an end that races with the clock and with a stop gives the value or leaves it") {
    constexpr int rounds = 3000;
    unsigned workers = GENERATE(1u, 2u);
    peal::pool pool{peal::pool_options(workers)};
    support::verdict judged;
    std::array<int, 4> seen{};
    {
        support::stopper outside;
        pool.run(ends_race, pool, std::ref(outside), std::ref(seen), judged, rounds);
    }
    CHECK(judged.text() == "");
    CHECK(seen[static_cast<std::size_t>(how::value)] > 0);
    CHECK(seen[static_cast<std::size_t>(how::timed_out)] > 0);
    CHECK(seen[static_cast<std::size_t>(how::canceled)] > 0);
    CHECK(seen[static_cast<std::size_t>(how::failed)] == 0);
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

peal::task<> visits(peal::pool& where, int turns) {
    for (int i = 0; i < turns; ++i) co_await where.schedule();
}
peal::task<> visits_and_sleeps(peal::pool& where) {
    co_await where.schedule();
    co_await peal::sleep_for(1h);
}

peal::task<int> goes_on_where_it_led(peal::pool& one, peal::pool& two, int rounds) {
    int elsewhere = 0;
    for (int i = 0; i < rounds; ++i) {
        co_await peal::timeout(1h, visits(two, 1 + i % 3));
        if (pool_here() != 2) ++elsewhere;
        co_await peal::timeout(1h, one.schedule());
        if (pool_here() != 1) ++elsewhere;
        co_await peal::shield(visits(two, 1));
        if (pool_here() != 2) ++elsewhere;
        co_await peal::timeout(1h, peal::timeout(2h, peal::shield(visits(one, 2))));
        if (pool_here() != 1) ++elsewhere;
        if (i % 20 == 0) {  // the clock is in one pool, the end in the other
            ending end = co_await end_of(peal::timeout(100us, visits_and_sleeps(two)));
            if (end.kind != how::timed_out || pool_here() != 2) ++elsewhere;
            co_await one.schedule();
        }
        if (pool_here() != 1) ++elsewhere;
    }
    co_return elsewhere;
}

peal::task<> hops_race_with_clock(peal::pool& one, peal::pool& two, int rounds) {
    std::mt19937_64 random(1);
    for (int i = 0; i < rounds; ++i) {
        co_await peal::timeout(std::chrono::microseconds(random() % 40), visits(two, static_cast<int>(random() % 8)));
        co_await one.schedule();
    }
}

}  // namespace

TEST_CASE("timeout, shield: the task goes on in the pool to which what was awaited has led") {
    peal::pool one(numbered_pool(1));
    peal::pool two(numbered_pool(2));
    CHECK(one.run(goes_on_where_it_led, one, two, 300) == 0);
    one.run(hops_race_with_clock, one, two, 1000);
}

// ---- operations -------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> quiet_operations(peal::pool&) {
    stream_pair ends = co_await support::connected_pair();
    support::make_buffer_tiny(ends.first.native_handle());
    std::vector<std::byte> bytes = support::pattern(1 << 22);
    std::vector<std::byte> buffer(100);
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    ending end = co_await end_of(peal::timeout(5ms, ends.first.read(buffer)));
    CHECK(end.kind == how::timed_out);
    end = co_await end_of(peal::timeout(5ms, ends.first.read_exactly(buffer)));
    CHECK(end.kind == how::timed_out);
    end = co_await end_of(peal::timeout(5ms, listener.accept()));
    CHECK(end.kind == how::timed_out);
    end = co_await end_of(peal::timeout(0ms, ends.first.read(buffer)));
    CHECK(end.kind == how::timed_out);
    auto read = co_await peal::as_result(peal::timeout(5ms, ends.first.read(buffer)));
    CHECK(read.error().code() == std::errc::timed_out);
    // Nothing of these reads is left: the bytes go to the one that comes now.
    co_await ends.second.write_all(std::span(bytes).first(buffer.size()));
    std::size_t got = co_await peal::timeout(10s, ends.first.read_exactly(buffer));
    CHECK(got == buffer.size());
    CHECK(support::fits(buffer, 0));
    end = co_await end_of(peal::timeout(5ms, ends.first.write_all(bytes)));  // nobody reads
    CHECK(end.kind == how::timed_out);
}

/// Reads with a limit that is often too short, until all has arrived.
peal::task<> reads_impatiently(tcp_stream& from, std::uint64_t count, int& timed_out, support::verdict& judged) {
    std::array<std::byte, 100> buffer{};
    std::mt19937_64 random(1);
    for (std::uint64_t read = 0; read < count;) {
        std::size_t got = 0;
        try {
            got = co_await peal::timeout(std::chrono::microseconds(random() % 100), from.read(buffer));
        } catch (const std::system_error& failure) {
            if (failure.code() != std::errc::timed_out) throw;
            ++timed_out;
            continue;
        }
        if (!judged.expect(got != 0, "the stream has ended")) co_return;
        judged.expect(support::fits(std::span(buffer).first(got), read), "wrong bytes at " + std::to_string(read));
        read += got;
    }
}

peal::task<> trickles(tcp_stream& to, std::uint64_t count) {
    std::mt19937_64 random(2);
    for (std::uint64_t sent = 0; sent < count;) {
        std::vector<std::byte> portion = support::pattern(std::min<std::uint64_t>(count - sent, 1 + random() % 20), sent);
        co_await to.write_all(portion);
        sent += portion.size();
        if (random() % 2 == 0) co_await peal::sleep_for(std::chrono::microseconds(random() % 100));
    }
}

peal::task<> races_over_streams(peal::pool& pool, stream_pair& ends, std::uint64_t count, int& timed_out, support::verdict& judged) {
    auto sending = pool.spawn(trickles, std::ref(ends.second), count);
    co_await reads_impatiently(ends.first, count, timed_out, judged);
    co_await sending;
}

peal::task<> in_simulated_streams(peal::simulation& sim, int& timed_out, support::verdict& judged) {
    stream_pair ends = sim.stream_pair();
    co_await races_over_streams(sim.pool(), ends, 500, timed_out, judged);
}

}  // namespace

TEST_CASE("timeout: ends operations in flight, and leaves nothing of them behind") {
    for (unsigned workers : {1u, 2u}) {
        peal::pool pool{peal::pool_options(workers)};
        pool.run(quiet_operations, pool);
    }
}

TEST_CASE("timeout: a read that races with the clock gives the bytes or leaves them in the stream") {
    {
        peal::pool pool{peal::pool_options(2)};
        stream_pair ends = pool.run(support::connected_pair);
        support::verdict judged;
        int timed_out = 0;
        pool.run(races_over_streams, pool, std::ref(ends), std::uint64_t{5000}, std::ref(timed_out), judged);
        CHECK(judged.text() == "");
        CHECK(timed_out > 0);
    }
    int timed_out = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        CAPTURE(seed);
        support::verdict judged;
        peal::simulation sim(seed, 1 + seed % 3);
        sim.pool().run(in_simulated_streams, sim, std::ref(timed_out), judged);
        REQUIRE(judged.text() == "");
    }
    CHECK(timed_out > 0);
}

// ---- contract ---------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> awaits_twice(peal::pool&) {
    auto limited = peal::timeout(1s, gives(1));
    static_cast<void>(co_await limited);
    static_cast<void>(co_await limited);
}

peal::task<> awaits_shield_twice(peal::pool&) {
    auto shielded = peal::shield(gives(1));
    static_cast<void>(co_await shielded);
    static_cast<void>(co_await shielded);
}

peal::task<> awaits_empty(peal::pool&) { static_cast<void>(co_await peal::timeout(1s, peal::task<int>())); }

peal::task<> limits_outside() { static_cast<void>(co_await peal::timeout(1s, gives(1))); }

}  // namespace

TEST_CASE("timeout, shield: are awaited once, not with an empty task; a timeout on a worker") {
    CHECK(support::death_in_task(awaits_twice).says("timeout(), when_all() or another combination was awaited twice"));
    CHECK(support::death_in_task(awaits_shield_twice).says("timeout(), when_all() or another combination was awaited twice"));
    CHECK(support::death_in_task(awaits_empty).says("an empty task was awaited"));
    auto outside = support::death_of([] { peal::sync_wait(limits_outside()); });
    CHECK(outside.says("timeout() was awaited on a thread that is no worker"));
}
