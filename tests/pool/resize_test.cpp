// SPDX-License-Identifier: MIT

// resize(): those that begin serve at once; those that leave lose nothing, whatever waits for them, in queues, timers and rings; nobody outside notices.

#include <sys/resource.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/net/receiver.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/ends.hpp"
#include "support/leaks.hpp"
#include "support/sockets.hpp"

using namespace std::chrono_literals;
using peal::worker_metrics;
using support::busy_until;

namespace {

peal::pool_options between(unsigned workers, unsigned most) {
    peal::pool_options options(workers);
    options.max_workers = most;
    options.spare_worker = false;  // would be seen where nobody expects one, on a machine that is busy
    options.on_stall = [](const peal::stall&) {};
    return options;
}

peal::task<> echo(peal::net::tcp_stream& stream) {
    std::array<std::byte, 64> buffer;
    while (std::size_t bytes = co_await stream.read(buffer)) co_await stream.write_all(std::span(buffer).first(bytes));
}
peal::task<> echo_by_receiver(peal::net::tcp_stream& stream) {
    peal::net::receiver incoming(stream);
    while (auto received = co_await incoming.receive()) co_await stream.write_all(received.bytes());
}

/// By plain system calls.
bool is_echoed(const peal::net::tcp_stream& peer, char sent) {
    timeval limit{20, 0};
    ::setsockopt(peer.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    char got = 0;
    return ::send(peer.native_handle(), &sent, 1, MSG_NOSIGNAL) == 1 && ::recv(peer.native_handle(), &got, 1, 0) == 1 && got == sent;
}

/// On which workers tasks ran, of many that take a while.
std::set<unsigned> used(peal::pool& pool) {
    std::array<std::atomic<bool>, 64> seen{};
    pool.run([](std::array<std::atomic<bool>, 64>& here) -> peal::task<> {
        peal::scope all;
        for (int i = 0; i < 200; ++i) {
            all.spawn([](std::array<std::atomic<bool>, 64>& marks) -> peal::task<> {
                for (int step = 0; step < 3; ++step) {
                    marks[peal::this_worker::index().value()] = true;
                    for (auto until = peal::clock::now() + 20us; peal::clock::now() < until;) {
                    }
                    co_await peal::yield();
                }
            }, std::ref(here));
        }
        co_await all.join();
    }, std::ref(seen));
    std::set<unsigned> found;
    for (unsigned i = 0; i < seen.size(); ++i) {
        if (seen[i]) found.insert(i);
    }
    return found;
}

void check_books(peal::pool& pool) {
    CHECK(pool.shutdown(60s, 60s).drained);
    const auto counts = pool.counts();
    CHECK(counts.live == 0);
    CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
}

}  // namespace

TEST_CASE("resize: so many take part, and no others") {
    const std::size_t before = support::open_descriptors();
    {
        peal::pool pool(between(1, 4));
        CHECK(pool.size() == 1);
        CHECK(pool.max_size() == 4);
        for (unsigned count : {3u, 1u, 4u, 2u, 2u}) {
            pool.resize(count);
            CHECK(pool.size() == count);
            CHECK(busy_until([&pool, count] {
                for (const worker_metrics& each : pool.metrics().workers) {
                    if (!each.is_spare && (each.now == worker_metrics::state::resting) != (each.index >= count)) return false;
                }
                return true;
            }));
            const std::set<unsigned> found = used(pool);
            CHECK(!found.empty());
            CHECK(*found.rbegin() < count);
        }
        CHECK(pool.metrics().size == 2);
        check_books(pool);
        CHECK_THROWS_WITH(pool.resize(1), Catch::Contains("has been shut down"));
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("resize: a pool of a fixed size may shrink, and grow again") {
    peal::pool pool(peal::pool_options(3));
    pool.resize(1);
    CHECK(pool.size() == 1);
    CHECK(busy_until([&pool] { return used(pool) == std::set<unsigned>{0}; }));  // one that was about to take something may have
    pool.resize(3);
    CHECK(pool.size() == 3);
    CHECK_THROWS_WITH(pool.resize(4), "pool.resize: 4 workers, but it must be 1 to 3 (pool_options.max_workers)");
    CHECK_THROWS_WITH(pool.resize(0), Catch::StartsWith("pool.resize: 0 workers"));
    CHECK_THROWS_AS(peal::pool(between(3, 2)), std::invalid_argument);
    CHECK_THROWS_AS(peal::pool(between(3, 2000)), std::invalid_argument);
}

TEST_CASE("resize: one more serves what the only one does not come to") {
    peal::pool_options options = between(1, 2);
    options.rescue_after = 0ns;
    peal::pool pool(options);
    std::atomic<bool> there{false}, released{false};
    auto keep = [&] {
        there = true;
        return busy_until([&] { return released.load(); });
    };
    auto kept = pool.spawn(keep);
    REQUIRE(busy_until([&] { return there.load(); }));
    auto waiting = pool.spawn([] { return peal::this_worker::index().value(); });
    pool.resize(2);
    CHECK(pool.run(support::take<unsigned>, std::move(waiting)) == 1);
    released = true;
    CHECK(pool.run(support::take<bool>, std::move(kept)));
    check_books(pool);
}

TEST_CASE("resize: what waits for one that leaves goes on: in its queue, its inbox, by its timers, on its ring") {
    peal::pool pool(between(2, 2));
    for (int round = 0; round < 20; ++round) {
        auto [near, far] = support::local_pair();
        auto [near2, far2] = support::local_pair();
        auto on_second = [](peal::pool& its, auto what) -> peal::task<unsigned> {
            co_await its.schedule_on(1);
            co_await what();
            co_return peal::this_worker::index().value();
        };
        auto reads = pool.spawn([](peal::pool& its, peal::net::tcp_stream& stream) -> peal::task<> {
            co_await its.schedule_on(1);
            co_await echo(stream);
        }, std::ref(pool), std::ref(near));
        auto receives = pool.spawn([](peal::pool& its, peal::net::tcp_stream& stream) -> peal::task<> {
            co_await its.schedule_on(1);
            co_await echo_by_receiver(stream);
        }, std::ref(pool), std::ref(near2));
        CHECK(is_echoed(far, 'a'));
        CHECK(is_echoed(far2, 'a'));
        auto sleeps = pool.spawn(on_second, std::ref(pool), []() -> peal::task<> { co_await peal::sleep_for(3ms); });
        std::vector<peal::join_handle<unsigned>> pinned;
        for (int i = 0; i < 20; ++i) pinned.push_back(pool.spawn(on_second, std::ref(pool), []() -> peal::task<> { co_await peal::yield(); }));
        pool.resize(1);
        for (auto& each : pinned) static_cast<void>(pool.run(support::take<unsigned>, std::move(each)));
        CHECK(pool.run(support::take<unsigned>, std::move(sleeps)) < 2);
        for (int i = 0; i < 5; ++i) {
            CHECK(is_echoed(far, static_cast<char>('b' + i)));
            CHECK(is_echoed(far2, static_cast<char>('b' + i)));
        }
        CHECK(pool.run(on_second, std::ref(pool), []() -> peal::task<> { co_return; }) < 2);  // stands for any
        pool.resize(2);
        CHECK(is_echoed(far, 'z'));
        CHECK(is_echoed(far2, 'z'));
        far.close();
        far2.close();
        pool.run(support::take<void>, std::move(reads));
        pool.run(support::take<void>, std::move(receives));
    }
    check_books(pool);
}

TEST_CASE("resize: one that leaves may be kept by a task meanwhile") {
    peal::pool pool(between(2, 2));
    std::atomic<bool> there{false}, released{false};
    auto keep = [](peal::pool& its, std::atomic<bool>& arrived, std::atomic<bool>& go) -> peal::task<unsigned> {
        co_await its.schedule_on(1);
        arrived = true;
        busy_until([&go] { return go.load(); });
        co_await peal::yield();
        co_return peal::this_worker::index().value();
    };
    auto kept = pool.spawn(keep, std::ref(pool), std::ref(there), std::ref(released));
    REQUIRE(busy_until([&] { return there.load(); }));
    pool.resize(1);
    CHECK(pool.run([] { return peal::this_worker::index().value(); }) == 0);  // the other one is kept
    released = true;
    CHECK(pool.run(support::take<unsigned>, std::move(kept)) == 0);  // it goes on with the others
    check_books(pool);
}

TEST_CASE("resize: back and forth under load, and no client notices") {
    peal::pool pool(between(1, 8));
    constexpr int connections = 16;
    std::vector<std::pair<peal::net::tcp_stream, peal::net::tcp_stream>> ends;
    for (int i = 0; i < connections; ++i) ends.push_back(support::local_pair());
    std::vector<peal::join_handle<void>> sessions;
    for (int i = 0; i < connections; ++i) {
        sessions.push_back(pool.spawn(i % 2 == 0 ? echo : echo_by_receiver, std::ref(ends[static_cast<std::size_t>(i)].first)));
    }
    std::atomic<bool> over{false};
    std::atomic<int> failures{0};
    std::atomic<long> echoes{0};
    std::vector<std::thread> clients;
    for (int t = 0; t < 2; ++t) {
        clients.emplace_back([&, t] {
            for (int i = 0; !over; ++i) {
                for (int c = t; c < connections; c += 2) {
                    if (!is_echoed(ends[static_cast<std::size_t>(c)].second, static_cast<char>('a' + i % 26))) ++failures;
                    ++echoes;
                }
            }
        });
    }
    std::thread spawner([&] {
        while (!over) {
            if (pool.run([] { return 7; }) != 7) ++failures;
        }
    });
    for (int round = 0; round < 30; ++round) {
        for (unsigned count = 1; count <= 8; ++count) pool.resize(count);
        for (unsigned count = 8; count >= 2; --count) pool.resize(count);
        std::this_thread::sleep_for(2ms);
    }
    over = true;
    for (auto& each : clients) each.join();
    spawner.join();
    CHECK(failures == 0);
    CHECK(echoes > 0);
    for (auto& each : ends) each.second.close();
    for (auto& each : sessions) pool.run(support::take<void>, std::move(each));
    check_books(pool);
}

TEST_CASE("resize: from a task, from several threads, and while it shuts down") {
    peal::pool pool(between(2, 4));
    pool.run([](peal::pool& its) -> peal::task<> {
        for (unsigned count : {4u, 1u, 3u}) {
            its.resize(count);
            co_await its.schedule();
        }
    }, std::ref(pool));
    std::atomic<bool> is_told{false};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
            try {
                for (unsigned i = 0; i < 100'000; ++i) pool.resize(1 + (i + t) % 4);
            } catch (const std::system_error& failure) {
                if (failure.code() == std::errc::operation_canceled) is_told = true;
            }
        });
    }
    for (int i = 0; i < 200; ++i) CHECK(pool.run([] { return 7; }) == 7);
    check_books(pool);
    for (auto& each : threads) each.join();
    CHECK(is_told);
}

TEST_CASE("child: resize without descriptors", "[.child]") {
    peal::pool pool(between(1, 8));
    CHECK(pool.run([] { return 7; }) == 7);
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = support::open_descriptors() + 1;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK_THROWS_AS(pool.resize(8), std::system_error);
    CHECK(pool.size() == 1);
    CHECK(pool.run([] { return 7; }) == 7);
    limit.rlim_cur = limit.rlim_max;
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
    pool.resize(8);
    CHECK(pool.size() == 8);
    CHECK(*used(pool).rbegin() < 8);
}

TEST_CASE("resize: without descriptors it says so, and nothing has changed") {
    auto child = support::run_case("child: resize without descriptors");
    INFO(child.output);
    CHECK(child.succeeded());
}
