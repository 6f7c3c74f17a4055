// SPDX-License-Identifier: MIT

// TCP options, and the ends of a connection that are not close(): half-closing and resetting.

#include <peal/net/tcp.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>

#include <string>
#include <system_error>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/ends.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"

using namespace std::chrono_literals;
using peal::net::listen_options;
using peal::net::tcp_listener;
using peal::net::tcp_stream;
using support::stream_pair;
using support::failure_of;
using support::take;

namespace {

int option_of(int fd, int level, int option) {
    int value = -1;
    socklen_t bytes = sizeof value;
    ::getsockopt(fd, level, option, &value, &bytes);
    return value;
}

/// "0", a number of bytes, or the error.
peal::task<std::string> read_end(tcp_stream& stream) {
    std::array<std::byte, 100> buffer;
    auto reading = stream.read(buffer);
    auto got = co_await peal::as_result(reading);
    co_return got ? std::to_string(*got) : got.error().message();
}


}  // namespace

TEST_CASE("tcp options: what is set is what the system has") {
    peal::pool pool(peal::pool_options(1));
    stream_pair ends = pool.run(support::connected_pair);
    tcp_stream& stream = ends.first;
    const int fd = stream.native_handle();

    CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 1);
    stream.set_no_delay(false);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_NODELAY) == 0);

    stream.set_keep_alive(30s, 5s, 4);
    CHECK(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 30);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 5);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_KEEPCNT) == 4);
    stream.set_keep_alive(0s, 0s, 0);
    CHECK(option_of(fd, SOL_SOCKET, SO_KEEPALIVE) == 0);

    stream.set_user_timeout(1500ms);
    CHECK(option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 1500);
    stream.set_receive_buffer(50'000);
    CHECK(option_of(fd, SOL_SOCKET, SO_RCVBUF) == 100'000);
    stream.set_send_buffer(40'000);
    CHECK(option_of(fd, SOL_SOCKET, SO_SNDBUF) == 80'000);
}

TEST_CASE("tcp options: a value that the system refuses is an error that names the option") {
    peal::pool pool(peal::pool_options(1));
    stream_pair ends = pool.run(support::connected_pair);
    CHECK(failure_of([&] { ends.first.set_keep_alive(40'000s, 1s, 1); }) == "setsockopt TCP_KEEPIDLE: Invalid argument");
    CHECK(failure_of([&] { ends.first.set_keep_alive(1s, -1s, 1); }) == "setsockopt TCP_KEEPINTVL: Invalid argument");
    CHECK(failure_of([&] { ends.first.set_keep_alive(1s, 1s, 1000); }) == "setsockopt TCP_KEEPCNT: Invalid argument");
    CHECK(failure_of([&] { ends.first.set_user_timeout(-1ms); }) == "setsockopt TCP_USER_TIMEOUT: Invalid argument");
    CHECK(failure_of([&] { ends.first.set_user_timeout(1000h * 1000); }) == "setsockopt TCP_USER_TIMEOUT: Invalid argument");
    tcp_stream closed;
    CHECK(failure_of([&] { closed.set_no_delay(true); }) == "setsockopt TCP_NODELAY: Bad file descriptor");
    CHECK(failure_of([&] { closed.shutdown_read(); }) == "shutdown: Bad file descriptor");
}

TEST_CASE("tcp options: a listener's are those of what it accepts") {
    peal::pool pool(peal::pool_options(1));
    auto listener = tcp_listener::bind("127.0.0.1:0", listen_options(4).receive_buffer(60'000).send_buffer(70'000).fast_open(8));
    CHECK(option_of(listener.native_handle(), IPPROTO_TCP, TCP_FASTOPEN) == 8);
    support::raw_socket caller = support::connect_raw(listener.local_address());
    tcp_stream accepted = pool.run([](tcp_listener& at) { return at.accept(); }, std::ref(listener));
    CHECK(option_of(accepted.native_handle(), SOL_SOCKET, SO_RCVBUF) == 120'000);
    CHECK(option_of(accepted.native_handle(), SOL_SOCKET, SO_SNDBUF) == 140'000);
}

TEST_CASE("tcp options: listeners that all say reuse_port share an address; others do not") {
    auto first = tcp_listener::bind("127.0.0.1:0", listen_options().reuse_port());
    std::string where = first.local_address().to_string();
    {
        auto second = tcp_listener::bind(where, listen_options().reuse_port());
        CHECK(second.local_address() == first.local_address());
    }
    CHECK(failure_of([&] { static_cast<void>(tcp_listener::bind(where)); }) == "bind " + where + ": Address already in use");
}

TEST_CASE("tcp ends: a half that is closed leaves the other open") {
    auto body = [](tcp_stream& here, tcp_stream& there) -> peal::task<> {
        std::vector<std::byte> question = support::pattern(100);
        std::vector<std::byte> got(200);
        co_await here.write_all(question);
        here.shutdown_write();
        std::size_t asked = co_await there.read_exactly(got);
        CHECK(asked == 100);
        co_await there.write_all(question);
        std::size_t answered = co_await here.read_exactly(std::span(got).first(100));
        CHECK(answered == 100);
        CHECK(support::fits(std::span(got).first(100), 0));
        auto writing = here.write(question);
        auto written = co_await peal::as_result(writing);
        CHECK_FALSE(written);
        if (!written) CHECK(written.error().code() == std::errc::broken_pipe);
    };
    peal::pool pool(peal::pool_options(1));
    stream_pair ends = pool.run(support::connected_pair);
    pool.run(body, std::ref(ends.first), std::ref(ends.second));
}

TEST_CASE("tcp ends: shutdown_read ends a read that waits, and leaves writing alone") {
    auto body = [](tcp_stream& here, tcp_stream& there) -> peal::task<> {
        auto waiting = peal::spawn(read_end, std::ref(here));
        co_await peal::sleep_for(2ms);
        here.shutdown_read();
        std::string end = co_await waiting;
        CHECK(end == "0");
        std::vector<std::byte> bytes = support::pattern(100);
        co_await here.write_all(bytes);
        std::size_t got = co_await there.read_exactly(std::span(bytes));
        CHECK(got == 100);
    };
    peal::pool pool(peal::pool_options(1));
    stream_pair ends = pool.run(support::connected_pair);
    pool.run(body, std::ref(ends.first), std::ref(ends.second));
}

TEST_CASE("tcp ends: a reset ends what waits on both sides, at once") {
    peal::pool pool(peal::pool_options(1));
    for (int round = 0; round < 50; ++round) {
        stream_pair ends = pool.run(support::connected_pair);
        auto here = pool.spawn(read_end, std::ref(ends.first));
        auto there = pool.spawn(read_end, std::ref(ends.second));
        if (round % 2 == 0) std::this_thread::sleep_for(1ms);
        auto reset = [](tcp_stream& stream) { stream.reset(); };
        pool.run(reset, std::ref(ends.first));
        CHECK(pool.run(take<std::string>, std::move(there)) == "recv: Connection reset by peer");
        std::string end = pool.run(take<std::string>, std::move(here));
        INFO(end);
        CHECK((end == "recv: Connection reset by peer" || end == "0" || end == "recv: Transport endpoint is not connected" ||
               end == "recv: Bad file descriptor"));  // the last, if it had not begun
        CHECK_FALSE(ends.first.is_open());
        ends.first.reset();  // of what is closed: nothing
    }
}
