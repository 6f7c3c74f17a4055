// SPDX-License-Identifier: MIT

// Pools that are shut down at a random moment while they are full of everything: sleepers, connections in the middle of a transfer, CPU
// work, tasks that spawn. Every shutdown ends, nothing is in flight after it, and the counts add up.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <thread>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/stress.hpp"

namespace {

peal::task<> echo(peal::net::tcp_stream peer) {
    std::array<std::byte, 256> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

peal::task<> serve(peal::net::tcp_listener& listener) {
    peal::scope sessions(peal::on_error::keep_going);
    for (;;) sessions.spawn(echo, co_await listener.accept());
}

peal::task<> client(peal::net::address server, std::uint64_t seed) {
    support::dice dice(seed);
    peal::net::tcp_stream stream = co_await peal::net::tcp_stream::connect(server);
    std::array<std::byte, 256> sent;
    std::array<std::byte, 256> got;
    for (;;) {
        auto size = static_cast<std::size_t>(1 + dice.below(sent.size()));
        for (std::size_t i = 0; i < size; ++i) sent[i] = static_cast<std::byte>(dice.next());
        co_await stream.write_all(std::span(sent).first(size));
        std::size_t n = co_await stream.read_exactly(std::span(got).first(size));
        if (!std::equal(got.begin(), got.begin() + static_cast<std::ptrdiff_t>(n), sent.begin())) {
            throw std::runtime_error("echo gave other bytes");
        }
        if (n != size) co_return;  // its session was stopped
    }
}

peal::task<> sleeper(std::uint64_t microseconds) {
    for (;;) co_await peal::sleep_for(std::chrono::microseconds(microseconds));
}

peal::task<> breeder(int generations) {
    co_await peal::sleep_for(std::chrono::microseconds(50));
    if (generations == 0) co_return;
    peal::scope children;
    children.spawn(breeder, generations - 1);
    children.spawn(breeder, generations - 1);
    co_await children.join();
}

peal::task<> worker_hopper(peal::pool& pool) {
    for (;;) {
        co_await pool.schedule();
        if (peal::this_task::stop_requested()) co_return;
    }
}

}  // namespace

TEST_CASE("stress: pools shut down under load at any moment") {
    support::dice dice(3);
    support::stress_clock clock;
    unsigned pools = 0;
    std::atomic<int> failures{0};
    while (clock.goes_on() || pools < 50) {
        peal::pool_options options(1 + static_cast<unsigned>(dice.below(3)));
        options.on_unhandled = [&failures](std::exception_ptr failure, const peal::context&) {
            // A connection that is reset or refused because the other end was stopped is no surprise here; wrong bytes are.
            try {
                std::rethrow_exception(failure);
            } catch (const std::system_error&) {
            } catch (...) {
                failures.fetch_add(1);
            }
        };
        auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
        peal::pool pool(options);
        pool.spawn(peal::spawn_options("serve"), serve, std::ref(listener));
        for (std::uint64_t i = dice.below(8); i != 0; --i) pool.spawn(peal::spawn_options("client"), client, listener.local_address(), dice.next());
        for (std::uint64_t i = dice.below(20); i != 0; --i) pool.spawn(peal::spawn_options("sleeper"), sleeper, 1 + dice.below(1000));
        if (dice.one_in(2)) pool.spawn(peal::spawn_options("breeder"), breeder, 5);
        if (dice.one_in(3)) pool.spawn(peal::spawn_options("hopper"), worker_hopper, pool);
        std::this_thread::sleep_for(std::chrono::microseconds(dice.below(20'000)));

        peal::shutdown_report report =
            pool.shutdown(std::chrono::milliseconds(dice.below(5)), std::chrono::milliseconds(30'000));
        peal::pool_counts counts = pool.counts();
        INFO("pool " << pools << ", not stopped: " << (report.not_stopped.empty() ? "none" : report.not_stopped.front()));
        REQUIRE(report.not_stopped.empty());
        REQUIRE(counts.live == 0);
        REQUIRE(counts.accepted == counts.completed + counts.failed + counts.canceled);
        ++pools;
    }
    CHECK(failures.load() == 0);
    std::printf("%u pools\n", pools);
}
