// SPDX-License-Identifier: MIT

// Happy eyeballs: who wins, in which order, what becomes of the others, and which error is told if all fail.

#include <peal/net/tcp.hpp>

#include <netdb.h>
#include <poll.h>

#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/ends.hpp"
#include "support/sockets.hpp"

using namespace std::chrono_literals;
using peal::net::address;
using peal::net::listen_options;
using peal::net::tcp_listener;
using peal::net::tcp_stream;
using support::take;

namespace {

/// Listens, and answers nobody: its backlog is full.
class deaf_listener {
  public:
    deaf_listener() {
        address to = listener_.local_address();
        for (support::raw_socket& each : callers_) {
            each = support::raw_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            static_cast<void>(::connect(each.get(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())));
        }
    }
    address where() const { return listener_.local_address(); }

  private:
    tcp_listener listener_ = tcp_listener::bind("127.0.0.1:0", listen_options(0));
    support::raw_socket callers_[4];
};

/// Where nobody listens.
address nobody() {
    auto gone = tcp_listener::bind("127.0.0.1:0");
    return gone.local_address();
}

/// The peer that answered, or the error.
peal::task<std::string> connect_end(std::vector<address> to, std::chrono::milliseconds stagger) {
    auto connecting = tcp_stream::connect_any(std::move(to), stagger);
    auto connected = co_await peal::as_result(std::move(connecting));
    co_return connected ? connected->peer_address().to_string() : connected.error().message();
}
peal::task<std::string> connect_by_name(std::string host, std::string service) {
    auto connecting = tcp_stream::connect(std::move(host), std::move(service));
    auto connected = co_await peal::as_result(std::move(connecting));
    co_return connected ? connected->peer_address().to_string() : connected.error().message();
}

int callers_of(const tcp_listener& listener) {
    int count = 0;
    pollfd looked{listener.native_handle(), POLLIN, 0};
    for (; ::poll(&looked, 1, 0) == 1; ++count) support::raw_socket(::accept4(listener.native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
    return count;
}

constexpr std::chrono::milliseconds never = 1h;

}  // namespace

TEST_CASE("connect_any: the first that answers wins, and later ones are not even asked") {
    auto first = tcp_listener::bind("127.0.0.1:0");
    auto second = tcp_listener::bind("127.0.0.1:0");
    peal::pool pool(peal::pool_options(2));
    std::vector<address> to{first.local_address(), second.local_address()};
    for (int i = 0; i < 50; ++i) CHECK(pool.run(connect_end, to, never) == first.local_address().to_string());
    CHECK(callers_of(first) == 50);
    CHECK(callers_of(second) == 0);
}

TEST_CASE("connect_any: a failure lets the next begin at once, silence after a time") {
    deaf_listener deaf;
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::string there = listener.local_address().to_string();
    peal::pool pool(peal::pool_options(2));
    CHECK(pool.run(connect_end, std::vector<address>{nobody(), nobody(), listener.local_address()}, never) == there);
    CHECK(pool.run(connect_end, std::vector<address>{deaf.where(), listener.local_address()}, 5ms) == there);
    CHECK(pool.run(connect_end, std::vector<address>{deaf.where(), nobody(), deaf.where(), listener.local_address()}, 5ms) == there);
    CHECK(pool.run(connect_end, std::vector<address>{listener.local_address()}, never) == there);
}

TEST_CASE("connect_any: with no pause between them, one wins and the others leave nothing open") {
    std::vector<tcp_listener> listeners;
    std::vector<address> to;
    for (int i = 0; i < 5; ++i) {
        listeners.push_back(tcp_listener::bind("127.0.0.1:0"));
        to.push_back(listeners.back().local_address());
    }
    auto lasting = [](std::vector<address> candidates) -> peal::task<tcp_stream> { return tcp_stream::connect_any(std::move(candidates), 0ms); };
    peal::pool pool(peal::pool_options(2));
    for (int round = 0; round < 50; ++round) {
        tcp_stream won = pool.run(lasting, to);
        int open = 0;
        for (tcp_listener& each : listeners) {
            pollfd looked{each.native_handle(), POLLIN, 0};
            while (::poll(&looked, 1, 0) == 1) {
                support::raw_socket accepted(::accept4(each.native_handle(), nullptr, nullptr, SOCK_CLOEXEC));
                std::byte none;
                if (::recv(accepted.get(), &none, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN) ++open;
            }
        }
        CHECK(open == 1);
    }
}

TEST_CASE("connect_any: families take turns") {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::string there = listener.local_address().to_string();
    deaf_listener deaf;
    // Four of IPv6 where nobody is before the one that answers; it comes second in the order, so no silence of the others counts.
    std::vector<address> to;
    for (int i = 0; i < 4; ++i) to.push_back(address::parse("[::1]:1"));
    to.push_back(listener.local_address());
    to.push_back(deaf.where());
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(connect_end, to, never) == there);
}

TEST_CASE("connect_any: if all fail, the error of the one that came farthest") {
    peal::pool pool(peal::pool_options(1));
    address refusing = nobody();
    // Not routed from a loopback address, or not at all; whichever error the machine has for it, a refusal says more.
    address unreachable = address::parse("[fe80::1]:9");
    std::string refused = "connect " + refusing.to_string() + ": Connection refused";
    CHECK(pool.run(connect_end, std::vector<address>{unreachable, refusing}, never) == refused);
    CHECK(pool.run(connect_end, std::vector<address>{refusing, unreachable}, never) == refused);
    CHECK(pool.run(connect_end, std::vector<address>{}, never) == "connect: no address: Invalid argument");
}

TEST_CASE("connect_any: a stop ends all attempts, whichever they wait for") {
    deaf_listener deaf;
    auto listener = tcp_listener::bind("127.0.0.1:0");
    peal::pool pool(peal::pool_options(2));
    for (auto stagger : {never, 1ms}) {
        for (int i = 0; i < 10; ++i) {
            // With the short pause all attempts are on their way, with the long one those after the first two wait for their turn.
            std::vector<address> to{nobody(), deaf.where(), deaf.where(), deaf.where()};
            auto connecting = pool.spawn(connect_end, to, stagger);
            std::this_thread::sleep_for(i % 2 == 0 ? 5ms : 0ms);
            connecting.request_stop();
            std::string end = pool.run(take<std::string>, std::move(connecting));
            INFO(end);
            CHECK(end.ends_with(": Operation canceled"));
        }
    }
}

TEST_CASE("connect: by name, although the name has an address that nobody listens on") {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    auto port = std::to_string(listener.local_address().port());
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(connect_by_name, "localhost", port) == "127.0.0.1:" + port);
    listener.close();
    CHECK(pool.run(connect_by_name, "localhost", port).ends_with(":" + port + ": Connection refused"));
    CHECK(pool.run(connect_by_name, "127.0.0.1", "no-such-service-at-all").starts_with("resolve 127.0.0.1:no-such-service-at-all: "));
}
