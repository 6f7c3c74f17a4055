// SPDX-License-Identifier: MIT

// A pool's workers on the CPUs that a placement gives them; tasks on the worker that schedule_on() names, and where they go from there.

#include <peal/pool/pool.hpp>

#include <sched.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <peal/sync/channel.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/blocking.hpp>
#include <peal/time/sleep.hpp>

#include "pool/cpus.hpp"
#include "pool/placement.hpp"
#include "pool/topology.hpp"
#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/rights.hpp"
#include "support/threads.hpp"

using namespace std::chrono_literals;
using peal::one_per;
using peal::placement;
using peal::rt::allowed_cpus;

namespace {

std::vector<int> order(one_per unit, placement how) {
    return peal::rt::in_order(peal::rt::read_topology(allowed_cpus()), unit, how);
}

peal::pool_options placed(unsigned workers, one_per unit, placement how) {
    peal::pool_options options(workers);
    options.name = "placed";
    options.one_per = unit;
    options.placement = how;
    return options;
}

/// Where that worker's thread may run.
std::vector<int> cpus_of(peal::pool& pool, unsigned index) {
    auto look = [](peal::pool& same, unsigned where) -> peal::task<std::vector<int>> {
        co_await same.schedule_on(where);
        co_return allowed_cpus();
    };
    return pool.run(look, pool, index);
}

unsigned here() { return peal::this_worker::index().value_or(99); }

}  // namespace

// ---- workers on CPUs -----------------------------------------------------------------------------------------------------------------

TEST_CASE("pinning: threads of peal::blocking() run where the pool was made, and not only on the CPU of the worker that needs them") {
    std::vector<int> before = allowed_cpus();
    peal::pool_options options(1);
    options.pin_to_cpus = {before.back()};
    peal::pool pool(options);
    auto look = []() -> peal::task<std::vector<int>> { co_return co_await peal::blocking(allowed_cpus); };
    CHECK(pool.run(look) == before);
}

TEST_CASE("pinning: a placement pins each worker to a CPU, one after the other, and begins again") {
    std::vector<int> before = allowed_cpus();
    for (placement how : {placement::pack, placement::spread}) {
        for (one_per unit : {one_per::cpu, one_per::core}) {
            std::vector<int> expected = order(unit, how);
            auto workers = static_cast<unsigned>(expected.size()) + 2;
            peal::pool pool(placed(workers, unit, how));
            CHECK(pool.size() == workers);
            for (unsigned i = 0; i < workers; ++i) {
                CHECK(pool.cpu_of(i) == expected[i % expected.size()]);
                CHECK(cpus_of(pool, i) == std::vector<int>{expected[i % expected.size()]});
            }
        }
    }
    CHECK(allowed_cpus() == before);  // the calling thread is left alone
}

TEST_CASE("pinning: without a placement no worker is pinned, whatever there is one for") {
    for (one_per unit : {one_per::cpu, one_per::core}) {
        peal::pool pool(placed(2, unit, placement::anywhere));
        for (unsigned i = 0; i < 2; ++i) {
            CHECK_FALSE(pool.cpu_of(i));
            CHECK(cpus_of(pool, i) == allowed_cpus());
        }
    }
}

TEST_CASE("pinning: as many workers as CPUs or cores, within the quota") {
    for (placement how : {placement::anywhere, placement::pack, placement::spread}) {
        CHECK(peal::pool(placed(0, one_per::cpu, how)).size() == peal::rt::usable_cpus());
        CHECK(peal::pool(placed(0, one_per::core, how)).size() == peal::rt::within_quota(order(one_per::core, how).size()));
    }
}

TEST_CASE("pinning: cpu_of tells the list that was given, too") {
    peal::pool_options options(3);
    options.pin_to_cpus = {allowed_cpus().back()};
    peal::pool pool(options);
    CHECK(pool.cpu_of(2) == allowed_cpus().back());
}

TEST_CASE("child: one CPU is left", "[.child]") {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(allowed_cpus().back()), &set);
    REQUIRE(::sched_setaffinity(0, sizeof set, &set) == 0);
    int last = allowed_cpus().back();
    for (placement how : {placement::pack, placement::spread}) {
        peal::pool few(placed(0, one_per::core, how)), many(placed(3, one_per::cpu, how));
        CHECK(few.size() == 1);
        CHECK(few.cpu_of(0) == last);
        CHECK(cpus_of(few, 0) == std::vector<int>{last});
        CHECK(many.cpu_of(2) == last);
    }
}
TEST_CASE("pinning: a placement takes only CPUs that the process may use") {
    auto child = support::run_case("child: one CPU is left");
    INFO(child.output);
    CHECK(child.succeeded());
}

// ---- what goes wrong -----------------------------------------------------------------------------------------------------------------

TEST_CASE("pinning: a placement and a list of CPUs contradict each other") {
    for (placement how : {placement::pack, placement::spread}) {
        peal::pool_options options = placed(2, one_per::cpu, how);
        options.pin_to_cpus = {0};
        std::string text;
        try {
            peal::pool pool(options);
        } catch (const std::invalid_argument& failure) {
            text = failure.what();
        }
        INFO(text);
        CHECK(text.find("placement") != std::string::npos);
        CHECK(text.find("leave pin_to_cpus empty") != std::string::npos);
        CHECK(support::threads_named("placed").empty());
    }
}

TEST_CASE("child: pinning is forbidden", "[.child]") {
    support::forbid_system_call(SYS_sched_setaffinity, EPERM);
    CHECK(peal::pool(placed(2, one_per::core, placement::anywhere)).run(here) < 2);
    std::string text;
    try {
        peal::pool pool(placed(2, one_per::cpu, placement::pack));
    } catch (const std::system_error& failure) {
        text = failure.what();
        CHECK(failure.code() == std::errc::operation_not_permitted);
    }
    INFO(text);
    CHECK(text.find("pinning worker") != std::string::npos);
    CHECK(text.find("to CPU ") != std::string::npos);
    CHECK(text.find("chosen by pool_options.placement") != std::string::npos);
    CHECK(text.find("placement::anywhere") != std::string::npos);
    CHECK(support::threads_named("placed").empty());
}
TEST_CASE("pinning: what the system refuses is a clear error, and leaves no thread") {
    auto child = support::run_case("child: pinning is forbidden");
    INFO(child.output);
    CHECK(child.succeeded());
}

TEST_CASE("child: the CPU of a worker that is not there", "[.child]") {
    support::expect_abort();
    peal::pool pool(peal::pool_options(2));
    static_cast<void>(pool.cpu_of(3));  // 2 is the spare one
}
TEST_CASE("pinning: cpu_of a worker that is not there is a broken contract") {
    auto child = support::run_case("child: the CPU of a worker that is not there");
    INFO(child.output);
    CHECK(child.signal == SIGABRT);
    CHECK(child.says("the pool has no worker of this index"));
}

// ---- tasks on workers: schedule_on() is for one step -----------------------------------------------------------------------------------

namespace {

/// Keeps worker `index` busy until `done`, so that what runs meanwhile runs elsewhere. May end a little later than the task that says so:
/// the pool goes before `done` does.
peal::task<> occupy(peal::pool& pool, unsigned index, std::atomic<bool>& occupied, const std::atomic<bool>& done) {
    co_await pool.schedule_on(index);
    occupied = true;
    support::busy_until([&done] { return done.load(); });
}

/// On worker 0 until it waits for `until`; then tells where it goes on.
template <class Wait>
peal::task<unsigned> wait_after_moving(peal::pool& pool, Wait until, std::atomic<bool>& begun, std::atomic<bool>& done) {
    co_await pool.schedule_on(0);
    unsigned before = here();
    begun = true;
    co_await until();
    unsigned after = here();
    done = true;
    co_return before == 0 ? after : 99;
}

unsigned take(peal::pool& pool, peal::join_handle<unsigned> handle) {
    auto body = [](peal::join_handle<unsigned> same) -> peal::task<unsigned> { co_return co_await same; };
    return pool.run(body, std::move(handle));
}

}  // namespace

TEST_CASE("pinning: a task that is given something goes on at the worker of the giver") {
    auto send = [](peal::pool& pool, peal::channel<int>& items) -> peal::task<> {
        co_await pool.schedule_on(1);
        co_await items.send(5);
    };
    peal::channel<int> items(1);
    std::atomic<bool> begun{false}, occupied{false}, done{false};
    peal::pool pool(peal::pool_options(2));
    auto receive = [&items] { return items.receive(); };
    auto waiting = pool.spawn(wait_after_moving<decltype(receive)>, pool, receive, std::ref(begun), std::ref(done));
    REQUIRE(support::busy_until([&] { return begun.load(); }));
    auto busy = pool.spawn(occupy, pool, 0u, std::ref(occupied), std::cref(done));
    REQUIRE(support::busy_until([&] { return occupied.load(); }));  // so the other waits by now
    pool.spawn(send, pool, std::ref(items)).detach();
    CHECK(take(pool, std::move(waiting)) == 1);
}

TEST_CASE("pinning: a task that a thread of the program wakes goes on anywhere") {
    peal::event given;
    std::atomic<bool> begun{false}, occupied{false}, done{false};
    peal::pool pool(peal::pool_options(2));
    auto wait = [&given] { return given.wait(); };
    auto waiting = pool.spawn(wait_after_moving<decltype(wait)>, pool, wait, std::ref(begun), std::ref(done));
    REQUIRE(support::busy_until([&] { return begun.load(); }));
    auto busy = pool.spawn(occupy, pool, 0u, std::ref(occupied), std::cref(done));
    REQUIRE(support::busy_until([&] { return occupied.load(); }));
    given.set();
    CHECK(take(pool, std::move(waiting)) == 1);
}

TEST_CASE("pinning: tasks that slept are woken at their worker, and are stolen from it while it is busy") {
    // Both are due when worker 0 looks again. The first to go on keeps it busy until the other has gone on, which can only be elsewhere.
    auto sleep = [](peal::pool& pool, std::atomic<int>& asleep, std::atomic<int>& awake) -> peal::task<unsigned> {
        co_await pool.schedule_on(0);
        ++asleep;
        co_await peal::sleep_for(50ms);
        unsigned where = here();
        ++awake;
        support::busy_until([&awake] { return awake == 2; });
        co_return where;
    };
    auto block = [](peal::pool& pool) -> peal::task<> {
        co_await pool.schedule_on(0);
        std::this_thread::sleep_for(100ms);
    };
    std::atomic<int> asleep{0}, awake{0};
    peal::pool_options options(2);
    options.rescue_after = 0ns;  // else worker 1 fires its timers, and wakes both
    peal::pool pool(options);
    auto first = pool.spawn(sleep, pool, std::ref(asleep), std::ref(awake));
    auto second = pool.spawn(sleep, pool, std::ref(asleep), std::ref(awake));
    REQUIRE(support::busy_until([&] { return asleep == 2; }));
    pool.spawn(block, pool).detach();
    unsigned one = take(pool, std::move(first)), other = take(pool, std::move(second));
    CHECK(one + other == 1);  // one on worker 0, one on worker 1
}

TEST_CASE("pinning: a task that asks again after each wait is always there") {
    auto body = [](peal::pool& pool, unsigned where) -> peal::task<unsigned> {
        unsigned right = 0;
        for (int i = 0; i < 200; ++i) {
            co_await peal::sleep_for(10us);
            co_await pool.schedule_on(where);
            right += here() == where;
        }
        co_return right;
    };
    peal::pool pool(peal::pool_options(3));
    std::vector<peal::join_handle<unsigned>> many;
    for (unsigned i = 0; i < 9; ++i) many.push_back(pool.spawn(body, pool, i % 3));
    for (auto& each : many) CHECK(take(pool, std::move(each)) == 200);
}
