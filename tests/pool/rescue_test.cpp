// SPDX-License-Identifier: MIT

// A worker that does not come back from a task: what waits for it, in queues and on its ring, goes on. In each of these cases a task keeps its
// worker until something has happened that only others can do: without rescue nothing would end.

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/captured_stderr.hpp"
#include "support/catch.hpp"
#include "support/ends.hpp"
#include "support/leaks.hpp"
#include "support/sockets.hpp"
#include "support/threads.hpp"

using namespace std::chrono_literals;
using support::busy_until;

namespace {

peal::pool_options rescued(unsigned workers) {
    peal::pool_options options(workers);
    options.rescue_after = 1ms;
    return options;
}

/// Keeps its worker until `released`.
class keeper {
  public:
    /// On worker `index`. Returns when it is there.
    keeper(peal::pool& pool, unsigned index) {
        pool.spawn(peal::spawn_options("keeper"), stay_on, std::ref(pool), index, std::ref(*this)).detach();
        REQUIRE(busy_until([this] { return is_there_.load(); }));
    }
    keeper(const keeper&) = delete;
    keeper& operator=(const keeper&) = delete;
    ~keeper() { release(); }

    void release() {
        is_released_ = true;
        CHECK(busy_until([this] { return is_gone_.load(); }));
        CHECK(is_in_time_);
    }

  private:
    static peal::task<> stay_on(peal::pool& pool, unsigned index, keeper& self) {
        co_await pool.schedule_on(index);
        self.stay();
    }
    void stay() {
        is_there_ = true;
        is_in_time_ = busy_until([this] { return is_released_.load(); });
        is_gone_ = true;
    }

    std::atomic<bool> is_there_{false};
    std::atomic<bool> is_released_{false};
    std::atomic<bool> is_in_time_{false};
    std::atomic<bool> is_gone_{false};
};

peal::task<> echo(peal::net::tcp_stream& stream) {
    std::array<std::byte, 64> buffer;
    while (std::size_t bytes = co_await stream.read(buffer)) co_await stream.write_all(std::span(buffer).first(bytes));
}

/// Waits on the ring of worker `index`.
peal::task<> echo_on(peal::pool& pool, unsigned index, peal::net::tcp_stream& stream) {
    co_await pool.schedule_on(index);
    co_await echo(stream);
}

/// By plain system calls.
bool is_echoed(const peal::net::tcp_stream& peer, int times) {
    timeval limit{10, 0};
    ::setsockopt(peer.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    for (int i = 0; i < times; ++i) {
        char sent = static_cast<char>('a' + i % 26);
        char got = 0;
        if (::send(peer.native_handle(), &sent, 1, MSG_NOSIGNAL) != 1) return false;
        if (::recv(peer.native_handle(), &got, 1, 0) != 1 || got != sent) return false;
    }
    return true;
}

void finish(peal::pool& pool, peal::join_handle<void> task) { pool.run(support::take<void>, std::move(task)); }

bool settles(peal::pool& pool) {
    return busy_until([&pool] { return pool.counts().live == 0; });
}

}  // namespace

TEST_CASE("rescue: connections that wait on the ring of a kept worker are served") {
    peal::pool pool(rescued(2));
    auto [near, far] = support::local_pair();
    auto session = pool.spawn(echo_on, std::ref(pool), 0u, std::ref(near));
    REQUIRE(is_echoed(far, 1));
    for (int round = 0; round < 20; ++round) {
        keeper kept(pool, static_cast<unsigned>(round) % 2);
        CHECK(is_echoed(far, 10));
    }
    far.close();
    finish(pool, std::move(session));
}

TEST_CASE("rescue: an operation that was not handed over yet is handed over") {
    // The session submits its read and suspends, and what keeps the worker is resumed by the same step: nothing enters the ring between them.
    peal::pool pool(rescued(2));
    for (int round = 0; round < 20; ++round) {
        auto [near, far] = support::local_pair();
        std::atomic<bool> ready{false};
        std::atomic<bool> released{false};
        auto serve_and_keep = [](peal::pool& its, peal::net::tcp_stream& stream, std::atomic<bool>& there, std::atomic<bool>& go) -> peal::task<> {
            co_await its.schedule_on(0);
            auto keep = [](std::atomic<bool>& told, std::atomic<bool>& awaited) -> peal::task<> {
                told = true;
                busy_until([&awaited] { return awaited.load(); });
                co_return;
            };
            co_await peal::when_all(echo(stream), keep(there, go));
        };
        auto both = pool.spawn(serve_and_keep, std::ref(pool), std::ref(near), std::ref(ready), std::ref(released));
        REQUIRE(busy_until([&ready] { return ready.load(); }));
        CHECK(is_echoed(far, 3));
        released = true;
        far.close();
        finish(pool, std::move(both));
    }
}

TEST_CASE("rescue: an operation on a kept worker's ring is stopped") {
    peal::pool pool(rescued(2));
    auto [near, far] = support::local_pair();
    for (int round = 0; round < 10; ++round) {
        auto session = pool.spawn(echo_on, std::ref(pool), 0u, std::ref(near));
        REQUIRE(is_echoed(far, 1));
        keeper kept(pool, 0);
        session.request_stop();
        CHECK(support::failure_of([&] { finish(pool, std::move(session)); }).find("canceled") != std::string::npos);
    }
}

TEST_CASE("rescue: timers of a kept worker fire: tasks wake, limits on operations and on tasks are kept") {
    peal::pool pool(rescued(2));
    for (int round = 0; round < 10; ++round) {
        auto [near, far] = support::local_pair();
        std::atomic<int> waiting{0};
        auto sleep_on = [](peal::pool& its, std::atomic<int>& begun) -> peal::task<bool> {
            co_await its.schedule_on(0);
            ++begun;
            co_await peal::sleep_for(2ms);
            co_return true;
        };
        auto read_on = [](peal::pool& its, std::atomic<int>& begun, peal::net::tcp_stream& stream) -> peal::task<bool> {
            co_await its.schedule_on(0);
            ++begun;
            std::array<std::byte, 8> buffer;
            auto reading = stream.read(buffer);
            auto ended = co_await peal::as_result(peal::timeout(2ms, reading));
            co_return !ended && ended.error().code() == std::errc::timed_out;
        };
        auto echo_until_on = [](peal::pool& its, std::atomic<int>& begun, peal::net::tcp_stream& stream) -> peal::task<bool> {
            co_await its.schedule_on(0);
            ++begun;
            auto limited = peal::timeout(2ms, echo(stream));
            auto ended = co_await peal::as_result(limited);
            co_return !ended && ended.error().code() == std::errc::timed_out;
        };
        // All of them go on, or keep worker 0, from its inbox: the keeper comes last.
        std::optional<keeper> first(std::in_place, pool, 0u);
        auto slept = pool.spawn(sleep_on, std::ref(pool), std::ref(waiting));
        auto read = pool.spawn(read_on, std::ref(pool), std::ref(waiting), std::ref(near));
        auto echoed = pool.spawn(echo_until_on, std::ref(pool), std::ref(waiting), std::ref(far));
        std::atomic<bool> released{false};
        auto keep = [](peal::pool& its, const std::atomic<int>& begun, const std::atomic<bool>& go) -> peal::task<bool> {
            co_await its.schedule_on(0);
            while (begun != 3) co_await its.schedule_on(0);
            co_return busy_until([&go] { return go.load(); });
        };
        auto second = pool.spawn(keep, std::ref(pool), std::cref(waiting), std::cref(released));
        first->release();
        CHECK(pool.run(support::take<bool>, std::move(slept)));
        CHECK(pool.run(support::take<bool>, std::move(read)));
        CHECK(pool.run(support::take<bool>, std::move(echoed)));
        released = true;
        CHECK(pool.run(support::take<bool>, std::move(second)));
    }
}

TEST_CASE("rescue: what a task has woken before it keeps its worker runs, also after the others have gone to sleep") {
    peal::pool pool(rescued(2));
    for (int round = 0; round < 10; ++round) {
        peal::event happened;
        std::atomic<bool> ran{false};
        auto wait = [](peal::event& awaited, std::atomic<bool>& told) -> peal::task<> {
            co_await awaited.wait();
            told = true;
        };
        auto waiter = pool.spawn(wait, std::ref(happened), std::ref(ran));
        std::this_thread::sleep_for(2ms);  // asleep, all of them: this chooses the case, and does not decide it
        auto keep = [](peal::event& to_set, std::atomic<bool>& awaited) -> peal::task<bool> {
            to_set.set();
            co_return busy_until([&awaited] { return awaited.load(); });
        };
        CHECK(pool.run(keep, std::ref(happened), std::ref(ran)));
        finish(pool, std::move(waiter));
    }
}

TEST_CASE("rescue: with all workers kept, one more serves, and rests when it is over") {
    const std::size_t before = support::open_descriptors();
    {
        const unsigned workers = GENERATE(1u, 2u);
        peal::pool_options options = rescued(workers);
        options.spare_worker = true;  // with one worker there is none otherwise
        peal::pool pool(options);
        auto [near, far] = support::local_pair();
        auto session = pool.spawn(echo_on, std::ref(pool), 0u, std::ref(near));
        REQUIRE(is_echoed(far, 1));
        for (int round = 0; round < 5; ++round) {
            std::vector<std::unique_ptr<keeper>> kept;
            for (unsigned i = 0; i < workers; ++i) kept.push_back(std::make_unique<keeper>(pool, i));
            CHECK(is_echoed(far, 10));
            auto come_back = [](peal::pool& its) -> peal::task<unsigned> {
                const unsigned here = peal::this_worker::index().value();
                co_await its.schedule_on(here);  // to any
                co_return its.driver_of(here) != nullptr && !its.cpu_of(here) ? here : ~0u;
            };
            CHECK(pool.run(come_back, std::ref(pool)) == workers);
            kept.clear();
            // What the spare one has begun ends there, and goes on elsewhere; nothing new comes to it.
            CHECK(is_echoed(far, 10));
            auto place = [](peal::pool& its) -> peal::task<unsigned> {
                co_await its.schedule();
                co_return peal::this_worker::index().value();
            };
            CHECK(busy_until([&] { return pool.run(place, std::ref(pool)) < workers; }));
            for (int i = 0; i < 50; ++i) CHECK(pool.run(place, std::ref(pool)) < workers);
        }
        far.close();
        finish(pool, std::move(session));
        CHECK(settles(pool));
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("rescue: a pool ends while all workers are kept, in order") {
    for (int round = 0; round < 5; ++round) {
        peal::pool pool(rescued(2));
        std::atomic<bool> released{false};
        std::atomic<int> there{0};
        auto keep = [](std::atomic<int>& arrived, std::atomic<bool>& go) {
            ++arrived;
            return busy_until([&go] { return go.load(); });
        };
        for (int i = 0; i < 2; ++i) pool.spawn(keep, std::ref(there), std::ref(released)).detach();
        REQUIRE(busy_until([&there] { return there == 2; }));
        CHECK(pool.run([] { return 7; }) == 7);  // by the spare worker
        std::thread releaser([&released] {
            std::this_thread::sleep_for(20ms);
            released = true;
        });
        CHECK(pool.shutdown(60s, 60s).drained);
        releaser.join();
    }
}

TEST_CASE("rescue: without a spare worker, tasks wait while all workers are kept, and a pool of one has none") {
    peal::pool pool(rescued(1));
    std::atomic<bool> ran{false};
    {
        keeper kept(pool, 0);
        pool.spawn([](std::atomic<bool>& told) { told = true; }, std::ref(ran)).detach();
        std::this_thread::sleep_for(20ms);
        CHECK_FALSE(ran);
    }
    CHECK(busy_until([&ran] { return ran.load(); }));
}

TEST_CASE("rescue: a stall is told once, with the task that makes it") {
    struct seen_stalls {
        std::mutex mutex;
        std::vector<peal::stall> all;
        std::size_t count() {
            std::lock_guard guard(mutex);
            return all.size();
        }
    } seen;
    peal::pool_options options = rescued(2);
    options.name = "watched";
    options.report_after = 5ms;
    options.on_stall = [&seen](const peal::stall& stall) {
        std::lock_guard guard(seen.mutex);
        seen.all.push_back(stall);
    };
    peal::pool pool(options);
    {
        keeper kept(pool, 1);
        CHECK(busy_until([&seen] { return seen.count() != 0; }));
        std::this_thread::sleep_for(20ms);
    }
    REQUIRE(seen.count() == 1);
    const peal::stall& stall = seen.all.front();
    CHECK(stall.pool == "watched");
    CHECK(stall.worker == 1);
    CHECK(stall.length >= 5ms);
    CHECK_FALSE(stall.all_workers);
    CHECK(stall.task == "keeper");
    CHECK(stall.spawned_at.find("rescue_test.cpp:") != std::string::npos);
    CHECK(stall.to_string().starts_with("worker 1 of pool 'watched' has been kept for "));
    CHECK(stall.to_string().find("task 'keeper' (spawned at ") != std::string::npos);
}

TEST_CASE("rescue: without a function for it, a stall is a line on standard error, when the environment says") {
    const char* const before = std::getenv("PEAL_STALL_MS");
    const std::string kept_setting = before != nullptr ? before : "";
    ::setenv("PEAL_STALL_MS", "5", 1);
    std::string said;
    {
        support::captured_stderr errors;
        peal::pool pool(rescued(2));
        keeper kept(pool, 1);
        CHECK(busy_until([&] { return (said = errors.text()).find("has been kept for ") != std::string::npos; }));
    }
    CHECK(said.starts_with("peal: worker 1 of pool 'peal' has been kept for "));
    CHECK(said.find("task 'keeper' (spawned at ") != std::string::npos);

    ::setenv("PEAL_STALL_MS", "soon", 1);
    CHECK_THROWS_WITH(peal::pool(rescued(1)),
                      "pool: the environment says PEAL_STALL_MS=soon; it must be a number of milliseconds, 0 for no reports");
    ::setenv("PEAL_STALL_MS", kept_setting.c_str(), 1);
}

TEST_CASE("rescue: many items that take a while are not told of as if they were one") {
    std::atomic<int> told{0};
    peal::pool_options options = rescued(1);
    options.report_after = 5ms;
    options.on_stall = [&told](const peal::stall&) { ++told; };
    peal::pool pool(options);
    auto yields = []() -> peal::task<> {
        for (int round = 0; round < 5; ++round) {
            for (int i = 0; i < 2000; ++i) co_await peal::yield();  // short ones: the worker looks at its outside seldom
            for (int i = 0; i < 100; ++i) {
                for (auto until = peal::clock::now() + 300us; peal::clock::now() < until;) {
                }
                co_await peal::yield();
            }
        }
    };
    pool.run(yields);
    CHECK(told == 0);
}

TEST_CASE("rescue: while nobody needs it, the watchdog sleeps") {
    peal::pool_options options = rescued(2);
    options.name = "quiet";
    peal::pool pool(options);
    REQUIRE(support::threads_named("quiet/watch").size() == 1);
    CHECK(pool.run([] { return 7; }) == 7);
    // The last alarm of a worker that has gone to sleep may ring once.
    unsigned long before = 0;
    CHECK(busy_until([&before] {
        before = support::sleeps_of("quiet/watch");
        std::this_thread::sleep_for(20ms);
        return support::sleeps_of("quiet/watch") == before;
    }));
    std::this_thread::sleep_for(200ms);
    CHECK(support::sleeps_of("quiet/watch") == before);
}

TEST_CASE("rescue: switched off, nobody watches") {
    peal::pool_options options = rescued(1);
    options.name = "off";
    options.rescue_after = 0ns;
    peal::pool pool(options);
    CHECK(pool.run([] { return 7; }) == 7);
    CHECK(support::threads_named("off/watch").empty());
}

TEST_CASE("rescue: an exclusive ring waits for its worker, the queue does not") {
    peal::pool_options options = rescued(2);
    options.ring_mode = peal::ring_mode::exclusive;
    peal::pool pool(options);
    for (int round = 0; round < 10; ++round) {
        std::atomic<bool> ran{false};
        auto keep = [](peal::pool& its, std::atomic<bool>& told) {
            its.spawn([](std::atomic<bool>& heard) { heard = true; }, std::ref(told)).detach();
            return busy_until([&told] { return told.load(); });
        };
        CHECK(pool.run(keep, std::ref(pool), std::ref(ran)));
    }
}

TEST_CASE("rescue: what makes no sense is refused") {
    peal::pool_options options = rescued(1);
    options.rescue_after = 100us;
    CHECK_THROWS_AS(peal::pool(options), std::invalid_argument);
    options.rescue_after = -1ns;
    CHECK_THROWS_AS(peal::pool(options), std::invalid_argument);
    options.rescue_after = 2h;
    CHECK_THROWS_AS(peal::pool(options), std::invalid_argument);
    options.rescue_after = 1ms;
    options.report_after = -1ns;
    CHECK_THROWS_AS(peal::pool(options), std::invalid_argument);
}
