// SPDX-License-Identifier: MIT

// Shutdown (P7): drain, cancel, report by name; the books add up (P1); nothing hangs.

#include <peal/pool/pool.hpp>

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/io/pipe.hpp>
#include <peal/net/tcp.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/awaitables.hpp"
#include "support/catch.hpp"
#include "support/captured_stderr.hpp"
#include "support/death.hpp"
#include "support/leaks.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;

namespace {

constexpr auto long_enough = 30s;  // a guard, not a measure

peal::task<> rest(std::chrono::milliseconds time) { co_await peal::sleep_for(time); }

peal::task<> stuck() { co_await support::never(); }

/// Of an abandoned pool. A ring, a wake event and an alarm for each worker, and the spare one if there are several; three of the watchdog.
unsigned descriptors_of(unsigned workers) { return 3 * (workers == 1 ? 1 : workers + 1) + 3; }

/// Each abandoned task leaves a context and the frame of its coroutine.
void expect_abandoned(int tasks) {
    support::expected_frames += 2 * tasks;
    support::expected_descriptors += descriptors_of(1);
}

bool adds_up(const peal::pool_counts& counts) {
    return counts.live == 0 && counts.accepted == counts.completed + counts.failed + counts.canceled;
}

}  // namespace

TEST_CASE("shutdown: tasks that end by themselves are waited for") {
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 50; ++i) pool.spawn(rest, std::chrono::milliseconds(i)).detach();
    auto report = pool.shutdown(long_enough, long_enough);
    CHECK(report.drained);
    CHECK(report.canceled == 0);
    CHECK(report.not_stopped.empty());
    CHECK(pool.counts().completed == 50);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: tasks that would go on are canceled, whatever they wait for") {
    auto accept = [](peal::net::tcp_listener& listener) -> peal::task<> {
        for (;;) static_cast<void>(co_await listener.accept());
    };
    auto read = [](peal::net::address server) -> peal::task<> {
        auto stream = co_await peal::net::tcp_stream::connect(server);
        std::array<std::byte, 10> buffer;
        static_cast<void>(co_await stream.read(buffer));
    };
    auto join = [](peal::pool& pool) -> peal::task<> {
        auto other = pool.spawn(rest, std::chrono::milliseconds(1h));
        co_await other;
    };
    auto scope = []() -> peal::task<> {
        peal::scope children;
        for (int i = 0; i < 5; ++i) children.spawn(rest, std::chrono::milliseconds(1h));
        co_await children.join();
    };
    auto forgotten_join = []() -> peal::task<> {
        peal::scope children;
        for (int i = 0; i < 5; ++i) children.spawn(rest, std::chrono::milliseconds(1h));
        co_await peal::sleep_for(1h);
    };
    peal::pool pool(peal::pool_options(2));
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    for (int i = 0; i < 5; ++i) {
        pool.spawn(accept, std::ref(listener)).detach();
        pool.spawn(read, listener.local_address()).detach();
        pool.spawn(join, pool).detach();
        pool.spawn(scope).detach();
        pool.spawn(forgotten_join).detach();
        pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    }
    std::this_thread::sleep_for(20ms);
    auto live = pool.counts().live;
    CHECK(live >= 5 * 6);
    auto report = pool.shutdown(1ms, long_enough);
    CHECK_FALSE(report.drained);
    CHECK(report.canceled == live);
    CHECK(report.not_stopped.empty());
    CHECK(pool.counts().canceled == live);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: what does not stop is named, with the place where it was spawned") {
    auto spawn_inside = [](peal::pool& pool) { pool.spawn(peal::spawn_options("deaf inside"), stuck).detach(); };
    std::optional<peal::pool> pool(std::in_place, peal::pool_options(1));
    int line = __LINE__ + 1;
    pool->spawn(peal::spawn_options("deaf"), stuck).detach();
    pool->spawn(stuck).detach();
    pool->run(spawn_inside, *pool);
    expect_abandoned(3);
    auto report = pool->shutdown(1ms, 20ms);
    CHECK_FALSE(report.drained);
    REQUIRE(report.not_stopped.size() == 3);
    auto names = [&report](const std::string& begin) {
        return std::count_if(report.not_stopped.begin(), report.not_stopped.end(),
                             [&begin](const std::string& name) { return name.starts_with(begin); });
    };
    CHECK(names("deaf (spawned at ") == 1);
    CHECK(names("deaf inside (spawned at ") == 1);
    CHECK(names("unnamed task") == 1);
    CHECK(report.not_stopped[0].ends_with("shutdown_test.cpp:" + std::to_string(line) + ")"));
    auto counts = pool->counts();
    CHECK(counts.live == 3);
    CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled + counts.live);
    // The destructor says the same on standard error.
    support::captured_stderr captured;
    pool.reset();
    CHECK(captured.text().find("3 tasks did not stop") != std::string::npos);
    CHECK(captured.text().find("deaf (spawned at") != std::string::npos);
}

TEST_CASE("shutdown: tasks in scopes that do not stop are counted") {
    auto parent = []() -> peal::task<> {
        peal::scope children;
        children.spawn(stuck);
        children.spawn(stuck);
        co_await children.join();
    };
    peal::pool pool(peal::pool_options(1));
    pool.spawn(peal::spawn_options("parent"), parent).detach();
    std::this_thread::sleep_for(5ms);
    auto report = pool.shutdown(1ms, 20ms);
    expect_abandoned(3);
    std::sort(report.not_stopped.begin(), report.not_stopped.end());
    REQUIRE(report.not_stopped.size() == 2);
    CHECK(report.not_stopped[0] == "2 tasks in scopes");
    CHECK(report.not_stopped[1].starts_with("parent (spawned at "));
    support::captured_stderr captured;  // of the destructor
}

TEST_CASE("shutdown: afterwards nothing is accepted, and that is an error, not a hang") {
    auto is_refusal = [](auto action) {
        try {
            action();
        } catch (const std::system_error& failure) {
            return peal::is_canceled(failure) && std::string(failure.what()).find("stopped accepting") != std::string::npos;
        }
        return false;
    };
    peal::pool pool(peal::pool_options(1));
    auto first = pool.shutdown(1s, 1s);
    CHECK(first.drained);
    CHECK(is_refusal([&pool] { pool.spawn(rest, 0ms).detach(); }));
    CHECK(is_refusal([&pool] { pool.run(rest, 0ms); }));
    CHECK(adds_up(pool.counts()));
    CHECK(pool.shutdown(1s, 1s).drained);  // idempotent
}

TEST_CASE("shutdown: two threads at once both get the report") {
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 10; ++i) pool.spawn(rest, 20ms).detach();
    peal::shutdown_report reports[2];
    std::thread other([&] { reports[0] = pool.shutdown(long_enough, long_enough); });
    reports[1] = pool.shutdown(long_enough, long_enough);
    other.join();
    CHECK(reports[0].drained);
    CHECK(reports[1].drained);
}

// ---- while it drains -------------------------------------------------------------------------------------------------------------------

namespace {

bool is_refused(peal::pool& pool) {
    try {
        pool.spawn(rest, 0ms).detach();
    } catch (const std::system_error& failure) {
        return peal::is_canceled(failure);
    }
    return false;
}

/// Spawns its successor, and a child in a scope.
peal::task<> generation(peal::pool& pool, int more, std::atomic<int>& ended) {
    co_await peal::sleep_for(100us);
    if (more > 0) pool.spawn(generation, pool, more - 1, std::ref(ended)).detach();
    peal::scope children;
    children.spawn(rest, 1ms);
    auto awaited = pool.spawn(rest, 1ms);
    co_await awaited;
    co_await children.join();
    ++ended;
}

peal::task<> begins_when_told(peal::pool& pool, const std::atomic<bool>& told, std::atomic<int>& ended) {
    while (!told) co_await peal::sleep_for(100us);
    co_await generation(pool, 10, ended);
}

}  // namespace

TEST_CASE("shutdown: while a pool drains its own tasks may spawn, and nobody else") {
    unsigned workers = GENERATE(1u, 2u);
    peal::pool pool{peal::pool_options(workers)};
    peal::pool other(peal::pool_options(1));
    std::atomic<bool> told{false};
    std::atomic<int> ended{0};
    pool.spawn(begins_when_told, pool, std::cref(told), std::ref(ended)).detach();
    peal::shutdown_report report;
    std::thread ender([&] { report = pool.shutdown(long_enough, long_enough); });
    bool refused = false;
    for (auto patience = std::chrono::steady_clock::now() + 10s; !refused && std::chrono::steady_clock::now() < patience;) {
        refused = is_refused(pool);  // from the moment on that the other thread has got so far
    }
    CHECK(refused);
    CHECK(other.run([](peal::pool& draining) { return is_refused(draining); }, pool));  // a worker, but not one of its own
    CHECK(ended == 0);
    told = true;
    ender.join();
    CHECK(report.drained);
    CHECK(report.canceled == 0);
    CHECK(ended == 11);
    CHECK(pool.counts().failed == 0);
    CHECK(pool.counts().canceled == 2);  // those that were refused
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: when the time to drain is over a task that spawns is told") {
    auto body = [](peal::pool& pool, std::atomic<int>& refused) -> peal::task<> {
        for (;;) {
            static_cast<void>(co_await peal::as_result(peal::sleep_for(100us)));  // takes no notice of the stop
            if (is_refused(pool)) {
                ++refused;
                co_return;
            }
        }
    };
    peal::pool pool(peal::pool_options(1));
    std::atomic<int> refused{0};
    pool.spawn(body, pool, std::ref(refused)).detach();
    auto report = pool.shutdown(20ms, long_enough);
    CHECK_FALSE(report.drained);
    CHECK(report.not_stopped.empty());
    CHECK(refused == 1);
    CHECK(pool.counts().completed > 1);  // those that were spawned before
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: waiting for ever is waiting for ever") {
    constexpr auto for_ever = std::chrono::milliseconds::max();
    peal::pool idle(peal::pool_options(1));
    idle.run(rest, 0ms);
    CHECK(idle.shutdown(for_ever, for_ever).drained);
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 10; ++i) pool.spawn(rest, 30ms).detach();
    CHECK(pool.shutdown(for_ever, for_ever).drained);
    CHECK(pool.counts().completed == 10);
    peal::pool canceled(peal::pool_options(1));
    canceled.spawn(rest, std::chrono::milliseconds(1h)).detach();
    auto report = canceled.shutdown(1ms, for_ever);
    CHECK(report.canceled == 1);
    CHECK(report.not_stopped.empty());
}

// ---- who takes no notice of a stop -------------------------------------------------------------------------------------------------------

namespace {

peal::task<> reads_on(peal::net::tcp_stream quiet) {
    std::array<std::byte, 10> buffer;
    for (;;) {
        try {
            static_cast<void>(co_await quiet.read(buffer));
        } catch (...) {
        }
    }
}

peal::task<> sleeps_on() {
    for (;;) {
        try {
            co_await peal::sleep_for(1h);
        } catch (...) {
        }
    }
}

peal::task<> takes_leave(peal::pool& pool, std::atomic<int>& left) {
    try {
        co_await peal::sleep_for(1h);
    } catch (const std::system_error&) {
    }
    for (int i = 0; i < 50; ++i) co_await pool.schedule();
    ++left;
}

}  // namespace

TEST_CASE("shutdown: a loop that swallows every error is named, and holds up nobody else") {
    unsigned workers = GENERATE(1u, 2u);
    auto ends = support::local_pair();
    std::atomic<int> left{0};
    std::optional<peal::pool> pool(std::in_place, peal::pool_options(workers));
    pool->spawn(peal::spawn_options("reads on"), reads_on, std::move(ends.first)).detach();
    pool->spawn(peal::spawn_options("sleeps on"), sleeps_on).detach();
    for (int i = 0; i < 20; ++i) pool->spawn(takes_leave, *pool, std::ref(left)).detach();
    std::this_thread::sleep_for(5ms);
    auto began = std::chrono::steady_clock::now();
    auto report = pool->shutdown(10ms, 500ms);
    CHECK(std::chrono::steady_clock::now() - began < 10s);
    support::expected_frames += 2 * 2;
    support::expected_descriptors += descriptors_of(workers) + 1;  // and the stream
    CHECK_FALSE(report.drained);
    CHECK(left == 20);
    CHECK(report.canceled == 20);
    REQUIRE(report.not_stopped.size() == 2);
    CHECK(report.not_stopped[0].starts_with("reads on "));
    CHECK(report.not_stopped[1].starts_with("sleeps on "));
    support::captured_stderr captured;
    pool.reset();
    CHECK(captured.text().find("2 tasks did not stop") != std::string::npos);
}

namespace {

peal::task<> reads_once(peal::net::tcp_stream& quiet) {
    std::array<std::byte, 10> buffer;
    static_cast<void>(co_await quiet.read(buffer));
}

/// Its children are asked to stop by nobody, because it takes no notice itself.
peal::task<> stuck_with_children(peal::net::tcp_stream quiet, std::vector<peal::stop_handle>& stops) {
    peal::scope children;
    auto sleeping = children.spawn(rest, std::chrono::milliseconds(1h));
    auto reading = children.spawn(reads_once, std::ref(quiet));
    stops.push_back(sleeping.stop_handle());
    stops.push_back(reading.stop_handle());
    sleeping.detach();
    reading.detach();
    co_await support::never();
}

}  // namespace

TEST_CASE("shutdown: a stop_handle of a task that was abandoned may be used when the pool is gone") {
    support::captured_stderr captured;
    auto ends = support::local_pair();
    std::vector<peal::stop_handle> stops;
    std::optional<peal::join_handle<>> kept;
    {
        peal::pool_options options(1);
        options.drain_timeout = 20ms;
        options.stop_timeout = 20ms;
        peal::pool pool(options);
        kept.emplace(pool.spawn(stuck));
        stops.push_back(kept->stop_handle());
        auto parent = pool.spawn(stuck_with_children, std::move(ends.first), std::ref(stops));
        stops.push_back(parent.stop_handle());
    }
    expect_abandoned(4);
    support::expected_descriptors += 1;  // the stream
    REQUIRE(stops.size() == 4);
    for (int twice = 0; twice < 2; ++twice) {
        for (auto& each : stops) each.request_stop();
    }
    CHECK_FALSE(kept->has_ended());
    kept.reset();
    std::thread([&stops] {
        for (auto& each : stops) each.request_stop();
        stops.clear();
    }).join();
    CHECK(captured.text().find("while 4 tasks did not stop") != std::string::npos);  // two are named, two are counted
    CHECK(captured.text().find("2 tasks in scopes") != std::string::npos);
}

// ---- where it happens --------------------------------------------------------------------------------------------------------------------

namespace {

/// Of `own`, with detours over `other`.
peal::task<> commutes(peal::pool& own, peal::pool& other, std::atomic<int>& ended) {
    for (int i = 0; i < 20; ++i) {
        co_await other.schedule();
        co_await own.schedule();
        co_await peal::sleep_for(100us);
    }
    ++ended;
}

}  // namespace

TEST_CASE("shutdown: a pool may be destroyed by a worker of another pool; its tasks drain") {
    auto destroys = [](std::unique_ptr<peal::pool> inner) -> peal::task<bool> {
        inner.reset();
        co_await peal::sleep_for(1ms);  // this worker is well
        co_return peal::pool::current() != nullptr;
    };
    auto makes_and_destroys = [](std::atomic<int>& ended) -> peal::task<bool> {
        peal::pool_options options(2);
        options.drain_timeout = 5ms;
        peal::pool& outer = *peal::pool::current();
        peal::pool inner(options);
        for (int i = 0; i < 10; ++i) inner.spawn(takes_leave, inner, std::ref(ended)).detach();  // has to be asked
        auto failed = inner.spawn([] { throw std::runtime_error("in the other pool"); });
        bool thrown = false;
        try {
            co_await failed;
        } catch (const std::runtime_error&) {
            thrown = true;
        }
        auto report = inner.shutdown(5ms, long_enough);
        co_return thrown && report.canceled == 10 && report.not_stopped.empty() && peal::pool::current() == &outer;
    };
    unsigned workers = GENERATE(1u, 2u);
    peal::pool outer(peal::pool_options(2));
    for (int round = 0; round < 5; ++round) {
        std::atomic<int> ended{0};
        auto inner = std::make_unique<peal::pool>(peal::pool_options(workers));
        for (int i = 0; i < 20; ++i) inner->spawn(commutes, *inner, outer, std::ref(ended)).detach();
        CHECK(outer.run(destroys, std::move(inner)));
        CHECK(ended == 20);
        ended = 0;
        CHECK(outer.run(makes_and_destroys, std::ref(ended)));
        CHECK(ended == 10);
    }
    CHECK(outer.shutdown(long_enough, long_enough).drained);
    CHECK(adds_up(outer.counts()));
}

TEST_CASE("shutdown: a file that on_worker_stop lets go is closed") {
    std::vector<int> descriptors;
    std::vector<peal::fs::file> files;
    for (int i = 0; i < 3; ++i) {
        descriptors.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        REQUIRE(descriptors.back() >= 0);
        files.emplace_back(descriptors.back());
    }
    {
        peal::pool_options options(3);
        options.spare_worker = false;  // would be one more
        options.on_worker_stop = [&files](unsigned index) { peal::fs::file gone = std::move(files[index]); };
        peal::pool pool(options);
        pool.run(rest, 1ms);
    }
    auto is_open = [](int fd) { return ::fcntl(fd, F_GETFD) >= 0; };
    auto deadline = std::chrono::steady_clock::now() + 5s;
    for (int fd : descriptors) {
        while (is_open(fd) && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
        CHECK_FALSE(is_open(fd));
    }
}

TEST_CASE("shutdown: request_stop() of the pool cancels what runs") {
    auto spawn_inside = [](peal::pool& pool) {
        for (int i = 0; i < 20; ++i) pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    };
    peal::pool pool(peal::pool_options(2));
    for (int i = 0; i < 20; ++i) pool.spawn(rest, std::chrono::milliseconds(1h)).detach();
    pool.run(spawn_inside, pool);
    pool.request_stop();
    auto report = pool.shutdown(long_enough, 0s);
    CHECK(report.drained);
    CHECK(pool.counts().canceled == 40);
}

// ---- failures that nobody takes --------------------------------------------------------------------------------------------------------

TEST_CASE("shutdown: the handler gets the failures of detached tasks, with the task; awaited ones go to the awaiter") {
    auto failing = [](const char* text) -> peal::task<> {
        co_await peal::sleep_for(1ms);
        throw std::runtime_error(text);
    };
    auto await_it = [](peal::join_handle<> handle) -> peal::task<> { co_await handle; };
    auto in_scope = [](decltype(failing) child) -> peal::task<> {
        peal::scope children(peal::on_error::keep_going);
        children.spawn(peal::spawn_options("child"), child, "five");
        co_await children.join();
    };
    std::mutex mutex;
    std::vector<std::string> seen;
    peal::pool_options options(2);
    options.on_unhandled = [&](std::exception_ptr failure, const peal::context& task) {
        std::lock_guard guard(mutex);
        try {
            std::rethrow_exception(failure);
        } catch (const std::exception& error) {
            seen.push_back(std::string(task.name()) + ": " + error.what());
        }
    };
    peal::pool pool(options);
    pool.spawn(peal::spawn_options("detached"), failing, "one").detach();
    { auto dropped = pool.spawn(peal::spawn_options("dropped"), failing, "two"); }
    CHECK_THROWS_AS(pool.run(failing, "three"), std::runtime_error);
    CHECK_THROWS_AS(pool.run(await_it, pool.spawn(failing, "four")), std::runtime_error);
    pool.run(in_scope, failing);
    pool.spawn(rest, std::chrono::milliseconds(1h)).detach();  // canceled: no failure
    pool.shutdown(10ms, long_enough);
    std::sort(seen.begin(), seen.end());
    CHECK(seen == std::vector<std::string>{"child: five", "detached: one", "dropped: two"});
    CHECK(pool.counts().failed == 6);  // and the one that awaited the fourth
    CHECK(pool.counts().canceled == 1);
    CHECK(adds_up(pool.counts()));
}

TEST_CASE("shutdown: a failure reaches the handler, however late the handle is dropped") {
    auto failing = []() -> peal::task<> {
        throw std::runtime_error("nobody looked");
        co_return;
    };
    std::atomic<int> seen{0};
    peal::pool_options options(1);
    options.on_unhandled = [&](std::exception_ptr, const peal::context&) { ++seen; };
    peal::pool pool(options);
    auto handle = pool.spawn(failing);
    while (!handle.has_ended()) std::this_thread::sleep_for(1ms);
    handle.detach();
    CHECK(pool.shutdown(long_enough, 0s).drained);
    CHECK(seen == 1);
}

TEST_CASE("shutdown: a handle may outlive its pool, result, failure and all") {
    support::captured_stderr captured;
    std::optional<peal::join_handle<std::string>> good;
    std::optional<peal::join_handle<>> bad;
    std::optional<peal::stop_handle> stopper;
    {
        peal::pool pool(peal::pool_options(1));
        good.emplace(pool.spawn([]() { return std::string(100, 'x'); }));
        bad.emplace(pool.spawn([]() { throw std::runtime_error("late"); }));
        stopper.emplace(good->stop_handle());
    }
    CHECK(good->has_ended());
    stopper->request_stop();
    good.reset();
    stopper.reset();
    bad.reset();
    CHECK(captured.text().find("late") != std::string::npos);  // no handler is left: standard error
}

namespace {

/// A task of one pool that is a guest on another.
peal::task<std::size_t> read_as_a_guest(peal::pool& host, peal::pool& home, std::atomic<bool>& is_there, std::atomic<bool>& may_go_on) {
    co_await host.schedule();
    peal::io::pipe through = peal::io::make_pipe();
    std::byte sent{1};
    co_await through.writer.write_all(std::span(&sent, 1));
    is_there = true;
    while (!may_go_on) std::this_thread::yield();  // the worker hears of the end only after this
    std::byte got{};
    std::size_t count = co_await through.reader.read(std::span(&got, 1));
    co_await home.schedule();
    co_return count;
}

peal::task<> open_as_a_guest(peal::pool& host, peal::pool& home, std::string fifo, std::atomic<bool>& is_there) {
    co_await host.schedule();
    is_there = true;
    auto opened = co_await peal::fs::file::open(fifo, peal::fs::open_mode::append);
    opened.close();
    co_await home.schedule();
}

}  // namespace

TEST_CASE("shutdown: what a guest of another pool has begun is carried through") {
    for (int i = 0; i < 5; ++i) {
        peal::pool home(peal::pool_options(1));
        peal::pool host(peal::pool_options(1));
        std::atomic<bool> is_there{false};
        std::atomic<bool> may_go_on{false};
        auto guest = home.spawn(read_as_a_guest, std::ref(host), std::ref(home), std::ref(is_there), std::ref(may_go_on));
        while (!is_there) std::this_thread::yield();
        std::thread ending([&host] { host.shutdown(1ms, 1ms); });
        std::this_thread::sleep_for(20ms);  // it has asked its worker to end
        may_go_on = true;
        CHECK(home.run([](peal::join_handle<std::size_t> joined) -> peal::task<std::size_t> { co_return co_await joined; },
                       std::move(guest)) == 1);
        ending.join();
    }
}

TEST_CASE("shutdown: what a blocking thread does for a guest of another pool is waited for") {
    support::temp_folder folder;
    const std::string fifo = folder / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    peal::pool home(peal::pool_options(1));
    peal::pool_options options(1);
    options.driver = peal::driver_choice::epoll;
    peal::pool host(options);
    std::atomic<bool> is_there{false};
    auto guest = home.spawn(open_as_a_guest, std::ref(host), std::ref(home), fifo, std::ref(is_there));
    while (!is_there) std::this_thread::yield();
    std::this_thread::sleep_for(10ms);
    std::thread ending([&host] { host.shutdown(1ms, 1ms); });
    std::this_thread::sleep_for(20ms);
    int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // now it can be opened
    home.run([](peal::join_handle<> joined) -> peal::task<> { co_await joined; }, std::move(guest));
    ending.join();
    ::close(reader);
}

TEST_CASE("shutdown: afterwards the driver is still known, and moving there is said to be wrong") {
    auto died = [](auto moving) {
        return support::death_of([moving] {
            peal::pool over(peal::pool_options(1));
            over.shutdown(1ms, 1ms);
            peal::pool home(peal::pool_options(1));
            home.run(moving, std::ref(over));
        });
    };
    CHECK(died([](peal::pool& over) -> peal::task<> { co_await over.schedule(); }).says("has been shut down"));
    CHECK(died([](peal::pool& over) -> peal::task<> { co_await over.schedule_on(0); }).says("has been shut down"));
    peal::pool pool(peal::pool_options(1));
    std::string before = pool.driver_of(0);
    pool.shutdown(1ms, 1ms);
    CHECK(pool.driver_of(0) == before);
}
