// SPDX-License-Identifier: MIT

// spawn(): which functions and arguments it takes, how long they live, and what the join_handle gives.

#include <peal/task/spawn.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

/// Runs `fn(pool)` in simulations with one and with four workers.
template <class Function>
void in_simulations(Function fn) {
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(workers, workers);
        sim.pool().run(fn, sim.pool());
        peal::pool_counts counts = sim.pool().counts();
        CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled + counts.live);
    }
}

// ---- results ------------------------------------------------------------------------------------------------------------------

peal::task<int> value_after(int value, std::chrono::milliseconds delay) {
    co_await peal::sleep_for(delay);
    co_return value;
}
peal::task<int> value_at_once(int value) { co_return value; }
peal::task<> adds_one(int& number) {
    ++number;
    co_return;
}
peal::task<int&> refers_to(int& number) { co_return number; }
peal::task<std::unique_ptr<int>> makes(int value) { co_return std::make_unique<int>(value); }
peal::task<int> fails_after(std::chrono::milliseconds delay) {
    co_await peal::sleep_for(delay);
    throw std::domain_error("failed as told");
}

peal::task<> joins_every_kind_of_result(peal::pool& pool) {
    auto delayed = pool.spawn(value_after, 3, 5ms);
    auto ready = pool.spawn(value_at_once, 4);
    int got = co_await delayed;
    CHECK(got == 3);
    got = co_await ready;
    CHECK(got == 4);

    int number = 10;
    auto silent = pool.spawn(adds_one, std::ref(number));
    co_await silent;
    CHECK(number == 11);

    auto referring = pool.spawn(refers_to, std::ref(number));
    int& same = co_await referring;
    CHECK(&same == &number);

    auto owning = pool.spawn(makes, 5);
    std::unique_ptr<int> owned = co_await owning;
    CHECK(*owned == 5);

    auto failing = pool.spawn(fails_after, 1ms);
    bool thrown = false;
    try {
        co_await failing;
    } catch (const std::domain_error& failure) {
        thrown = failure.what() == std::string("failed as told");
    }
    CHECK(thrown);
}

peal::task<> joins_late(peal::pool& pool) {
    auto done = pool.spawn(value_at_once, 6);
    auto failed = pool.spawn(fails_after, 0ms);
    co_await peal::sleep_for(1s);
    CHECK(done.has_ended());
    CHECK(failed.has_ended());
    int got = co_await done;
    CHECK(got == 6);
    CHECK_FALSE(done.has_ended());  // it let go of the task
    bool thrown = false;
    try {
        co_await failed;
    } catch (const std::domain_error&) {
        thrown = true;
    }
    CHECK(thrown);
}

}  // namespace

TEST_CASE("spawn: the handle gives values, references, nothing, move-only values and exceptions") {
    in_simulations(joins_every_kind_of_result);
}

TEST_CASE("spawn: a task that ended long ago still has its result or exception") { in_simulations(joins_late); }

// ---- functions ----------------------------------------------------------------------------------------------------------------

namespace {

int plain_sum(int a, int b) { return a + b; }
void plain_fails() { throw std::domain_error("plain"); }

class counter {
  public:
    explicit counter(int first) : number_(first) {}
    counter(const counter&) = delete;
    peal::task<int> add(int amount) {
        number_ += amount;
        co_return number_;
    }
    int plain_add(int amount) { return number_ += amount; }
    int number() const { return number_; }

  private:
    int number_;
};

class copyable_counter {
  public:
    explicit copyable_counter(int first) : number_(first) {}
    peal::task<int> add_after(std::chrono::milliseconds delay, int amount) {
        co_await peal::sleep_for(delay);
        co_return number_.value() + amount;
    }

  private:
    tracked number_;
};

peal::task<> spawns_plain_functions(peal::pool& pool) {
    auto sum = pool.spawn(plain_sum, 1, 2);
    int got = co_await sum;
    CHECK(got == 3);
    auto failing = pool.spawn(plain_fails);
    bool thrown = false;
    try {
        co_await failing;
    } catch (const std::domain_error&) {
        thrown = true;
    }
    CHECK(thrown);
}

peal::task<> spawns_members(peal::pool& pool) {
    counter shared(10);
    auto by_pointer = pool.spawn(&counter::add, &shared, 1);
    int got = co_await by_pointer;
    CHECK(got == 11);
    auto by_reference = pool.spawn(&counter::add, shared, 1);  // cannot be copied: by reference
    got = co_await by_reference;
    CHECK(got == 12);
    auto plain = pool.spawn(&counter::plain_add, std::ref(shared), 1);
    got = co_await plain;
    CHECK(got == 13);
    CHECK(shared.number() == 13);

    copyable_counter copied(20);
    auto by_copy = pool.spawn(&copyable_counter::add_after, copied, 3ms, 1);  // the copy lives in the task
    got = co_await by_copy;
    CHECK(got == 21);
}

peal::task<> spawns_lambdas(peal::pool& pool) {
    auto owned = std::make_unique<tracked>(7);
    auto keeps = [owned = std::move(owned)]() -> peal::task<int> {
        co_await peal::sleep_for(2ms);
        co_return owned->value();  // the lambda lives in the task, so its captures do
    };
    auto first = pool.spawn(std::move(keeps));
    auto plain = [number = tracked(8)] { return number.value(); };
    auto second = pool.spawn(plain);
    int got = co_await first;
    CHECK(got == 7);
    got = co_await second;
    CHECK(got == 8);
}

peal::task<> spawns_tasks(peal::pool& pool) {
    peal::task<int> made = value_after(9, 1ms);
    auto first = pool.spawn(std::move(made));
    auto second = pool.spawn(value_after(10, 2ms));
    int got = co_await first;
    CHECK(got == 9);
    got = co_await second;
    CHECK(got == 10);
}

}  // namespace

TEST_CASE("spawn: takes plain functions, with their exceptions") { in_simulations(spawns_plain_functions); }

TEST_CASE("spawn: takes member functions, with the object by pointer, reference or copy") { in_simulations(spawns_members); }

TEST_CASE("spawn: keeps a lambda and its captures alive while its coroutine runs") {
    in_simulations(spawns_lambdas);
    CHECK(tracked::clean());
}

TEST_CASE("spawn: takes a task object") { in_simulations(spawns_tasks); }

// ---- arguments ----------------------------------------------------------------------------------------------------------------

namespace {

peal::task<int> by_value(tracked argument) {
    co_await peal::sleep_for(1ms);
    co_return argument.value();
}
peal::task<int> by_const_reference(const tracked& argument) {
    co_await peal::sleep_for(1ms);
    co_return argument.value();
}
peal::task<int> by_rvalue_reference(tracked&& argument) {
    co_await peal::sleep_for(1ms);
    co_return argument.value();
}
peal::task<int> takes_unique(std::unique_ptr<int> argument) {
    co_await peal::sleep_for(1ms);
    co_return *argument;
}
peal::task<std::size_t> takes_text(std::string text) { co_return text.size(); }
peal::task<const void*> address_of(counter& object) { co_return &object; }

peal::task<> passes_arguments(peal::pool& pool) {
    tracked mine(1);
    tracked::forget_counts();
    auto copied = pool.spawn(by_value, mine);
    CHECK(tracked::copies() == 1);
    auto moved = pool.spawn(by_value, tracked(2));
    auto lent = pool.spawn(by_const_reference, mine);          // refers to the copy in the task
    auto given = pool.spawn(by_rvalue_reference, tracked(3));  // refers to what lies in the task
    CHECK(tracked::copies() == 2);
    int got = co_await copied;
    CHECK(got == 1);
    got = co_await moved;
    CHECK(got == 2);
    got = co_await lent;
    CHECK(got == 1);
    got = co_await given;
    CHECK(got == 3);
    CHECK(mine.value() == 1);

    auto owned = std::make_unique<int>(4);
    auto owning = pool.spawn(takes_unique, std::move(owned));
    CHECK(owned == nullptr);
    got = co_await owning;
    CHECK(got == 4);

    auto literal = pool.spawn(takes_text, "four");
    got = co_await literal;
    CHECK(got == 4);

    counter object(0);
    auto referring = pool.spawn(address_of, object);
    const void* seen = co_await referring;
    CHECK(seen == &object);
}

peal::task<> changes_after_spawn(peal::pool& pool) {
    std::string text = "before";
    auto handle = pool.spawn(takes_text, text);
    text = "changed afterwards";
    int got = co_await handle;
    CHECK(got == 6);
}

peal::task<> arguments_end_with_the_task(peal::pool& pool) {
    {
        auto handle = pool.spawn(by_value, tracked(1));
        co_await handle;
        CHECK(tracked::alive() == 0);
    }
    {
        auto handle = pool.spawn(by_const_reference, tracked(1));
        handle.detach();
        co_await peal::sleep_for(1s);
        CHECK(tracked::alive() == 0);
    }
}

}  // namespace

TEST_CASE("spawn: arguments are copied or moved, and passed by reference when they cannot be copied") {
    in_simulations(passes_arguments);
    in_simulations(changes_after_spawn);
    CHECK(tracked::clean());
}

TEST_CASE("spawn: function and arguments are destroyed when the task is joined, or ends detached") {
    std::int64_t frames = peal::detail::live_frames();
    in_simulations(arguments_end_with_the_task);
    CHECK(tracked::clean());
    CHECK(peal::detail::live_frames() == frames);
}

TEST_CASE("spawn: an argument that throws when it is copied leaves nothing behind and is not counted") {
    class refuses_copy {
      public:
        refuses_copy() = default;
        refuses_copy(const refuses_copy&) { throw std::length_error("no copy"); }
        tracked alive;
    };
    struct body {
        static peal::task<> callee(refuses_copy) { co_return; }
        static peal::task<> run(peal::pool& pool) {
            refuses_copy argument;
            bool thrown = false;
            try {
                pool.spawn(callee, argument);
            } catch (const std::length_error&) {
                thrown = true;
            }
            CHECK(thrown);
            CHECK(pool.counts().accepted == 1);  // this task
            co_return;
        }
    };
    in_simulations(body::run);
    CHECK(tracked::clean());
}

// ---- names ------------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<std::string> own_name() { co_return peal::this_task::name(); }

peal::task<> asks_names(peal::pool& pool) {
    auto named = pool.spawn(peal::spawn_options("session"), own_name);
    auto unnamed = pool.spawn(own_name);
    std::string text = co_await named;
    CHECK(text == "session");
    text = co_await unnamed;
    CHECK(text == "");
    CHECK(peal::this_task::name() == std::string("run"));
}

}  // namespace

TEST_CASE("spawn: options give the task its name") {
    in_simulations(asks_names);
    CHECK(peal::this_task::name() == std::string(""));  // outside of a task
    CHECK_FALSE(peal::this_task::stop_requested());
}

TEST_CASE("spawn: options remember priority and where they were made") {
    peal::spawn_options options("x", peal::priority::low);
    CHECK(options.location().line() == __LINE__ - 1);
    CHECK(options.priority() == peal::priority::low);
}
