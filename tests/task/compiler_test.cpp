// SPDX-License-Identifier: MIT

// The compiler: the shapes of calls that peal promises to be safe with every supported compiler, each with objects that know
// whether they were constructed and destroyed once. g++ 12 destroys some temporaries of an expression with co_await twice (temporary
// lambdas with captures, aggregates, conditional expressions of class type): those shapes are not used here, nor anywhere in peal.
// If a case fails with a new compiler, that compiler is not supported.

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/async_generator.hpp>
#include <peal/task/generator.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

/// Runs a body in a simulation, and checks that everything was constructed and destroyed once.
template <class Body>
void check_shape(Body body) {
    tracked::forget_counts();
    {
        peal::simulation sim(1);
        sim.pool().run(body, sim.pool());
    }
    CHECK(tracked::made() > 0);
    CHECK(tracked::alive() == 0);
    CHECK(tracked::mistakes() == 0);
}

/// As configurations of users look: a class type with members that own memory, and a constructor.
class settings {
  public:
    explicit settings(std::string name, int count = 1) : name_(std::move(name)), count_(count) {}
    int count() const { return count_.value() + static_cast<int>(name_.size()) * 0; }

  private:
    std::string name_;
    tracked count_;
};

peal::task<int> takes_value(tracked argument) {
    co_await peal::sleep_for(1us);
    co_return argument.value();
}
peal::task<int> takes_two(tracked first, tracked second) { co_return first.value() + second.value(); }
peal::task<int> takes_reference(const tracked& argument) {
    co_await peal::sleep_for(1us);
    co_return argument.value();
}
peal::task<int> takes_rvalue(tracked&& argument) {
    co_await peal::sleep_for(1us);
    co_return argument.value();
}
peal::task<int> takes_settings(settings wanted) {
    co_await peal::sleep_for(1us);
    co_return wanted.count();
}
peal::task<int> takes_settings_reference(const settings& wanted) {
    co_await peal::sleep_for(1us);
    co_return wanted.count();
}
peal::task<tracked> gives_value(int value) {
    co_await peal::sleep_for(1us);
    co_return tracked(value);
}
peal::task<std::optional<tracked>> gives_optional(int value) { co_return tracked(value); }
peal::task<std::pair<tracked, std::string>> gives_pair(int value) {
    co_return std::pair<tracked, std::string>(tracked(value), "a text that is too long for a short string");
}
peal::task<int> fails_with(tracked argument) {
    co_await peal::sleep_for(1us);
    throw argument.value();
}
int plain(tracked argument) { return argument.value(); }

// ---- function + arguments -------------------------------------------------------------------------------------------------------

peal::task<> function_and_arguments(peal::pool&) {
    int got = co_await takes_value(tracked(1));
    CHECK(got == 1);
    got = co_await takes_two(tracked(1), tracked(2));
    CHECK(got == 3);
    got = co_await takes_reference(tracked(3));  // the temporary lives until the end of the full expression
    CHECK(got == 3);
    got = co_await takes_rvalue(tracked(4));
    CHECK(got == 4);
    tracked named(5);
    got = co_await takes_value(named);
    CHECK(got == 5);
    got = co_await takes_reference(named);
    CHECK(got == 5);
    got = co_await takes_value(std::move(named));
    CHECK(got == 5);
}

peal::task<> arguments_that_are_awaited(peal::pool&) {
    int got = co_await takes_value(co_await gives_value(1));
    CHECK(got == 1);
    got = co_await takes_two(co_await gives_value(2), co_await gives_value(3));
    CHECK(got == 5);
    int sum = co_await takes_value(tracked(1)) + co_await takes_value(tracked(2));
    CHECK(sum == 3);
}

peal::task<> class_types_with_constructors(peal::pool&) {
    int got = co_await takes_settings(settings("a name that is too long for a short string", 2));
    CHECK(got == 2);
    got = co_await takes_settings_reference(settings("short", 3));
    CHECK(got == 3);
    settings named("named");
    got = co_await takes_settings(named);
    CHECK(got == 1);
    got = co_await takes_settings(std::move(named));
    CHECK(got == 1);
}

// ---- results --------------------------------------------------------------------------------------------------------------------

peal::task<> results(peal::pool&) {
    tracked kept = co_await gives_value(1);
    CHECK(kept.value() == 1);
    int got = (co_await gives_value(2)).value();  // member of a temporary result
    CHECK(got == 2);
    std::optional<tracked> maybe = co_await gives_optional(3);
    CHECK(maybe->value() == 3);
    auto [number, text] = co_await gives_pair(4);
    CHECK(number.value() == 4);
    CHECK(text.size() > 16);
    std::vector<tracked> many;
    for (int i = 0; i < 10; ++i) many.push_back(co_await gives_value(i));
    kept = co_await gives_value(5);
    CHECK(kept.value() == 5);
    if (tracked in_condition = co_await gives_value(6); in_condition.value() != 6) CHECK(false);
    while ((co_await gives_value(0)).value() != 0) {
    }
    static_cast<void>(co_await gives_value(7));
}

peal::task<> results_in_errors(peal::pool&) {
    int caught = 0;
    try {
        static_cast<void>(co_await fails_with(tracked(1)));
    } catch (int thrown) {
        caught = thrown;
    }
    CHECK(caught == 1);
    try {
        static_cast<void>(co_await takes_two(tracked(1), tracked(co_await fails_with(tracked(2)))));
    } catch (int thrown) {
        caught = thrown;
    }
    CHECK(caught == 2);
}

peal::task<> results_without_throwing(peal::pool&) {
    auto value = co_await peal::as_result(gives_value(1));
    CHECK(value->value() == 1);
    auto slept = co_await peal::as_result(peal::sleep_for(1us));
    CHECK(slept);
}

// ---- lambdas --------------------------------------------------------------------------------------------------------------------

peal::task<> named_lambdas(peal::pool& pool) {
    tracked number(1);
    auto plain_named = [number] { return number.value(); };
    int got = co_await pool.offload(plain_named);
    CHECK(got == 1);
    auto moved = [number = tracked(2)] { return number.value(); };
    got = co_await pool.offload(std::move(moved));
    CHECK(got == 2);
    auto coroutine = [number = tracked(3)]() -> peal::task<int> {
        co_await peal::sleep_for(1us);
        co_return number.value();
    };
    got = co_await coroutine();  // the lambda is named: it outlives the await
    CHECK(got == 3);
    auto handle = pool.spawn(std::move(coroutine));
    got = co_await handle;
    CHECK(got == 3);
}

peal::task<> lambdas_that_capture_references(peal::pool& pool) {
    tracked number(1);
    int copy = 2;
    int got = co_await pool.offload([&number] { return number.value(); });
    CHECK(got == 1);
    got = co_await pool.offload([&number, copy] { return number.value() + copy; });
    CHECK(got == 3);
}

peal::task<> lambdas_without_captures(peal::pool& pool) {
    auto body = [](tracked argument) -> peal::task<int> {
        co_await peal::sleep_for(1us);
        co_return argument.value();
    };
    int got = co_await body(tracked(1));
    CHECK(got == 1);
    auto handle = pool.spawn(body, tracked(2));
    got = co_await handle;
    CHECK(got == 2);
}

// ---- spawn and offload ----------------------------------------------------------------------------------------------------------

peal::task<> spawn_as_a_statement(peal::pool& pool) {
    peal::scope tasks;
    tracked named(1);
    tasks.spawn(takes_value, named);
    tasks.spawn(takes_value, tracked(2));
    tasks.spawn(takes_reference, tracked(3));
    tasks.spawn(peal::spawn_options("named"), takes_settings, settings("a name that is too long for a short string"));
    tasks.spawn([number = tracked(4)] { return number.value(); });  // no co_await in this expression
    tasks.spawn(takes_value(tracked(5)));
    pool.spawn(takes_value, tracked(6)).detach();
    co_await tasks.join();
    co_await peal::sleep_for(1ms);
}

peal::task<> spawn_and_await_in_one_expression(peal::pool& pool) {
    int got = co_await pool.spawn(takes_value, tracked(1));
    CHECK(got == 1);
    got = co_await pool.spawn(takes_settings, settings("a name that is too long for a short string", 2));
    CHECK(got == 2);
    got = (co_await pool.spawn(gives_value, 3)).value();
    CHECK(got == 3);
    got = co_await pool.spawn(peal::spawn_options("named"), plain, tracked(4));
    CHECK(got == 4);
}

peal::task<> spawn_with_an_awaited_argument(peal::pool& pool) {
    peal::scope tasks;
    tasks.spawn(takes_value, co_await gives_value(1));  // as sessions.spawn(session, co_await listener.accept())
    tasks.spawn(takes_two, co_await gives_value(2), tracked(3));
    auto handle = pool.spawn(takes_value, co_await gives_value(4));
    int got = co_await handle;
    CHECK(got == 4);
    co_await tasks.join();
}

peal::task<> offload_with_arguments(peal::pool& pool) {
    int got = co_await pool.offload(plain, tracked(1));
    CHECK(got == 1);
    tracked named(2);
    got = co_await pool.offload(plain, named);
    CHECK(got == 2);
    got = co_await pool.offload(plain, std::move(named));
    CHECK(got == 2);
    got = co_await pool.offload(&settings::count, settings("x", 3));
    CHECK(got == 3);
}

// ---- references -----------------------------------------------------------------------------------------------------------------

peal::task<tracked&> passes_through(tracked& object) {
    co_await peal::sleep_for(1us);
    co_return object;
}

peal::task<> references(peal::pool& pool) {
    tracked object(1);
    tracked& same = co_await passes_through(object);
    CHECK(&same == &object);
    int got = (co_await passes_through(object)).value();
    CHECK(got == 1);
    tracked copy = co_await passes_through(object);
    CHECK(copy.value() == 1);
    auto handle = pool.spawn(passes_through, std::ref(object));
    tracked& joined = co_await handle;
    CHECK(&joined == &object);
    got = co_await takes_value(co_await passes_through(object));
    CHECK(got == 1);
}

// ---- generators -----------------------------------------------------------------------------------------------------------------

peal::generator<tracked> yields(int count, tracked held) {
    for (int i = 0; i < count; ++i) co_yield tracked(i + held.value());
    tracked named(count);
    co_yield named;
    co_yield std::move(named);
}
peal::generator<std::string> yields_converted() {
    co_yield "a literal that is too long for a short string";
    std::string named = "a variable that is too long for a short string";
    co_yield named + " and more";
    co_yield named;
}
peal::async_generator<tracked> yields_later(int count, tracked held) {
    for (int i = 0; i < count; ++i) {
        co_yield tracked(i + held.value());
        co_yield co_await gives_value(i);
    }
    tracked named(count);
    co_yield named;
    co_await peal::sleep_for(1us);
    co_yield std::move(named);
}
peal::async_generator<std::pair<tracked, std::string>> yields_pairs() {
    co_yield std::pair<tracked, std::string>(tracked(1), "a text that is too long for a short string");
    auto [number, text] = co_await gives_pair(2);
    co_yield std::pair<tracked, std::string>(number, text);
}

peal::task<> generators(peal::pool&) {
    int sum = 0;
    for (tracked& each : yields(3, tracked(1))) {
        sum += each.value();
        co_await peal::sleep_for(1us);
        int got = co_await takes_value(each);
        CHECK(got == each.value());
    }
    CHECK(sum == 1 + 2 + 3 + 3 + 3);
    std::size_t length = 0;
    for (const std::string& each : yields_converted()) length += each.size();
    CHECK(length == 45 + 46 + 9 + 46);
}

peal::task<> async_generators(peal::pool& pool) {
    int sum = 0;
    auto values = yields_later(2, tracked(1));
    while (auto each = co_await values.next()) {
        sum += each->value();
        int got = co_await takes_value(*std::move(each));
        CHECK(got >= 0);
    }
    CHECK(sum == 1 + 0 + 2 + 1 + 2 + 2);
    auto others = yields_later(1, tracked(5));
    int got = co_await takes_value(*co_await others.next());  // an awaited value as an argument
    CHECK(got == 5);
    got = (co_await others.next())->value();
    CHECK(got == 0);
    auto handle = pool.spawn(takes_value, *co_await others.next());
    got = co_await handle;
    CHECK(got == 1);
    auto pairs = yields_pairs();
    while (auto each = co_await pairs.next()) {
        auto [number, text] = *std::move(each);
        CHECK(number.value() > 0);
        CHECK(text.size() > 16);
    }
    auto limited = co_await peal::timeout(1s, others.next());
    CHECK(limited->value() == 1);
}

}  // namespace

TEST_CASE("compiler: a coroutine with arguments by value, by reference and moved") { check_shape(function_and_arguments); }
TEST_CASE("compiler: arguments that are themselves awaited") { check_shape(arguments_that_are_awaited); }
TEST_CASE("compiler: temporary class types with constructors") { check_shape(class_types_with_constructors); }
TEST_CASE("compiler: results as variables, members of temporaries, in conditions and loops") { check_shape(results); }
TEST_CASE("compiler: exceptions that leave an expression with temporaries") { check_shape(results_in_errors); }
TEST_CASE("compiler: as_result of tasks and operations") { check_shape(results_without_throwing); }
TEST_CASE("compiler: lambdas with captures that were named first") { check_shape(named_lambdas); }
TEST_CASE("compiler: temporary lambdas that capture references and numbers") { check_shape(lambdas_that_capture_references); }
TEST_CASE("compiler: lambdas without captures, with parameters") { check_shape(lambdas_without_captures); }
TEST_CASE("compiler: spawn as a statement, with whatever arguments") { check_shape(spawn_as_a_statement); }
TEST_CASE("compiler: spawn and await in one expression") { check_shape(spawn_and_await_in_one_expression); }
TEST_CASE("compiler: spawn with an awaited argument") { check_shape(spawn_with_an_awaited_argument); }
TEST_CASE("compiler: offload with arguments") { check_shape(offload_with_arguments); }
TEST_CASE("compiler: tasks that give references") { check_shape(references); }
TEST_CASE("compiler: generators, and co_yield of temporaries, variables and converted values") { check_shape(generators); }
TEST_CASE("compiler: async generators, and their values as variables, arguments and members of temporaries") { check_shape(async_generators); }
