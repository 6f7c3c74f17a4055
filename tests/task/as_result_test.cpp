// SPDX-License-Identifier: MIT

#include <peal/task/as_result.hpp>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;

peal::task<int> gives(int value) { co_return value; }
peal::task<std::unique_ptr<int>> gives_owned(int value) { co_return std::make_unique<int>(value); }
peal::task<> nothing() { co_return; }
peal::task<int> fails(std::errc code, const char* operation) {
    throw std::system_error(std::make_error_code(code), operation);
    co_return 0;
}
peal::task<> fails_otherwise() {
    throw std::logic_error("not an error of the system");
    co_return;
}

peal::task<> of_tasks() {
    peal::result<int> value = co_await peal::as_result(gives(4));
    CHECK(value.has_value());
    CHECK(*value == 4);
    CHECK(value.value() == 4);

    peal::result<void> silent = co_await peal::as_result(nothing());
    CHECK(silent);
    silent.value();

    auto owned = co_await peal::as_result(gives_owned(5));
    std::unique_ptr<int> taken = std::move(owned).value();
    CHECK(*taken == 5);
}

peal::task<> of_failing_tasks() {
    peal::result<int> failed = co_await peal::as_result(fails(std::errc::connection_reset, "recv"));
    CHECK_FALSE(failed);
    CHECK(failed.error().code() == std::errc::connection_reset);
    CHECK(failed.error().operation() == "recv");
    CHECK_FALSE(failed.error().is_canceled());

    // The error says the same as the exception did, and as the exception that it raises again.
    std::string thrown;
    try {
        static_cast<void>(co_await fails(std::errc::connection_reset, "recv"));
    } catch (const std::system_error& failure) {
        thrown = failure.what();
    }
    CHECK(failed.error().message() == thrown);
    std::string raised;
    try {
        static_cast<void>(failed.value());
    } catch (const std::system_error& failure) {
        raised = failure.what();
        CHECK(failure.code() == std::errc::connection_reset);
    }
    CHECK(raised == thrown);

    auto unnamed = co_await peal::as_result(fails(std::errc::timed_out, ""));
    CHECK(unnamed.error().code() == std::errc::timed_out);

    bool other = false;
    try {
        static_cast<void>(co_await peal::as_result(fails_otherwise()));
    } catch (const std::logic_error&) {
        other = true;
    }
    CHECK(other);
}

peal::task<> sleeps_for_ever(peal::result<void>& seen) { seen = co_await peal::as_result(peal::sleep_for(1h)); }

peal::task<int> canceled_inside() {
    co_await peal::sleep_for(1h);
    co_return 0;
}
peal::task<> awaits_canceled_task(peal::result<int>& seen) { seen = co_await peal::as_result(canceled_inside()); }

peal::task<> of_canceled(peal::pool& pool) {
    auto slept = co_await peal::as_result(peal::sleep_for(1ms));
    CHECK(slept);

    peal::result<void> of_operation;
    auto sleeper = pool.spawn(sleeps_for_ever, std::ref(of_operation));
    co_await peal::sleep_for(1ms);
    sleeper.request_stop();
    co_await sleeper;
    CHECK_FALSE(of_operation);
    CHECK(of_operation.error().is_canceled());
    CHECK(of_operation.error().operation() == "sleep");

    peal::result<int> of_task(0);
    auto awaiting = pool.spawn(awaits_canceled_task, std::ref(of_task));
    co_await peal::sleep_for(1ms);
    awaiting.request_stop();
    co_await awaiting;
    CHECK_FALSE(of_task);
    CHECK(of_task.error().is_canceled());
    CHECK(of_task.error().operation() == "sleep");
    CHECK(of_task.error().message() == of_operation.error().message());
}

peal::task<> of_streams(peal::simulation& sim) {
    auto ends = sim.stream_pair();
    std::array<std::byte, 4> bytes{};
    auto written = co_await peal::as_result(ends.first.write_all(bytes));
    CHECK(written);
    CHECK(*written == 4);
    auto read = co_await peal::as_result(ends.second.read_exactly(bytes));
    CHECK(*read == 4);
    ends.second.close();
    auto broken = co_await peal::as_result(ends.first.write_all(bytes));
    CHECK_FALSE(broken);
    CHECK(broken.error().code() == std::errc::broken_pipe);
    CHECK(broken.error().operation() == "send");
}

}  // namespace

TEST_CASE("as_result: of a task that ends well holds its value") { peal::sync_wait(of_tasks()); }

TEST_CASE("as_result: of a task that fails holds code and operation; other exceptions pass") {
    peal::sync_wait(of_failing_tasks());
}

TEST_CASE("as_result: of a canceled operation or task says so") {
    peal::simulation sim(1);
    sim.pool().run(of_canceled, sim.pool());
}

TEST_CASE("as_result: of an operation holds its value or its error") {
    peal::simulation sim(1);
    sim.pool().run(of_streams, std::ref(sim));
}

TEST_CASE("error: a result without value throws its error") {
    peal::result<int> failed(peal::error::from_errno(ECONNREFUSED, "connect"));
    CHECK_THROWS_AS(failed.value(), std::system_error);
    peal::result<void> also(peal::error::from_errno(ECANCELED, "sleep"));
    CHECK_THROWS_AS(also.value(), std::system_error);
    CHECK(also.error().is_canceled());
    CHECK(peal::is_canceled(std::system_error(std::make_error_code(std::errc::operation_canceled))));
    CHECK_FALSE(peal::is_canceled(std::runtime_error("other")));
}
