// SPDX-License-Identifier: MIT

#include <peal/task/async_generator.hpp>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/awaitables.hpp"
#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/stopper.hpp"
#include "support/tracked.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

template <class Function, class... Arguments>
void in_simulations(Function fn, Arguments&... arguments) {
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(workers, workers);
        sim.pool().run(fn, std::ref(arguments)...);
    }
}

peal::task<int> ready(int value) { co_return value; }

peal::async_generator<int> numbers(int first, int end) {
    for (int i = first; i < end; ++i) co_yield i;
}
/// Each value after a pause.
peal::async_generator<int> slow_numbers(int first, int end, std::chrono::milliseconds pause) {
    for (int i = first; i < end; ++i) {
        co_await peal::sleep_for(pause);
        co_yield i;
    }
}

template <class T>
peal::task<std::vector<T>> to_vector(peal::async_generator<T> values) {
    std::vector<T> all;
    while (auto each = co_await values.next()) all.push_back(std::move(*each));
    co_return all;
}

}  // namespace

TEST_CASE("async_generator: gives its values in order, then nothing for ever") {
    CHECK(peal::sync_wait(to_vector(numbers(3, 6))) == std::vector<int>{3, 4, 5});
    CHECK(peal::sync_wait(to_vector(numbers(0, 0))).empty());
    struct body {
        static peal::task<int> reads_on() {
            auto one = numbers(7, 8);
            int seen = *co_await one.next();
            for (int i = 0; i < 3; ++i) {
                if (co_await one.next()) seen = -1;
            }
            co_return seen;
        }
    };
    CHECK(peal::sync_wait(body::reads_on()) == 7);
}

TEST_CASE("async_generator: awaits tasks and operations between its values") {
    struct body {
        static peal::async_generator<int> mixed() {
            int first = co_await ready(1);
            co_yield first;
            co_await peal::sleep_for(1ms);
            co_yield co_await ready(2);
            co_await peal::sleep_for(1ms);
        }
        static peal::task<> read() {
            auto all = co_await to_vector(mixed());
            CHECK(all == std::vector<int>{1, 2});
        }
    };
    in_simulations(body::read);
}

TEST_CASE("async_generator: works only while next() is awaited, and may be infinite") {
    struct body {
        static peal::async_generator<int> counts(int& made) {
            for (;;) {
                co_await peal::sleep_for(1ms);
                co_yield ++made;
            }
        }
        static peal::task<> read() {
            int made = 0;
            auto values = counts(made);
            co_await peal::sleep_for(1s);
            CHECK(made == 0);
            while (auto each = co_await values.next()) {
                CHECK(*each == made);
                co_await peal::sleep_for(10ms);
                CHECK(*each == made);
                if (made == 5) break;
            }
            CHECK(made == 5);
        }
    };
    in_simulations(body::read);
}

// ---- what it may give -----------------------------------------------------------------------------------------------------------

namespace {

class no_default {
  public:
    explicit no_default(int number) : number_(number) {}
    no_default(const no_default&) = delete;
    no_default(no_default&&) = default;
    int number() const { return number_; }

  private:
    int number_;
};

peal::async_generator<std::unique_ptr<int>> owners() {
    co_yield std::make_unique<int>(1);
    auto named = std::make_unique<int>(2);
    co_yield std::move(named);
}
peal::async_generator<no_default> without_default() { co_yield no_default(3); }
peal::async_generator<std::string> texts() {
    co_yield "a literal";
    std::string kept = "kept, and too long for a short string";
    co_yield kept;
    co_yield kept;  // the first was a copy
    co_yield {};
}
peal::async_generator<int&> elements(std::vector<int>& of) {
    for (int& each : of) {
        co_await ready(0);
        co_yield each;
    }
}
peal::async_generator<const std::string&> words(const std::vector<std::string>& of) {
    for (const std::string& each : of) co_yield each;
}

}  // namespace

TEST_CASE("async_generator: values that can only be moved, have no default, are converted, or are copies of a variable") {
    auto pointers = peal::sync_wait(to_vector(owners()));
    REQUIRE(pointers.size() == 2);
    CHECK(*pointers[0] == 1);
    CHECK(*pointers[1] == 2);
    CHECK(peal::sync_wait(to_vector(without_default())).at(0).number() == 3);
    auto all = peal::sync_wait(to_vector(texts()));
    REQUIRE(all.size() == 4);
    CHECK(all[0] == "a literal");
    CHECK(all[1] == all[2]);
    CHECK(all[1].size() > 16);
    CHECK(all[3].empty());
}

TEST_CASE("async_generator: references to the very objects, by pointers") {
    struct body {
        static peal::task<> read() {
            std::vector<int> three{1, 2, 3};
            auto values = elements(three);
            while (int* each = co_await values.next()) *each *= 10;
            CHECK(three == std::vector<int>{10, 20, 30});
            int* none = co_await values.next();
            CHECK(none == nullptr);

            const std::vector<std::string> one{"first"};
            auto texts = words(one);
            const std::string* same = co_await texts.next();
            CHECK(same == &one[0]);
        }
    };
    peal::sync_wait(body::read());
}

namespace {

peal::async_generator<tracked> yields_tracked(int count) {
    tracked local(count);
    for (int i = 0; i < count; ++i) co_yield tracked(i);
    co_yield local;
    co_await peal::sleep_for(1ms);
    co_yield std::move(local);
}

}  // namespace

TEST_CASE("async_generator: each value is constructed and destroyed once, and leaves the generator") {
    struct body {
        static peal::task<> read() {
            auto values = yields_tracked(3);
            int sum = 0;
            while (auto each = co_await values.next()) {
                sum += each->value();
                CHECK(tracked::alive() <= 3);  // the local one, the operand of co_yield, and this
            }
            CHECK(sum == 0 + 1 + 2 + 3 + 3);
        }
    };
    in_simulations(body::read);
    CHECK(tracked::clean());
}

namespace {

/// Cannot be moved for the second time: the first move is into the generator, the second one out of it.
class explosive {
  public:
    explicit explosive(bool fatal) : fatal_(fatal) {}
    explosive(explosive&& other) : moves_(other.moves_ + 1), fatal_(other.fatal_), alive_(other.alive_.value()) {
        if (fatal_ && moves_ == 2) throw std::length_error("moved once too often");
    }

  private:
    int moves_ = 0;
    bool fatal_;
    tracked alive_;
};

peal::async_generator<explosive> third_explodes(int count) {
    for (int i = 1; i <= count; ++i) co_yield explosive(i == 3);
}

}  // namespace

TEST_CASE("async_generator: a move constructor that throws is the exception of that next(), and costs that value") {
    struct body {
        static peal::task<> read() {
            auto values = third_explodes(5);
            int seen = 0;
            int thrown = 0;
            for (bool more = true; more;) {
                try {
                    auto each = co_await values.next();
                    more = each.has_value();
                    seen += more ? 1 : 0;
                } catch (const std::length_error&) {
                    ++thrown;
                }
            }
            CHECK(seen == 4);
            CHECK(thrown == 1);
        }
    };
    peal::sync_wait(body::read());
    CHECK(tracked::clean());
}

// ---- exceptions -----------------------------------------------------------------------------------------------------------------

namespace {

peal::async_generator<int> fails_after(int count) {
    tracked local(1);
    for (int i = 0; i < count; ++i) co_yield i;
    co_await ready(0);
    throw std::domain_error("no more");
}

}  // namespace

TEST_CASE("async_generator: an exception comes out of next() once, and then it has ended") {
    struct body {
        static peal::task<> read(int count) {
            auto values = fails_after(count);
            int seen = 0;
            bool thrown = false;
            try {
                while (co_await values.next()) ++seen;
            } catch (const std::domain_error&) {
                thrown = true;
            }
            CHECK(thrown);
            CHECK(seen == count);
            CHECK(tracked::alive() == 0);
            for (int i = 0; i < 2; ++i) {
                bool more = (co_await values.next()).has_value();
                CHECK_FALSE(more);
            }
        }
        static peal::async_generator<int> survives() {
            int caught = 0;
            try {
                co_yield 1;
                throw std::domain_error("inside");
            } catch (const std::domain_error&) {
                caught = 2;
            }
            co_yield caught;
        }
    };
    peal::sync_wait(body::read(0));
    peal::sync_wait(body::read(2));
    CHECK(peal::sync_wait(to_vector(body::survives())) == std::vector<int>{1, 2});
}

TEST_CASE("async_generator: as_result(next()) gives a system_error instead of throwing it") {
    struct body {
        static peal::async_generator<int> fails() {
            co_yield 1;
            throw std::system_error(std::make_error_code(std::errc::io_error), "disk");
        }
        static peal::task<> read() {
            auto values = fails();
            auto first = co_await peal::as_result(values.next());
            REQUIRE(first);
            CHECK(first.value() == 1);
            auto second = co_await peal::as_result(values.next());
            REQUIRE_FALSE(second);
            CHECK(second.error().operation() == "disk");
            auto third = co_await peal::as_result(values.next());
            REQUIRE(third);
            CHECK_FALSE(third.value().has_value());
        }
    };
    peal::sync_wait(body::read());
}

// ---- lifetime -------------------------------------------------------------------------------------------------------------------

TEST_CASE("async_generator: destroyed before it began, in the middle, or at its end, it destroys what it holds") {
    struct body {
        static peal::async_generator<int> holds(tracked argument) {
            tracked local(argument.value() + 1);
            co_yield local.value();
            co_await peal::sleep_for(1ms);
            tracked second(7);
            co_yield second.value();
        }
        static peal::task<> use() {
            std::int64_t frames = peal::detail::live_frames();
            {
                auto unread = holds(tracked(1));
                CHECK(tracked::alive() == 1);
                CHECK(peal::detail::live_frames() <= frames + 1);  // clang may put it into the frame of the caller
            }
            CHECK(tracked::clean());
            {
                auto half = holds(tracked(1));
                auto got = co_await half.next();
                CHECK(got == 2);
                CHECK(tracked::alive() == 2);
                half = holds(tracked(3));
                CHECK(tracked::alive() == 1);
                got = co_await half.next();
                CHECK(got == 4);
                auto moved = std::move(half);
                got = co_await moved.next();
                CHECK(got == 7);
                CHECK(tracked::alive() == 3);
            }
            CHECK(tracked::clean());
            {
                auto whole = holds(tracked(1));
                while (co_await whole.next()) {
                }
                CHECK(tracked::alive() == 1);  // the argument goes with the generator
            }
            CHECK(tracked::clean());
            CHECK(peal::detail::live_frames() == frames);
        }
    };
    in_simulations(body::use);
    CHECK(tracked::clean());
}

TEST_CASE("async_generator: broken contracts are named") {
    struct body {
        static peal::async_generator<int> waits() {
            co_await peal::sleep_for(1s);
            co_yield 1;
        }
        static peal::task<> destroyed_under_next() {
            auto values = std::make_unique<peal::async_generator<int>>(waits());
            peal::scope tasks;
            tasks.spawn(read, std::ref(*values));
            co_await peal::sleep_for(1ms);
            values.reset();
            co_await tasks.join();
        }
        static peal::task<> two_at_once() {
            auto values = waits();
            peal::scope tasks;
            tasks.spawn(read, std::ref(values));
            tasks.spawn(read, std::ref(values));
            co_await tasks.join();
        }
        static peal::task<> moved_from() {
            auto values = waits();
            auto others = std::move(values);
            static_cast<void>(co_await values.next());
        }
        static peal::task<> read(peal::async_generator<int>& values) { static_cast<void>(co_await values.next()); }
        static support::death death_of(peal::task<> (*fn)()) {
            return support::death_of([fn] {
                peal::simulation sim(1);
                sim.pool().run(fn);
            });
        }
    };
    CHECK(body::death_of(body::destroyed_under_next).says("an async_generator was destroyed while its next() is awaited"));
    CHECK(body::death_of(body::two_at_once).says("async_generator::next() is awaited twice at the same time"));
    CHECK(body::death_of(body::moved_from).says("async_generator::next() of an empty one: it was moved from"));
}

// ---- stop, deadline, context ----------------------------------------------------------------------------------------------------

TEST_CASE("async_generator: a stop of its consumer ends the operation that it is suspended on") {
    struct body {
        static peal::async_generator<int> waits(bool& cleaned) {
            class cleaner {
              public:
                explicit cleaner(bool& done) : done_(done) {}
                cleaner(const cleaner&) = delete;
                ~cleaner() { done_ = true; }

              private:
                bool& done_;
            };
            cleaner local(cleaned);
            co_yield 1;
            co_await peal::sleep_for(1h);
            co_yield 2;
        }
        static peal::task<> consume(int& seen, bool& cleaned, bool& canceled) {
            auto values = waits(cleaned);
            try {
                while (co_await values.next()) ++seen;
            } catch (const std::system_error& failure) {
                canceled = peal::is_canceled(failure) && cleaned;
            }
            bool more = (co_await values.next()).has_value();
            CHECK_FALSE(more);
        }
        static peal::task<> use() {
            int seen = 0;
            bool cleaned = false;
            bool canceled = false;
            auto began = peal::clock::now();
            {
                peal::scope tasks;
                auto handle = tasks.spawn(consume, std::ref(seen), std::ref(cleaned), std::ref(canceled));
                co_await peal::sleep_for(10ms);
                handle.request_stop();
                co_await tasks.join();
            }
            CHECK(seen == 1);
            CHECK(canceled);
            CHECK(peal::clock::now() - began < 1s);
        }
    };
    in_simulations(body::use);
}

TEST_CASE("async_generator: one that catches the cancellation goes on, and another context may read the rest") {
    struct body {
        static peal::async_generator<int> patient() {
            for (int i = 0;; ++i) {
                bool whole = true;
                try {
                    co_await peal::sleep_for(100ms);
                } catch (const std::system_error& failure) {
                    whole = !peal::is_canceled(failure);
                }
                co_yield whole ? i : -1;
            }
        }
        static peal::task<int> read_one(peal::async_generator<int>& values) { co_return *co_await values.next(); }
        static peal::task<> use() {
            auto values = patient();
            int got = co_await read_one(values);
            CHECK(got == 0);
            auto cut = values.next();
            auto limited = co_await peal::timeout(10ms, cut);  // it gave a value after all
            CHECK(limited == -1);
            got = co_await read_one(values);  // the limit is gone
            CHECK(got == 2);
            peal::scope tasks;
            auto other = tasks.spawn(read_one, std::ref(values));
            got = co_await other;
            CHECK(got == 3);
            auto stopped = tasks.spawn(read_one, std::ref(values));
            co_await peal::sleep_for(10ms);
            stopped.request_stop();
            got = co_await stopped;
            CHECK(got == -1);
            co_await tasks.join();
            got = co_await read_one(values);
            CHECK(got == 5);
        }
    };
    in_simulations(body::use);
}

TEST_CASE("async_generator: a timeout around next() ends it, and its deadline is seen inside") {
    struct body {
        static peal::async_generator<bool> sees_deadline() {
            for (;;) {
                co_yield peal::this_task::deadline() != peal::context::no_deadline;
                co_await peal::sleep_for(50ms);
            }
        }
        static peal::task<> use() {
            auto values = sees_deadline();
            auto first = co_await values.next();
            CHECK(first == false);
            auto second = co_await peal::timeout(1s, values.next());
            CHECK(second == true);
            auto third = co_await values.next();
            CHECK(third == false);
            std::errc code{};
            try {
                static_cast<void>(co_await peal::timeout(10ms, values.next()));
            } catch (const std::system_error& failure) {
                code = static_cast<std::errc>(failure.code().value());
            }
            CHECK(code == std::errc::timed_out);
            auto more = co_await values.next();
            CHECK_FALSE(more.has_value());
        }
    };
    in_simulations(body::use);
}

TEST_CASE("async_generator: when_any of two next() cancels the slower, which is awaited to its end") {
    struct body {
        static peal::task<> use() {
            auto quick = slow_numbers(1, 9, 10ms);
            auto slow = slow_numbers(100, 109, 1h);
            auto first = co_await peal::when_any(quick.next(), slow.next());
            CHECK(first.index == 0);
            auto more = co_await quick.next();
            CHECK(more == 2);
            more = co_await slow.next();
            CHECK_FALSE(more.has_value());
        }
    };
    in_simulations(body::use);
}

TEST_CASE("async_generator: a stop that races with values loses none and ends it once") {
    struct body {
        static peal::async_generator<int> values(peal::pool& pool, tracked held) {
            for (int i = 0;; ++i) {
                if (i % 3 == 0) co_await pool.schedule();
                if (i % 4 == 0) co_await peal::sleep_for(5us);
                co_yield i * held.value();
            }
        }
        static peal::task<> consume(peal::pool& pool, support::verdict& verdict) {
            auto all = values(pool, tracked(1));
            int next = 0;
            try {
                while (auto each = co_await all.next()) {
                    if (!verdict.expect(*each == next++, "a value out of order")) break;
                }
                verdict.complain("an infinite sequence has ended");
            } catch (const std::system_error& failure) {
                verdict.expect(peal::is_canceled(failure), failure.what());
            }
            auto more = co_await all.next();
            verdict.expect(!more, "a value after the end");
        }
    };
    support::verdict verdict;
    {
        peal::pool pool(peal::pool_options(2));
        support::stopper stopper;
        for (int i = 0; i < 300; ++i) {
            auto handle = pool.spawn(body::consume, std::ref(pool), std::ref(verdict));
            stopper.stop_after(std::chrono::microseconds(i), handle.stop_handle());
        }
        // the pool drains, and stops nothing
    }
    CHECK(verdict.text() == "");
    CHECK(tracked::clean());
}

// ---- workers --------------------------------------------------------------------------------------------------------------------

TEST_CASE("async_generator: hops between workers, and its consumer goes on where it was led") {
    struct body {
        static peal::async_generator<unsigned> hops(peal::pool& pool, int count) {
            for (int i = 0; i < count; ++i) {
                co_await pool.schedule_on(static_cast<unsigned>(i) % pool.size());
                co_yield peal::this_worker::index().value();
            }
        }
        static peal::task<int> consume(peal::pool& pool) {
            auto values = hops(pool, 1000);
            int right = 0;
            while (auto each = co_await values.next()) {
                if (peal::this_worker::index() == *each && *each == static_cast<unsigned>(right) % pool.size()) ++right;
                if (right % 10 == 0) co_await pool.schedule_on(0);
            }
            co_return right;
        }
    };
    peal::pool pool(peal::pool_options(3));
    CHECK(pool.run(body::consume, std::ref(pool)) == 1000);
}

TEST_CASE("async_generator: handed from task to task on other workers, and destroyed on another one") {
    struct body {
        static peal::async_generator<int> values(tracked held) {
            for (int i = 0;; ++i) co_yield i * held.value();
        }
        static peal::task<> pass_on(peal::pool& pool, peal::async_generator<int> all, int left, std::atomic<int>& sum) {
            co_await pool.schedule_on(static_cast<unsigned>(left) % pool.size());
            auto each = co_await all.next();
            sum += each.value();
            if (left > 1) pool.spawn(pass_on, std::ref(pool), std::move(all), left - 1, std::ref(sum)).detach();
        }
    };
    std::int64_t frames = peal::detail::live_frames();
    std::atomic<int> sum{0};
    {
        peal::pool pool(peal::pool_options(2));
        pool.spawn(body::pass_on, std::ref(pool), body::values(tracked(1)), 100, std::ref(sum)).detach();
        pool.shutdown(10s, 1s);
    }
    CHECK(sum == 4950);
    CHECK(tracked::clean());
    CHECK(peal::detail::live_frames() == frames);
}

// ---- size and recursion ---------------------------------------------------------------------------------------------------------

namespace {

peal::task<long> sum_of(peal::async_generator<int> values) {
    long sum = 0;
    while (auto each = co_await values.next()) sum += *each & 1;
    co_return sum;
}

peal::async_generator<int> numbers_of_tasks(int count) {
    for (int i = 0; i < count; ++i) {
        int value = co_await ready(i);
        co_yield value;
    }
}

/// The numbers of a complete binary tree in order, by nested generators.
peal::async_generator<int> in_order(int first, int end) {
    if (first == end) co_return;
    int middle = first + (end - first) / 2;
    auto left = in_order(first, middle);
    while (auto each = co_await left.next()) co_yield *each;
    co_yield middle;
    auto right = in_order(middle + 1, end);
    while (auto each = co_await right.next()) co_yield *each;
}

/// A chain of generators, each of which passes on what the next one gives.
peal::async_generator<int> passed_on(int depth, int count) {
    if (depth == 0) {
        for (int i = 0; i < count; ++i) co_yield i;
        co_return;
    }
    auto inner = passed_on(depth - 1, count);
    while (auto each = co_await inner.next()) co_yield *each;
}

}  // namespace

TEST_CASE("async_generator: ten million values that are ready at once run in constant stack (P8)") {
    std::uint64_t blocks = peal::detail::frame_system_allocations();
    REQUIRE(peal::sync_wait(sum_of(numbers(0, 10'000'000))) == 5'000'000);
    REQUIRE(peal::sync_wait(sum_of(numbers_of_tasks(1'000'000))) == 500'000);
    CHECK(peal::detail::frame_system_allocations() <= blocks + 8);
}

TEST_CASE("async_generator: values of nested generators are passed on by a loop, also through ten thousand levels (P8)") {
    std::int64_t frames = peal::detail::live_frames();
    auto all = peal::sync_wait(to_vector(in_order(0, 1000)));
    REQUIRE(all.size() == 1000);
    for (int i = 0; i < 1000; ++i) {
        if (all[static_cast<std::size_t>(i)] != i) FAIL(i);
    }
    CHECK(peal::sync_wait(sum_of(passed_on(10'000, 20))) == 10);
    CHECK(peal::detail::live_frames() == frames);
}
