// SPDX-License-Identifier: MIT

// A listener for each worker: all of them serve, at one address, until they are stopped.

#include <peal/net/serve.hpp>

#include <array>
#include <atomic>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/sockets.hpp"

using namespace std::chrono_literals;
using peal::net::address;
using peal::net::tcp_listener;
using peal::net::tcp_stream;

namespace {

peal::task<> echo(tcp_stream peer) {
    std::array<std::byte, 64> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

/// Fails at once where the first byte is odd.
peal::task<> fussy(tcp_stream peer) {
    std::array<std::byte, 1> buffer;
    co_await peer.read(buffer);
    if ((buffer[0] & std::byte{1}) != std::byte{0}) throw std::runtime_error("odd");
    co_await peer.write_all(buffer);
}

peal::task<std::string> end_of(peal::join_handle<> serving) {
    try {
        co_await serving;
    } catch (const std::system_error& failure) {
        co_return failure.code().message();
    }
    co_return "returned";
}

/// What the server answers to one byte; 0 if it closed.
char answer_to(const address& server, char asked) {
    support::raw_socket caller = support::connect_raw(server);
    char got = 0;
    if (::send(caller.get(), &asked, 1, MSG_NOSIGNAL) != 1 || ::recv(caller.get(), &got, 1, 0) != 1) return 0;
    return got;
}

}  // namespace

TEST_CASE("serve: every worker has a listener at the same address, and connections reach all of them") {
    peal::pool pool(peal::pool_options(3));
    auto listeners = peal::net::bind_for_each_worker(pool, address::parse("127.0.0.1:0"));
    REQUIRE(listeners.size() == 3);
    address where = listeners[0].local_address();
    std::set<int> numbers;
    for (const tcp_listener& each : listeners) {
        CHECK(each.local_address() == where);
        numbers.insert(each.native_handle());
    }
    CHECK(numbers.size() == 3);
    auto serving = pool.spawn(peal::net::serve_on_each_worker<peal::task<> (*)(tcp_stream)>, pool, std::move(listeners), &echo);
    for (int i = 0; i < 300; ++i) CHECK(answer_to(where, static_cast<char>('a' + i % 26)) == 'a' + i % 26);
    // One that stays open is stopped with the server.
    support::raw_socket idle = support::connect_raw(where);
    serving.request_stop();
    CHECK(pool.run(end_of, std::move(serving)) == "Operation canceled");
    char none;
    CHECK(::recv(idle.get(), &none, 1, 0) <= 0);
    CHECK_THROWS_AS(support::connect_raw(where), std::system_error);  // nobody listens any more
}

TEST_CASE("serve: a session that fails costs itself") {
    std::atomic<int> failures{0};
    peal::pool_options options(2);
    options.on_unhandled = [&failures](std::exception_ptr, const peal::context&) { ++failures; };
    peal::pool pool(options);
    auto listeners = peal::net::bind_for_each_worker(pool, address::parse("127.0.0.1:0"));
    address where = listeners[0].local_address();
    auto serving = pool.spawn(peal::net::serve_on_each_worker<peal::task<> (*)(tcp_stream)>, pool, std::move(listeners), &fussy);
    for (int i = 0; i < 40; ++i) {
        char asked = static_cast<char>(i + 2);
        CHECK(answer_to(where, asked) == (asked % 2 == 0 ? asked : 0));
    }
    serving.request_stop();
    CHECK(pool.run(end_of, std::move(serving)) == "Operation canceled");
    CHECK(failures == 20);
}

TEST_CASE("serve: an address that somebody else has is an error at once") {
    peal::pool pool(peal::pool_options(2));
    auto taken = tcp_listener::bind("127.0.0.1:0");
    CHECK_THROWS_AS(peal::net::bind_for_each_worker(pool, taken.local_address()), std::system_error);
}
