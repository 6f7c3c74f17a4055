// SPDX-License-Identifier: MIT

// Echo over loopback, where clients and sessions are canceled, reset and closed at random moments. Every byte that comes back is
// checked by its position; a stream that ended in order has given everything back.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::net::tcp_stream;

namespace {

class facts {
  public:
    support::verdict judged;
    std::atomic<std::uint64_t> orderly{0}, broken{0}, canceled{0}, bytes{0};
};

void reset(tcp_stream& stream) {
    linger at_once{1, 0};
    ::setsockopt(stream.native_handle(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    stream.close();
}

bool may_break(const std::error_code& code) {
    return code == std::errc::connection_reset || code == std::errc::broken_pipe || code == std::errc::operation_canceled ||
           code == std::errc::not_connected;
}

// ---- server ------------------------------------------------------------------------------------------------------------------------

/// Echoes; one session in three breaks off at a random byte, by closing or by a reset.
peal::task<> session(tcp_stream peer, std::uint64_t seed) {
    support::dice dice(seed);
    std::uint64_t patience = dice.one_in(3) ? dice.below(20'000) : ~std::uint64_t{0};
    std::vector<std::byte> buffer(1 + dice.below(5000));
    for (;;) {
        std::size_t n = co_await peer.read(buffer);
        if (n == 0) co_return;
        if (n > patience) break;
        patience -= n;
        if (dice.one_in(2)) {
            co_await peer.write_all(std::span(buffer).first(n));
        } else {
            std::size_t half = n / 2;
            std::array<peal::io::const_buffer, 2> pieces;
            pieces[0] = std::span<const std::byte>(buffer).first(half);
            pieces[1] = std::span<const std::byte>(buffer).subspan(half, n - half);
            co_await peer.write_all(std::span<peal::io::const_buffer>(pieces));
        }
        if (dice.one_in(8)) co_await peal::pool::current()->schedule();
    }
    if (dice.one_in(2)) reset(peer);
}

peal::task<> serve(peal::net::tcp_listener& listener, support::stopper& stopper) {
    support::dice dice(11);
    peal::scope sessions(peal::on_error::keep_going);
    for (;;) {
        auto started = sessions.spawn(peal::spawn_options("session"), session, co_await listener.accept(), dice.next());
        if (dice.one_in(6)) stopper.stop_after(std::chrono::nanoseconds(dice.below(200'000)), started.stop_handle());
    }
}

// ---- clients -----------------------------------------------------------------------------------------------------------------------

peal::task<> send_pattern(tcp_stream& stream, std::uint64_t total, std::uint64_t seed) {
    support::dice dice(seed);
    for (std::uint64_t sent = 0; sent < total;) {
        std::vector<std::byte> part = support::pattern(std::min<std::uint64_t>(total - sent, 1 + dice.below(3000)), sent);
        std::size_t moved;  // apart from the addition, and no ?: around co_await: g++ 12
        if (dice.one_in(2)) {
            moved = co_await stream.write_all(part);
        } else {
            moved = co_await stream.write(part);
        }
        sent += moved;
        if (dice.one_in(16)) co_await peal::sleep_for(std::chrono::microseconds(dice.below(100)));
    }
    stream.shutdown_write();
}

peal::task<std::uint64_t> check_pattern(tcp_stream& stream, std::uint64_t enough, std::uint64_t seed, facts& seen) {
    support::dice dice(seed);
    std::vector<std::byte> buffer(1 + dice.below(5000));
    std::uint64_t got = 0;
    while (got < enough) {
        std::span<std::byte> wanted = std::span(buffer).first(1 + dice.below(buffer.size()));
        std::size_t n;
        switch (dice.below(3)) {
            case 0: n = co_await stream.read(wanted); break;
            case 1: n = co_await stream.read_exactly(wanted); break;
            default: {
                std::array<peal::io::mutable_buffer, 2> pieces;
                pieces[0] = wanted.first(wanted.size() / 2);
                pieces[1] = wanted.subspan(wanted.size() / 2);
                n = co_await stream.read(std::span<const peal::io::mutable_buffer>(pieces));
            }
        }
        if (n == 0) break;
        seen.judged.expect(support::fits(wanted.first(n), got), "wrong bytes at " + std::to_string(got));
        got += n;
        seen.bytes += n;
    }
    co_return got;
}

/// One connection. Ends in order, or by the client's own impatience, or by what the other end or a stopper does.
peal::task<> client(peal::net::address server, std::uint64_t seed, facts& seen) {
    support::dice dice(seed);
    tcp_stream stream = co_await tcp_stream::connect(server);
    std::uint64_t total = dice.below(60'000);
    std::uint64_t enough = dice.one_in(3) ? dice.below(total + 1) : ~std::uint64_t{0};
    std::uint64_t got = 0;
    {
        peal::scope sending;
        auto sender = sending.spawn(peal::spawn_options("sender"), send_pattern, std::ref(stream), total, dice.next());
        got = co_await check_pattern(stream, enough, dice.next(), seen);
        if (got < enough) {  // the end of the stream: the session has ended in order, or broken off
            co_await sender;
            if (got == total) ++seen.orderly;
            seen.judged.expect(got <= total, "more came back than was sent");
        } else if (dice.one_in(2)) {
            sending.request_stop();
            co_await sending.join();
        }  // else: by leaving the scope
    }
    if (dice.one_in(2)) reset(stream);
}

peal::task<> one_client(peal::net::address server, std::uint64_t seed, facts& seen) {
    try {
        co_await client(server, seed, seen);
    } catch (const std::system_error& failure) {
        seen.judged.expect(may_break(failure.code()), std::string("an unexpected failure: ") + failure.what());
        ++(peal::is_canceled(failure) ? seen.canceled : seen.broken);
    }
}

peal::task<> clients_in_turn(peal::net::address server, std::uint64_t seed, facts& seen, support::stopper& stopper,
                             support::stress_clock& clock) {
    support::dice dice(seed);
    while (clock.goes_on()) {
        auto running = peal::spawn(peal::spawn_options("client"), one_client, server, dice.next(), std::ref(seen));
        if (dice.one_in(4)) stopper.stop_after(std::chrono::nanoseconds(dice.below(300'000)), running.stop_handle());
        try {
            co_await running;
        } catch (const std::system_error& failure) {
            seen.judged.expect(peal::is_canceled(failure), "a client failed otherwise");
        }
    }
}

}  // namespace

TEST_CASE("stress: echo with cancels, resets and closes at random") {
    auto all = [](peal::net::address to, facts& into, support::stopper& by, support::stress_clock& until) -> peal::task<> {
        peal::scope slots;
        for (std::uint64_t i = 0; i < 12; ++i) {
            slots.spawn(clients_in_turn, to, 100 + i, std::ref(into), std::ref(by), std::ref(until));
        }
        co_await slots.join();
    };
    support::stress_seed();
    facts seen;
    peal::pool_options server_options(2);
    server_options.on_unhandled = [&seen](std::exception_ptr failure, const peal::context& task) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::system_error& error) {
            seen.judged.expect(may_break(error.code()), std::string(task.name()) + " failed: " + error.what());
        } catch (...) {
            seen.judged.complain(std::string(task.name()) + " failed otherwise");
        }
    };
    support::stopper stopper;
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    peal::pool server(server_options);
    peal::pool_options client_options(2);
    client_options.on_unhandled = server_options.on_unhandled;
    peal::pool clients(client_options);
    server.spawn(peal::spawn_options("serve"), serve, std::ref(listener), std::ref(stopper)).detach();

    support::stress_clock clock;
    clients.run(all, listener.local_address(), std::ref(seen), std::ref(stopper), std::ref(clock));

    for (peal::pool* pool : {&clients, &server}) {
        auto report = pool->shutdown(10ms, 30s);
        INFO("not stopped: " << (report.not_stopped.empty() ? "none" : report.not_stopped.front()));
        REQUIRE(report.not_stopped.empty());
        auto counts = pool->counts();
        CHECK(counts.live == 0);
        CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled);
    }
    CHECK(seen.judged.text() == "");
    CHECK(seen.orderly > 0);
    std::printf("%llu orderly, %llu broken, %llu canceled, %llu bytes\n", static_cast<unsigned long long>(seen.orderly),
                static_cast<unsigned long long>(seen.broken), static_cast<unsigned long long>(seen.canceled),
                static_cast<unsigned long long>(seen.bytes));
}
