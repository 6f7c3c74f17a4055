// SPDX-License-Identifier: MIT

#include <peal/sim/simulation.hpp>

#include <array>
#include <cstdint>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/net/resolve.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/awaitables.hpp"
#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using namespace std::chrono_literals;
using support::tracked;

// ---- the same every time ------------------------------------------------------------------------------------------------------

peal::task<> passes(peal::pool& pool, unsigned number, std::vector<unsigned>& order) {
    for (int i = 0; i < 5; ++i) {
        order.push_back(number);
        co_await pool.schedule();
        co_await peal::sleep_for(std::chrono::microseconds(50));
    }
}

peal::task<> talks(peal::net::tcp_stream& stream, std::size_t count) {
    std::array<std::byte, 64> buffer{};
    co_await stream.write_all(buffer);
    while (count > 0) count -= co_await stream.read(std::span(buffer).first(std::min(count, buffer.size())));
}

peal::task<> program(peal::simulation& sim, std::vector<unsigned>& order) {
    auto ends = sim.stream_pair();
    peal::scope tasks;
    for (unsigned i = 0; i < 5; ++i) tasks.spawn(passes, sim.pool(), i, std::ref(order));
    tasks.spawn(talks, std::ref(ends.first), 64);
    tasks.spawn(talks, std::ref(ends.second), 64);
    co_await tasks.join();
}

struct course {
    std::uint64_t hash = 0;
    std::chrono::nanoseconds elapsed{};
    std::vector<unsigned> order;
    bool operator==(const course&) const = default;
};

course run_program(std::uint64_t seed, unsigned workers) {
    course seen;
    peal::simulation sim(seed, workers);
    sim.pool().run(program, std::ref(sim), std::ref(seen.order));
    seen.hash = sim.trace_hash();
    seen.elapsed = sim.elapsed();
    return seen;
}

}  // namespace

TEST_CASE("simulation: the same seed gives the same course, another seed another") {
    for (unsigned workers : {1u, 4u}) {
        std::set<std::uint64_t> hashes;
        std::set<std::vector<unsigned>> orders;
        for (std::uint64_t seed = 0; seed < 20; ++seed) {
            course once = run_program(seed, workers);
            course again = run_program(seed, workers);
            REQUIRE(once == again);
            hashes.insert(once.hash);
            orders.insert(once.order);
        }
        CHECK(hashes.size() == 20);
        CHECK(orders.size() > 15);  // tasks really change places
    }
}

namespace {

peal::task<> sleeps(std::chrono::nanoseconds time) { co_await peal::sleep_for(time); }

peal::task<> asks_for_its_place(peal::pool& pool, std::set<unsigned>& indexes) {
    CHECK(peal::pool::current() == &pool);
    for (unsigned i = 0; i < pool.size(); ++i) {
        co_await pool.schedule_on(i);
        CHECK(peal::this_worker::index() == i);
    }
    for (int i = 0; i < 200; ++i) {
        co_await pool.schedule();
        indexes.insert(*peal::this_worker::index());
    }
}

int computes(int a, int b) { return a * b; }

peal::task<int> offloads(peal::pool& pool) {
    int product = co_await pool.offload(computes, 6, 7);
    co_return product;
}

}  // namespace

TEST_CASE("simulation: time is virtual and begins at zero") {
    peal::simulation sim(1);
    CHECK(sim.elapsed() == 0ns);
    sim.pool().run(sleeps, 240h);
    CHECK(sim.elapsed() >= 240h);
    CHECK(sim.elapsed() < 240h + 1ms);
    sim.pool().run(sleeps, 1ms);  // goes on from there
    CHECK(sim.elapsed() >= 240h + 1ms);
}

TEST_CASE("simulation: workers, their indexes and offload are those of a pool") {
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(1, workers);
        CHECK(sim.pool().size() == workers);
        std::set<unsigned> indexes;
        sim.pool().run(asks_for_its_place, sim.pool(), std::ref(indexes));
        CHECK(*indexes.rbegin() < workers);
        CHECK(sim.pool().run(offloads, sim.pool()) == 42);
        CHECK(peal::pool::current() == nullptr);
        CHECK_FALSE(peal::this_worker::index().has_value());
    }
    CHECK(peal::simulation(1, 0).pool().size() == 1);
}

TEST_CASE("simulation: several run beside each other, each with its own clock") {
    peal::simulation first(1);
    peal::simulation second(2);
    first.pool().run(sleeps, 1h);
    second.pool().run(sleeps, 1ms);
    first.pool().run(sleeps, 1h);
    CHECK(first.elapsed() >= 2h);
    CHECK(second.elapsed() < 1s);
}

// ---- deadlock -------------------------------------------------------------------------------------------------------------------

namespace {

using letters = support::mailbox<int>;

peal::task<> waits_for_a_letter(letters& box) { co_await box.pop(); }

peal::task<> waits_in_vain(peal::pool& pool, letters& box) {
    auto waiting = pool.spawn(peal::spawn_options("the one that waits"), waits_for_a_letter, box);
    co_await waiting;
}

peal::task<> reads_from_silent_peer(peal::simulation& sim) {
    auto ends = sim.stream_pair();
    std::byte one{};
    co_await ends.first.read(std::span(&one, 1));
}

template <class Function, class... Arguments>
std::string deadlock_of(peal::simulation& sim, Function fn, Arguments&&... arguments) {
    try {
        sim.pool().run(fn, std::forward<Arguments>(arguments)...);
    } catch (const peal::simulation_deadlock& deadlock) {
        return deadlock.what();
    }
    return "";
}

}  // namespace

TEST_CASE("simulation: a deadlock is reported with the names of the tasks that wait") {
    std::int64_t frames = peal::detail::live_frames();
    for (unsigned workers : {1u, 4u}) {
        letters box;
        peal::simulation sim(1, workers);
        std::string text = deadlock_of(sim, waits_in_vain, sim.pool(), box);
        CHECK(text.find("nothing can go on") != std::string::npos);
        CHECK(text.find("the one that waits (spawned at ") != std::string::npos);
        CHECK(text.find("simulation_test.cpp:") != std::string::npos);
        CHECK(text.find("\n  run") != std::string::npos);
        CHECK(sim.pool().counts().live == 2);
        sim.pool().run(sleeps, 1ms);  // others still run
    }
    CHECK(peal::detail::live_frames() == frames);  // the simulation canceled the two
}

TEST_CASE("simulation: a read from a peer that never writes is a deadlock, too") {
    peal::simulation sim(1);
    CHECK(deadlock_of(sim, reads_from_silent_peer, std::ref(sim)) != "");
}

// ---- the end --------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> notes_its_end(int& canceled, tracked, std::chrono::nanoseconds time) {
    try {
        co_await peal::sleep_for(time);
    } catch (const std::system_error& failure) {
        if (peal::is_canceled(failure)) ++canceled;
        throw;
    }
}

peal::task<> starts_many(peal::pool& pool, int& canceled) {
    for (int i = 0; i < 10; ++i) pool.spawn(notes_its_end, std::ref(canceled), tracked(i), 1h).detach();
    co_await peal::sleep_for(1ms);
}

peal::task<> needs_time_to_end(peal::pool& pool, bool& ended) {
    try {
        co_await peal::sleep_for(1h);
    } catch (const std::system_error&) {
    }
    for (int i = 0; i < 10; ++i) co_await pool.schedule();
    ended = true;
}

}  // namespace

TEST_CASE("simulation: destroying it cancels the tasks that wait and runs them to their end") {
    std::int64_t frames = peal::detail::live_frames();
    for (unsigned workers : {1u, 4u}) {
        int canceled = 0;
        bool ended = false;
        {
            peal::simulation sim(workers, workers);
            sim.pool().run(starts_many, sim.pool(), std::ref(canceled));
            sim.pool().spawn(needs_time_to_end, sim.pool(), std::ref(ended));
            sim.pool().run(sleeps, 1ms);
            sim.pool().spawn(notes_its_end, std::ref(canceled), tracked(10), 1h);  // has not even begun
            CHECK(canceled == 0);
        }
        CHECK(canceled == 11);
        CHECK(ended);
        CHECK(tracked::clean());
    }
    CHECK(peal::detail::live_frames() == frames);
}

TEST_CASE("simulation: one that never ran anything can be destroyed") {
    peal::simulation unused(1);
    peal::simulation spawned_only(1);
    spawned_only.pool().spawn(sleeps, 1h);
}

// ---- the outside ------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> tries_unsupported(peal::simulation& sim) {
    auto opened = co_await peal::as_result(peal::fs::file::open("/dev/null", peal::fs::open_mode::read));
    CHECK_FALSE(opened);
    CHECK(opened.error().code() == std::errc::function_not_supported);

    auto address = peal::net::address::parse("127.0.0.1:1");
    auto connected = co_await peal::as_result(peal::net::tcp_stream::connect(address));
    CHECK_FALSE(connected);
    CHECK(connected.error().code() == std::errc::function_not_supported);

    bool thrown = false;
    try {
        static_cast<void>(co_await peal::net::tcp_stream::connect(address));
    } catch (const std::system_error& failure) {
        thrown = failure.code() == std::errc::function_not_supported;
    }
    CHECK(thrown);
    CHECK(sim.elapsed() < 1s);
}

peal::task<std::size_t> resolves_on_a_real_thread() {
    auto found = co_await peal::net::resolve("127.0.0.1", "7000");
    co_return found.size();
}

}  // namespace

TEST_CASE("simulation: an operation that it does not have ends with ENOSYS") {
    for (unsigned workers : {1u, 4u}) {
        peal::simulation sim(1, workers);
        sim.pool().run(tries_unsupported, std::ref(sim));
    }
}

TEST_CASE("simulation: a call on a blocking thread is waited for") {
    peal::simulation sim(1);
    for (int i = 0; i < 20; ++i) REQUIRE(sim.pool().run(resolves_on_a_real_thread) >= 1);
}
