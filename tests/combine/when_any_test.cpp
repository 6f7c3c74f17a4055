// SPDX-License-Identifier: MIT

#include <peal/combine/when_any.hpp>

#include <algorithm>
#include <array>
#include <list>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/children.hpp"
#include "support/death.hpp"
#include "support/kinds_of_values.hpp"
#include "support/rounds.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::behave;
using support::child;
using support::child_log;
using support::family;
using support::family_end;
using support::gives_after;
using support::in_simulations;
using support::tracked;
using support::unique_number;
using tasks_of_family = std::vector<peal::task<tracked>>;

// ---- every kind of child ----------------------------------------------------------------------------------------------------------

/// "index value"
std::string text_of(const peal::first_of<tracked>& first) {
    return std::to_string(first.index) + ' ' + std::to_string(first.value.value());
}
template <class... T>
std::string text_of(const peal::first_of<std::variant<T...>>& first) {
    if (first.value.index() != first.index) return "another alternative";
    auto number = [](const auto& value) { return std::to_string(value.value()); };
    return std::to_string(first.index) + ' ' + std::visit(number, first.value);
}

peal::task<std::string> any_of_range(tasks_of_family tasks) {
    std::string text;
    try {
        auto first = co_await peal::when_any(std::move(tasks));
        text = text_of(first);
    } catch (const std::exception& failure) {
        text = failure.what();
    }
    co_return text;
}

peal::task<std::string> any_of_fixed(tasks_of_family tasks) {
    std::string text;
    try {
        if (tasks.size() == 1) {
            auto first = co_await peal::when_any(std::move(tasks[0]));
            text = text_of(first);
        } else if (tasks.size() == 2) {
            auto first = co_await peal::when_any(std::move(tasks[0]), std::move(tasks[1]));
            text = text_of(first);
        } else {
            auto first = co_await peal::when_any(std::move(tasks[0]), std::move(tasks[1]), std::move(tasks[2]));
            text = text_of(first);
        }
    } catch (const std::exception& failure) {
        text = failure.what();
    }
    co_return text;
}

peal::task<std::string> success_of_range(tasks_of_family tasks) {
    std::string text;
    try {
        auto first = co_await peal::first_success(std::move(tasks));
        text = text_of(first);
    } catch (const std::exception& failure) {
        text = failure.what();
    }
    co_return text;
}

peal::task<std::string> success_of_fixed(tasks_of_family tasks) {
    std::string text;
    try {
        if (tasks.size() == 1) {
            auto first = co_await peal::first_success(std::move(tasks[0]));
            text = text_of(first);
        } else if (tasks.size() == 2) {
            auto first = co_await peal::first_success(std::move(tasks[0]), std::move(tasks[1]));
            text = text_of(first);
        } else {
            auto first = co_await peal::first_success(std::move(tasks[0]), std::move(tasks[1]), std::move(tasks[2]));
            text = text_of(first);
        }
    } catch (const std::exception& failure) {
        text = failure.what();
    }
    co_return text;
}

std::string text_of_child(const family& children, std::size_t which) {
    std::string number = std::to_string(which);
    return children.gives_value(which) ? number + ' ' + number : children.failure(which);
}

/// What the first gave.
family_end any_expected(const family& children) {
    std::size_t first = children.first([](std::size_t) { return true; });
    family_end end;
    end.text = text_of_child(children, first);
    end.took = children.last_end(children.end_of(first));
    return end;
}

/// The first value; without any, the first failure.
family_end success_expected(const family& children) {
    std::size_t first = children.first([&children](std::size_t i) { return children.gives_value(i); });
    family_end end;
    if (first < children.size()) {
        end.text = text_of_child(children, first);
        end.took = children.last_end(children.end_of(first));
    } else {
        end.text = text_of_child(children, children.first([](std::size_t) { return true; }));
        end.took = children.last_end();
    }
    return end;
}

}  // namespace

TEST_CASE("when_any: gives how the first ended, after the others were stopped and had ended; their values are dropped") {
    CHECK(support::judge_families({any_of_range, any_of_fixed}, any_expected) == "");
}

TEST_CASE("first_success: gives the first value; if all fail, the failure that came first") {
    CHECK(support::judge_families({success_of_range, success_of_fixed}, success_expected) == "");
}

// ---- shapes -----------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<unique_number> gives_unique_after(int value, std::chrono::microseconds time) {
    co_await peal::sleep_for(time);
    co_return unique_number(value);
}
peal::task<int*> points_to(int& number) { co_return &number; }

peal::task<> kinds_of_values(peal::pool&) {
    auto number = co_await peal::when_any(gives_after(1, 5ms), gives_unique_after(2, 1ms), peal::sleep_for(1h));
    static_assert(std::is_same_v<decltype(number), peal::first_of<std::variant<int, unique_number, std::monostate>>>);
    CHECK(number.index == 1);
    CHECK(std::get<1>(number.value).value() == 2);

    auto nothing = co_await peal::when_any(gives_after(1, 5ms), gives_unique_after(2, 6ms), peal::sleep_for(1ms));
    CHECK(nothing.index == 2);
    CHECK(nothing.value.index() == 2);

    auto same = co_await peal::when_any(gives_after(1, 5ms), gives_after(2, 1ms));  // the index tells which of two of one type
    CHECK(same.index == 1);
    CHECK(same.value.index() == 1);
    CHECK(std::get<1>(same.value) == 2);

    int lent = 5;
    auto pointer = co_await peal::first_success(points_to(lent));
    CHECK(std::get<0>(pointer.value) == &lent);

    std::list<peal::task<unique_number>> unique;
    for (int i = 0; i < 4; ++i) unique.push_back(gives_unique_after(i, std::chrono::microseconds(1000 * (4 - i))));
    auto last = co_await peal::when_any(std::move(unique));
    CHECK(last.index == 3);
    CHECK(last.value.value() == 3);

    std::vector<peal::task<>> sleeping;
    auto sleeps = [](std::chrono::milliseconds time) -> peal::task<> { co_await peal::sleep_for(time); };
    for (int i = 0; i < 4; ++i) sleeping.push_back(sleeps((i + 1) % 4 * 1ms + 1ms));
    auto slept = co_await peal::when_any(std::move(sleeping));
    CHECK(slept.index == 3);
    static_assert(std::is_same_v<decltype(slept.value), std::monostate>);
}

peal::task<int> first_of_tree(int levels, int first) {
    if (levels == 0) co_return co_await gives_after(first, std::chrono::microseconds((first * 37 + 11) % 64 * 100 + 100));
    int half = 1 << (levels - 1);
    auto either = co_await peal::when_any(first_of_tree(levels - 1, first), first_of_tree(levels - 1, first + half));
    int found = either.index == 0 ? std::get<0>(either.value) : std::get<1>(either.value);
    co_return found;
}

peal::task<> nests(peal::pool&) {
    auto begun = peal::clock::now();
    int found = co_await first_of_tree(6, 0);
    CHECK((found * 37 + 11) % 64 == 0);
    CHECK(peal::clock::now() - begun < 200us);

    auto all = co_await peal::when_all(peal::when_any(gives_after(1, 1ms), gives_after(2, 2ms)),
                                       peal::first_success(gives_after(3, 2ms), gives_after(4, 1ms)));
    CHECK(std::get<0>(all).index == 0);
    CHECK(std::get<1>(all).index == 1);
    auto any = co_await peal::when_any(peal::when_all(gives_after(1, 1ms), gives_after(2, 3ms)),
                                       peal::when_all(gives_after(3, 2ms), gives_after(4, 2ms)));
    CHECK(any.index == 1);
    CHECK(std::get<1>(any.value) == std::tuple<int, int>(3, 4));
}

peal::task<> one_of_many(peal::pool&, int count) {
    std::vector<peal::task<int>> tasks;
    for (int i = 0; i < count; ++i) tasks.push_back(gives_after(i, i == 70 ? 1ms : std::chrono::microseconds(1h)));
    auto begun = peal::clock::now();
    auto first = co_await peal::when_any(std::move(tasks));
    CHECK(first.index == 70);
    CHECK(first.value == 70);
    CHECK(peal::clock::now() - begun < 2ms);
}

peal::task<> many_in_sequence(peal::pool&, int count, std::uint64_t& grown) {
    child_log log;
    std::uint64_t before = 0;
    for (int i = 0; i < count; ++i) {
        auto first = co_await peal::when_any(behave(child::later, 1, 1h, log), behave(child::ready, 2, 0ms, log));
        if (first.index != 1) throw std::logic_error("another was first");
        if (i == 10) before = peal::detail::frame_system_allocations();
    }
    grown = peal::detail::frame_system_allocations() - before;
    CHECK(log.ended == 2 * count);
    CHECK(log.stopped == count);
}

}  // namespace

TEST_CASE("when_any: gives what is move-only, nothing, or has no default constructor, and says which it was") {
    in_simulations(kinds_of_values);
}

TEST_CASE("when_any: nested, the first of all is the first") { in_simulations(nests); }

TEST_CASE("when_any: the first of ten thousand stops the others") {
    peal::simulation sim(1);
    sim.pool().run(one_of_many, sim.pool(), 10'000);
}

TEST_CASE("when_any: ten thousand one after the other need no more memory than one") {
    peal::simulation sim(1);
    std::uint64_t grown = 1;
    sim.pool().run(many_in_sequence, sim.pool(), 10'000, std::ref(grown));
    CHECK(grown == 0);
    CHECK(tracked::clean());
}

// ---- stopping ---------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> waits_for_any(bool success, child_log& log, bool& canceled, bool& awaited) {
    tasks_of_family tasks;
    for (int i = 0; i < 3; ++i) tasks.push_back(behave(child::later, i, 1h, log));
    try {
        if (success) {
            static_cast<void>(co_await peal::first_success(std::move(tasks)));
        } else {
            static_cast<void>(co_await peal::when_any(std::move(tasks[0]), std::move(tasks[1]), std::move(tasks[2])));
        }
    } catch (const std::system_error& failure) {
        canceled = peal::is_canceled(failure);
    }
    awaited = log.ended == 3 && log.stopped == 3;
}

peal::task<> stops_from_outside(peal::pool& pool) {
    for (bool success : {false, true}) {
        for (auto delay : {0ms, 1ms}) {  // before it began, and while all wait
            child_log log;
            bool canceled = false;
            bool awaited = false;
            auto waiting = pool.spawn(waits_for_any, success, std::ref(log), std::ref(canceled), std::ref(awaited));
            if (delay.count() != 0) co_await peal::sleep_for(delay);
            waiting.request_stop();
            co_await waiting;
            CHECK(canceled);
            CHECK(awaited);
        }
    }
}

/// A value that arrives although a stop came before is a value.
peal::task<> gives_value_regardless(peal::pool& pool) {
    struct waiting {
        static peal::task<int> run(child_log& log) {
            auto first =
                co_await peal::when_any(behave(child::not_cancelable, 7, 2ms, log), behave(child::not_cancelable, 8, 3ms, log));
            co_return static_cast<int>(first.index);
        }
    };
    child_log log;
    auto begun = peal::clock::now();
    auto handle = pool.spawn(waiting::run, std::ref(log));
    co_await peal::sleep_for(1ms);
    handle.request_stop();
    int index = co_await handle;
    CHECK(index == 0);
    CHECK(log.ended == 2);
    CHECK(peal::clock::now() - begun >= 3ms);
}

peal::task<int> pops(support::mailbox<int>& box) { co_return co_await box.pop(); }

peal::task<> pushes(peal::pool& pool, support::mailbox<int>& box, int value, unsigned hops) {
    for (unsigned i = 0; i < hops; ++i) {
        support::spin_for(2us);
        co_await pool.schedule();
    }
    box.push(value);
}

/// 1 or 2: from which mailbox the value came; 0: canceled.
peal::task<int> pops_either(support::mailbox<int>& first, support::mailbox<int>& second) {
    int got = 0;
    try {
        auto either = co_await peal::when_any(pops(first), pops(second));
        got = either.index == 0 ? std::get<0>(either.value) : std::get<1>(either.value);
        if (got != static_cast<int>(either.index) + 1) throw std::logic_error("another value arrived");
    } catch (const std::system_error& failure) {
        if (!peal::is_canceled(failure)) throw;
    }
    co_return got;
}

peal::task<> ends_race(peal::pool& pool, support::stopper& outside, std::array<int, 3>& seen, support::verdict& judged, int rounds) {
    std::mt19937_64 random(1);
    for (int i = 0; i < rounds; ++i) {
        support::mailbox<int> first;
        support::mailbox<int> second;
        auto one = pool.spawn(pushes, pool, std::ref(first), 1, static_cast<unsigned>(random() % 8));
        auto two = pool.spawn(pushes, pool, std::ref(second), 2, static_cast<unsigned>(random() % 8));
        auto popping = pool.spawn(pops_either, std::ref(first), std::ref(second));
        support::stop_soon(pool, outside, random(), 10, popping.stop_handle());
        int got = co_await popping;
        co_await one;
        co_await two;
        ++seen[static_cast<std::size_t>(got)];
        judged.expect(got != 1 || first.size() == 0, "the value is still there");
        judged.expect(got != 2 || second.size() == 0, "the value is still there");
    }
}

}  // namespace

TEST_CASE("when_any: a stop from outside reaches all, and they are awaited all the same") {
    in_simulations(stops_from_outside);
    in_simulations(gives_value_regardless);
    CHECK(tracked::clean());
}

TEST_CASE("when_any: ends that race with each other and with a stop: one of them counts") {
    constexpr int rounds = 3000;
    unsigned workers = GENERATE(1u, 2u);
    peal::pool pool{peal::pool_options(workers)};
    support::verdict judged;
    std::array<int, 3> seen{};
    {
        support::stopper outside;
        pool.run(ends_race, pool, std::ref(outside), std::ref(seen), judged, rounds);
    }
    CHECK(judged.text() == "");
    CHECK(seen[0] + seen[1] + seen[2] == rounds);
    CHECK(seen[0] > 0);
    CHECK(seen[1] > 0);
    CHECK(seen[2] > 0);
}

// ---- operations -------------------------------------------------------------------------------------------------------------------

namespace {

using stream_pair = std::pair<peal::net::tcp_stream, peal::net::tcp_stream>;

/// Keeps what it reads, because what when_any() gives may be the end of another.
peal::task<> reads_once(peal::net::tcp_stream& from, std::uint64_t& read, support::verdict& judged) {
    std::array<std::byte, 100> buffer{};
    std::size_t got = co_await from.read(buffer);
    judged.expect(got != 0, "the stream has ended");
    judged.expect(support::fits(std::span(buffer).first(got), read), "wrong bytes at " + std::to_string(read));
    read += got;
}

/// Reads beside a short sleep until all has arrived.
peal::task<> reads_or_sleeps(peal::net::tcp_stream& from, std::uint64_t count, int& slept, support::verdict& judged) {
    std::mt19937_64 random(1);
    for (std::uint64_t read = 0; read < count && judged.text().empty();) {
        std::uint64_t before = read;
        auto time = std::chrono::microseconds(random() % 100);
        auto first = co_await peal::when_any(reads_once(from, read, judged), peal::sleep_for(time));
        if (first.index == 1) ++slept;
        judged.expect(first.index == 1 || read > before, "a read ended without bytes");
    }
}

peal::task<> trickles(peal::net::tcp_stream& to, std::uint64_t count) {
    std::mt19937_64 random(2);
    for (std::uint64_t sent = 0; sent < count;) {
        std::vector<std::byte> portion = support::pattern(std::min<std::uint64_t>(count - sent, 1 + random() % 20), sent);
        co_await to.write_all(portion);
        sent += portion.size();
        if (random() % 2 == 0) co_await peal::sleep_for(std::chrono::microseconds(random() % 100));
    }
}

peal::task<> races_over_streams(peal::pool& pool, stream_pair& ends, std::uint64_t count, int& slept, support::verdict& judged) {
    auto sending = pool.spawn(trickles, std::ref(ends.second), count);
    co_await reads_or_sleeps(ends.first, count, slept, judged);
    co_await sending;
}

peal::task<> in_simulated_streams(peal::simulation& sim, int& slept, support::verdict& judged) {
    stream_pair ends = sim.stream_pair();
    co_await races_over_streams(sim.pool(), ends, 500, slept, judged);
}

/// The loser of two reads from two connections leaves its bytes where they are.
peal::task<> reads_from_either(stream_pair& one, stream_pair& two, support::verdict& judged) {
    std::array<std::byte, 8> first{};
    std::array<std::byte, 8> second{};
    for (std::uint64_t i = 0; i < 300; ++i) {
        std::vector<std::byte> number = support::pattern(8, i);
        stream_pair& sender = i % 2 == 0 ? one : two;
        co_await sender.second.write_all(number);
        auto got = co_await peal::when_any(one.first.read_exactly(first), two.first.read_exactly(second));
        judged.expect(got.index == i % 2, "the other connection was first");
        judged.expect(support::fits(i % 2 == 0 ? first : second, i), "wrong bytes");
    }
}

}  // namespace

TEST_CASE("when_any: a read that loses against a sleep leaves the bytes in the stream, or has read them") {
    {
        peal::pool pool{peal::pool_options(2)};
        stream_pair ends = support::local_pair();
        support::verdict judged;
        int slept = 0;
        pool.run(races_over_streams, pool, std::ref(ends), std::uint64_t{5000}, std::ref(slept), judged);
        CHECK(judged.text() == "");
        CHECK(slept > 0);
    }
    int slept = 0;
    for (std::uint64_t seed = 0; seed < 100; ++seed) {
        CAPTURE(seed);
        support::verdict judged;
        peal::simulation sim(seed, 1 + seed % 3);
        sim.pool().run(in_simulated_streams, sim, std::ref(slept), judged);
        REQUIRE(judged.text() == "");
    }
    CHECK(slept > 0);
}

TEST_CASE("when_any: of reads from two connections the one with data ends") {
    peal::pool pool{peal::pool_options(2)};
    stream_pair one = support::local_pair();
    stream_pair two = support::local_pair();
    support::verdict judged;
    pool.run(reads_from_either, std::ref(one), std::ref(two), judged);
    CHECK(judged.text() == "");
}

// ---- contract ---------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> awaits_twice(peal::pool&) {
    auto either = peal::when_any(gives_after(1, 1ms), gives_after(2, 2ms));
    static_cast<void>(co_await either);
    static_cast<void>(co_await either);
}

peal::task<> awaits_nothing(peal::pool&) { static_cast<void>(co_await peal::when_any(std::vector<peal::task<int>>())); }
peal::task<> awaits_success_of_nothing(peal::pool&) {
    static_cast<void>(co_await peal::first_success(std::vector<peal::task<int>>()));
}

}  // namespace

TEST_CASE("when_any: is awaited once, and not of nothing") {
    CHECK(support::death_in_task(awaits_twice).says("when_all() or another combination was awaited twice"));
    CHECK(support::death_in_task(awaits_nothing).says("of nothing would never end"));
    CHECK(support::death_in_task(awaits_success_of_nothing).says("of nothing would never end"));
}
