// SPDX-License-Identifier: MIT

// join_handle: detaching, stopping, joining under cancellation, and what becomes of failures that nobody takes.

#include <peal/task/spawn.hpp>

#include <atomic>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

template <class Function>
void in_simulations(Function fn) {
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(workers, workers);
        sim.pool().run(fn, sim.pool());
    }
}

peal::task<> sleeps(std::chrono::milliseconds time, bool& ended) {
    co_await peal::sleep_for(time);
    ended = true;
}
peal::task<int> gives(int value, std::chrono::milliseconds delay) {
    co_await peal::sleep_for(delay);
    co_return value;
}
peal::task<> fails(const char* text) {
    throw std::runtime_error(text);
    co_return;
}

/// How the await of `handle` ended.
enum class joined { value, canceled, failed };
template <class T>
peal::task<joined> join(peal::join_handle<T>& handle) {
    try {
        static_cast<void>(co_await handle);
    } catch (const std::exception& failure) {
        co_return peal::is_canceled(failure) ? joined::canceled : joined::failed;
    }
    co_return joined::value;
}

// ---- detaching ----------------------------------------------------------------------------------------------------------------

peal::task<> lets_go(peal::pool& pool) {
    bool detached = false;
    bool dropped = false;
    bool assigned_over = false;
    auto first = pool.spawn(sleeps, 1ms, std::ref(detached));
    first.detach();
    first.detach();  // idempotent
    { auto second = pool.spawn(sleeps, 1ms, std::ref(dropped)); }
    auto third = pool.spawn(sleeps, 1ms, std::ref(assigned_over));
    bool last = false;
    third = pool.spawn(sleeps, 2ms, std::ref(last));
    co_await third;
    CHECK(detached);
    CHECK(dropped);
    CHECK(assigned_over);
    CHECK(last);
    first.request_stop();  // nothing left to stop
    CHECK_FALSE(first.has_ended());
}

}  // namespace

TEST_CASE("join_handle: a task goes on when its handle is detached, dropped or assigned over") { in_simulations(lets_go); }

TEST_CASE("join_handle: may outlive the task, and the pool") {
    std::int64_t frames = peal::detail::live_frames();
    {
        std::optional<peal::join_handle<int>> done;
        std::optional<peal::stop_handle> stop;
        {
            peal::simulation sim(1);
            done.emplace(sim.pool().spawn(gives, 1, 1ms));
            stop.emplace(done->stop_handle());
            sim.pool().run(gives, 0, 10ms);
        }
        CHECK(done->has_ended());
        stop->request_stop();
        CHECK(peal::detail::live_frames() > frames);  // the result waits
    }
    CHECK(peal::detail::live_frames() == frames);
}

// ---- failures that nobody takes -----------------------------------------------------------------------------------------------

namespace {

/// What a pool's handler was given: the words of the exception and the name of the task.
class unhandled {
  public:
    auto handler() {
        return [this](std::exception_ptr failure, const peal::context& task) {
            std::string text = std::string(task.name()) + ": ";
            try {
                std::rethrow_exception(failure);
            } catch (const std::exception& error) {
                text += error.what();
            }
            std::lock_guard guard(mutex_);
            seen_.push_back(text);
        };
    }
    std::vector<std::string> seen() const {
        std::lock_guard guard(mutex_);
        return seen_;
    }

  private:
    mutable std::mutex mutex_;
    std::vector<std::string> seen_;
};

peal::pool_options one_worker(unhandled& failures) {
    peal::pool_options options(1);
    options.on_unhandled = failures.handler();
    return options;
}

peal::task<> spawns_and_drops(peal::pool& pool) {
    pool.spawn(peal::spawn_options("dropped"), fails, "nobody looks");
    co_return;
}

peal::task<> keeps_until_it_failed(peal::pool& pool) {
    auto handle = pool.spawn(peal::spawn_options("kept"), fails, "too late");
    while (!handle.has_ended()) co_await pool.schedule();
}

peal::task<> joins_failure(peal::pool& pool) {
    auto handle = pool.spawn(peal::spawn_options("joined"), fails, "somebody looks");
    joined how = co_await join(handle);
    CHECK(how == joined::failed);
}

peal::task<> canceled_and_dropped(peal::pool& pool) {
    auto handle = pool.spawn(gives, 1, 1h);
    handle.request_stop();
    co_return;
}

}  // namespace

TEST_CASE("join_handle: the exception of a dropped task reaches the pool's handler, with the task") {
    unhandled failures;
    {
        peal::pool pool(one_worker(failures));
        pool.run(spawns_and_drops, pool);
    }
    CHECK(failures.seen() == std::vector<std::string>{"dropped: nobody looks"});
}

TEST_CASE("join_handle: the handler also gets it when the handle is dropped after the task has failed") {
    unhandled failures;
    support::captured_stderr quiet;
    {
        peal::pool pool(one_worker(failures));
        pool.run(keeps_until_it_failed, pool);
    }
    CHECK(failures.seen() == std::vector<std::string>{"kept: too late"});
    CHECK(quiet.text() == "");
}

TEST_CASE("join_handle: the handler also gets it when a foreign thread drops the handle late") {
    unhandled failures;
    support::captured_stderr quiet;
    {
        peal::pool pool(one_worker(failures));
        auto handle = pool.spawn(peal::spawn_options("foreign"), fails, "too late");
        while (!handle.has_ended()) std::this_thread::yield();
        handle.detach();
        CHECK(failures.seen() == std::vector<std::string>{"foreign: too late"});
    }
    CHECK(quiet.text() == "");
}

TEST_CASE("join_handle: without a pool any more, a failure goes to standard error") {
    unhandled failures;
    support::captured_stderr lines;
    {
        std::optional<peal::join_handle<>> handle;
        {
            peal::pool pool(one_worker(failures));
            handle.emplace(pool.spawn(peal::spawn_options("late"), fails, "too late"));
        }
        CHECK(lines.text() == "");
    }
    CHECK(failures.seen().empty());
    CHECK(lines.text().starts_with("peal: task 'late' (spawned at "));
    CHECK(lines.text().find("join_handle_test.cpp:") != std::string::npos);
    CHECK(lines.text().ends_with(") failed and nobody awaits it: too late\n"));
}

TEST_CASE("join_handle: a failure that was awaited, and a cancellation, are nobody's surprise") {
    unhandled failures;
    support::captured_stderr quiet;
    {
        peal::pool pool(one_worker(failures));
        pool.run(joins_failure, pool);
        pool.run(canceled_and_dropped, pool);
    }
    CHECK(failures.seen().empty());
    CHECK(quiet.text() == "");
}

TEST_CASE("join_handle: without a handler a failure is one line on standard error") {
    support::captured_stderr lines;
    {
        peal::simulation sim(1);
        sim.pool().run(spawns_and_drops, sim.pool());
    }
    CHECK(lines.text().starts_with("peal: task 'dropped' (spawned at "));
    CHECK(lines.text().ends_with(") failed and nobody awaits it: nobody looks\n"));
}

// ---- stopping -----------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> stops_sleeper(peal::pool& pool) {
    auto started = peal::clock::now();
    bool ended = false;
    auto sleeper = pool.spawn(sleeps, 1'000'000ms, std::ref(ended));
    co_await peal::sleep_for(1ms);
    sleeper.request_stop();
    joined how = co_await join(sleeper);
    CHECK(how == joined::canceled);
    CHECK_FALSE(ended);
    CHECK(peal::clock::now() - started < 3ms);  // virtual time: nothing waited for the sleep
}

peal::task<bool> looks_at_stop() { co_return peal::this_task::stop_requested(); }

peal::task<> stops_before_start(peal::pool& pool) {
    bool ended = false;
    auto sleeper = pool.spawn(sleeps, 1'000'000ms, std::ref(ended));
    sleeper.request_stop();
    joined how = co_await join(sleeper);
    CHECK(how == joined::canceled);
    auto not_even_suspended = pool.spawn(gives, 3, 0ms);
    not_even_suspended.request_stop();
    how = co_await join(not_even_suspended);
    CHECK(how == joined::canceled);
    auto computing = pool.spawn(looks_at_stop);  // waits for nothing: a stop does not end it
    computing.request_stop();
    bool yes = co_await computing;
    CHECK(yes);
}

peal::task<> sees_stop(peal::pool& pool) {
    auto asked = pool.spawn(looks_at_stop);
    asked.request_stop();
    bool yes = co_await asked;
    CHECK(yes);
    auto left_alone = pool.spawn(looks_at_stop);
    yes = co_await left_alone;
    CHECK_FALSE(yes);
}

peal::task<> stops_through_stop_handle(peal::pool& pool) {
    bool ended = false;
    auto sleeper = pool.spawn(sleeps, 1'000'000ms, std::ref(ended));
    peal::stop_handle first = sleeper.stop_handle();
    peal::stop_handle copy = first;
    sleeper.detach();
    co_await peal::sleep_for(1ms);
    CHECK(pool.counts().live == 2);
    copy.request_stop();
    co_await peal::sleep_for(1ms);
    CHECK(pool.counts().live == 1);
    CHECK(pool.counts().canceled == 1);
    first.request_stop();  // ended, and its handle is gone
    auto other = pool.spawn(gives, 1, 5ms);
    first = other.stop_handle();
    first.request_stop();
    joined how = co_await join(other);
    CHECK(how == joined::canceled);
    copy.request_stop();
}

peal::task<joined> joins_by_reference(peal::join_handle<int>& handle) { co_return co_await join(handle); }

peal::task<> cancels_a_join(peal::pool& pool) {
    auto worker = pool.spawn(gives, 5, 100ms);
    auto joiner = pool.spawn(joins_by_reference, std::ref(worker));
    co_await peal::sleep_for(1ms);
    joiner.request_stop();
    joined how = co_await joiner;
    CHECK(how == joined::canceled);
    CHECK_FALSE(worker.has_ended());  // left alone
    int got = co_await worker;      // and can be awaited again
    CHECK(got == 5);
}

peal::task<> cancels_a_join_before_it_begins(peal::pool& pool) {
    auto worker = pool.spawn(gives, 5, 100ms);
    auto joiner = pool.spawn(joins_by_reference, std::ref(worker));
    joiner.request_stop();
    joined how = co_await joiner;
    CHECK(how == joined::canceled);
    int got = co_await worker;
    CHECK(got == 5);
}

peal::task<int> awaits_chain(int levels) {
    if (levels == 0) co_return co_await gives(1, 1'000'000ms);
    co_return 1 + co_await awaits_chain(levels - 1);
}

peal::task<> stops_the_leaf_of_a_chain(peal::pool& pool) {
    auto chain = pool.spawn(awaits_chain, 100);
    co_await peal::sleep_for(1ms);
    chain.request_stop();
    joined how = co_await join(chain);
    CHECK(how == joined::canceled);
}

}  // namespace

TEST_CASE("join_handle: request_stop ends the sleep of the task at once") { in_simulations(stops_sleeper); }
TEST_CASE("join_handle: request_stop before the task began ends its first wait") { in_simulations(stops_before_start); }
TEST_CASE("join_handle: the task sees that it was asked to stop") { in_simulations(sees_stop); }
TEST_CASE("join_handle: a stop_handle works after the handle, and after the task") { in_simulations(stops_through_stop_handle); }
TEST_CASE("join_handle: request_stop reaches the leaf of a deep chain") { in_simulations(stops_the_leaf_of_a_chain); }
TEST_CASE("join_handle: a canceled await leaves the task alone, and it can be awaited again") {
    in_simulations(cancels_a_join);
    in_simulations(cancels_a_join_before_it_begins);
}

// ---- counts -------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> ends_in_every_way(peal::pool& pool) {
    std::vector<peal::join_handle<int>> handles;
    for (int i = 0; i < 30; ++i) handles.push_back(pool.spawn(gives, i, std::chrono::milliseconds(i % 7)));
    for (int i = 0; i < 30; i += 3) handles[static_cast<std::size_t>(i)].request_stop();  // before they began
    for (int i = 0; i < 5; ++i) pool.spawn(fails, "one of five").detach();
    for (auto& handle : handles) co_await join(handle);
}

}  // namespace

TEST_CASE("spawn: accepted = completed + failed + canceled, whatever the tasks end with (P1)") {
    support::captured_stderr quiet;
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(7, workers);
        sim.pool().run(ends_in_every_way, sim.pool());
        peal::pool_counts counts = sim.pool().counts();
        CHECK(counts.accepted == 36);
        CHECK(counts.live == 0);
        CHECK(counts.failed == 5);
        CHECK(counts.canceled == 10);
        CHECK(counts.completed == 36 - 5 - 10);
    }
}

TEST_CASE("spawn: a pool that has stopped accepting refuses, destroys the arguments and keeps its counts") {
    peal::pool pool(peal::pool_options(1));
    pool.shutdown(1s, 1s);
    struct body {
        static peal::task<> run(tracked) { co_return; }
    };
    bool refused = false;
    try {
        pool.spawn(body::run, tracked(1));
    } catch (const std::system_error& failure) {
        refused = failure.code() == std::errc::operation_canceled;
    }
    CHECK(refused);
    CHECK(tracked::clean());
    bool run_refused = false;
    try {
        pool.run(body::run, tracked(1));
    } catch (const std::system_error& failure) {
        run_refused = failure.code() == std::errc::operation_canceled;
    }
    CHECK(run_refused);
    CHECK(tracked::clean());
    peal::pool_counts counts = pool.counts();
    CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
    CHECK(counts.live == 0);
}
