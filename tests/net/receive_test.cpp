// SPDX-License-Identifier: MIT

// tcp_stream::receive(): bytes in buffers of the worker. What comes, where leases go and come back from, and what happens when all are out.

#include <peal/net/tcp.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/net/receiver.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sync/channel.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/random_text.hpp"
#include "support/rings.hpp"
#include "support/tcp_pair.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::io::bytes_of;
using peal::io::lease;
using peal::net::tcp_stream;
using support::random_text;
using support::write_text;

namespace {

constexpr std::size_t most_buffers = 2048;  // that a worker lends: io/lease.hpp

peal::task<std::string> receive_all(tcp_stream& from) {
    std::string all;
    while (lease part = co_await from.receive()) {
        all += part.text();
        std::fill(part.bytes().begin(), part.bytes().end(), std::byte{0xee});  // ours until it goes back
    }
    co_return all;
}

peal::task<bool> arrives(std::size_t size) {
    support::stream_pair ends = co_await support::connected_pair();
    std::string sent = random_text(size, static_cast<unsigned>(size));
    peal::scope both;
    both.spawn(write_text, std::ref(ends.first), sent);
    std::string got = co_await receive_all(ends.second);
    co_await both.join();
    co_return got == sent;
}

}  // namespace

TEST_CASE("receive: what was written arrives, of any size, and then nothing") {
    peal::pool pool(peal::pool_options(2));
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4095}, std::size_t{4096}, std::size_t{4097}, std::size_t{3'000'000}}) {
        CAPTURE(size);
        CHECK(pool.run(arrives, size));
    }
}

namespace {

peal::task<> many_at_once(int connections, support::verdict& judged) {
    peal::scope all;
    auto one = [](int seed, support::verdict& judge) -> peal::task<> {
        support::stream_pair ends = co_await support::connected_pair();
        for (int round = 0; round < 10; ++round) {
            std::string sent = random_text(1 + static_cast<std::size_t>(seed * 37 % 3000), static_cast<unsigned>(seed + round));
            co_await ends.first.write_all(bytes_of(sent));
            std::string got;
            while (got.size() < sent.size()) {
                lease part = co_await ends.second.receive();
                judge.expect(static_cast<bool>(part), "not the end");
                if (!part) co_return;
                got += part.text();
            }
            judge.expect(got == sent, "the same bytes");
        }
    };
    for (int i = 0; i < connections; ++i) all.spawn(one, i, std::ref(judged));
    co_await all.join();
}

}  // namespace

TEST_CASE("receive: many connections share the buffers of their workers") {
    support::verdict judged;
    peal::pool pool(peal::pool_options(2));
    pool.run(many_at_once, 300, std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

/// Each message of one byte is a lease of its own.
peal::task<std::vector<lease>> hold(tcp_stream& to, tcp_stream& from, std::size_t count) {
    std::vector<lease> held;
    for (std::size_t i = 0; i < count; ++i) {
        char letter = static_cast<char>('a' + i % 26);
        co_await to.write_all(bytes_of(std::string_view(&letter, 1)));
        held.push_back(co_await from.receive());
    }
    co_return held;
}

peal::task<std::string> wait_for_a_buffer(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    std::vector<lease> held = co_await hold(ends.first, ends.second, most_buffers);
    for (std::size_t i = 0; i < held.size(); ++i) {
        judged.expect(held[i].text() == std::string(1, static_cast<char>('a' + i % 26)), "each lease keeps its own byte");
    }
    co_await ends.first.write_all(bytes_of(std::string_view("!")));
    auto starved = ends.second.receive();
    auto limited = peal::timeout(20ms, starved);
    auto got_one = co_await peal::as_result(limited);
    judged.expect(!got_one && got_one.error().code() == std::errc::timed_out, "all buffers are out");
    auto bring_back = [](lease gone) -> peal::task<> {
        co_await peal::sleep_for(5ms);
        gone.release();
    };
    peal::scope returning;
    returning.spawn(bring_back, std::move(held[7]));
    lease late = co_await ends.second.receive();
    std::string got(late.text());
    co_await returning.join();
    co_return got;
}

}  // namespace

TEST_CASE("receive: when all buffers are lent it waits until one comes back, and can be stopped") {
    support::verdict judged;
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(wait_for_a_buffer, std::ref(judged)) == "!");
    CHECK(judged.text() == "");
}

namespace {

peal::task<> receive_one(tcp_stream& from, peal::channel<bool>& told) {
    lease got = co_await from.receive();
    const bool has_come = static_cast<bool>(got);
    got.release();
    co_await told.send(has_come);
}

peal::task<> receive_one_by_receiver(tcp_stream& from, peal::channel<bool>& told) {
    peal::net::receiver incoming(from);
    lease got = co_await incoming.receive();
    const bool has_come = static_cast<bool>(got);
    got.release();
    co_await told.send(has_come);
}

/// Nothing: in 10 s none was told.
peal::task<std::optional<bool>> hear(peal::channel<bool>& told) {
    auto hearing = told.receive();
    auto limited = peal::timeout(10s, hearing);
    auto heard = co_await peal::as_result(limited);
    co_return heard ? *heard : std::nullopt;
}

peal::task<> starve_behind_closed(support::verdict& judged, peal::task<> (*receive)(tcp_stream&, peal::channel<bool>&)) {
    constexpr int closed = 3;
    support::stream_pair ends = co_await support::connected_pair();
    std::vector<lease> held = co_await hold(ends.first, ends.second, most_buffers);
    peal::channel<bool> told(closed + 1);
    std::vector<support::stream_pair> others;
    for (int i = 0; i < closed + 1; ++i) others.push_back(co_await support::connected_pair());
    for (int i = 0; i < closed; ++i) others[static_cast<std::size_t>(i)].first.close();
    co_await others.back().first.write_all(bytes_of(std::string_view("!")));
    peal::scope receiving;
    for (auto& other : others) receiving.spawn(receive, std::ref(other.second), std::ref(told));
    co_await peal::sleep_for(10ms);  // they wait, in this order
    held.pop_back();
    int ends_seen = 0, bytes_seen = 0;
    for (int i = 0; i < closed + 1; ++i) {
        const std::optional<bool> heard = co_await hear(told);
        ends_seen += heard == std::optional(false);
        bytes_seen += heard == std::optional(true);
    }
    judged.expect(ends_seen == closed && bytes_seen == 1, "all of them are served by one buffer");
    held.clear();
    co_await receiving.join();
}

}  // namespace

TEST_CASE("receive: those whose peer has closed do not keep from others the buffer that came back") {
    support::verdict judged;
    peal::pool pool(support::each_ring_mode(1));
    pool.run(starve_behind_closed, std::ref(judged), receive_one);
    pool.run(starve_behind_closed, std::ref(judged), receive_one_by_receiver);
    CHECK(judged.text() == "");
}

namespace {

/// The refusal lies unread while all buffers come back, and go to the kernel.
peal::task<> refused_and_not_seen(support::verdict& judged, peal::task<> (*receive)(tcp_stream&, peal::channel<bool>&)) {
    support::stream_pair ends = co_await support::connected_pair();
    support::stream_pair other = co_await support::connected_pair();
    std::vector<lease> held = co_await hold(ends.first, ends.second, most_buffers);
    peal::channel<bool> told(1);
    peal::scope receiving;
    receiving.spawn(receive, std::ref(other.second), std::ref(told));
    co_await peal::sleep_for(5ms);  // it is with the kernel
    const char one = '!';
    judged.expect(::send(other.first.native_handle(), &one, 1, 0) == 1, "send");
    for (int i = 0; i < 100; ++i) ::usleep(10);  // this thread passes through the kernel, which refuses
    held.clear();
    for (int i = 0; i < 500; ++i) co_await peal::yield();  // the worker is busy, and looks at its ring only in between
    const std::optional<bool> heard = co_await hear(told);
    judged.expect(heard == std::optional(true), "it gets its byte in the end");
    co_await receiving.join();
}

}  // namespace

TEST_CASE("receive: one that was refused, and is seen after the buffers have come back, gets one") {
    support::verdict judged;
    peal::pool_options options = support::each_ring_mode(1);
    options.rescue_after = 0ns;  // nobody sees it instead
    peal::pool pool(options);
    for (int i = 0; i < 3; ++i) {
        pool.run(refused_and_not_seen, std::ref(judged), receive_one);
        pool.run(refused_and_not_seen, std::ref(judged), receive_one_by_receiver);
    }
    CHECK(judged.text() == "");
}

namespace {

peal::task<> starve_many(support::verdict& judged, std::vector<lease>& held, peal::channel<int>& told) {
    support::stream_pair ends = co_await support::connected_pair();
    held = co_await hold(ends.first, ends.second, most_buffers);
    auto one = [](support::verdict& judge, peal::channel<int>& tell) -> peal::task<> {
        support::stream_pair mine = co_await support::connected_pair();
        co_await mine.first.write_all(bytes_of(std::string_view("x")));
        co_await tell.send(1);
        lease got = co_await mine.second.receive();
        judge.expect(got.text() == "x", "it gets its byte in the end");
    };
    peal::scope starved;
    for (int i = 0; i < 20; ++i) starved.spawn(one, std::ref(judged), std::ref(told));
    co_await starved.join();
}

}  // namespace

TEST_CASE("receive: threads of the program bring buffers back to a worker that sleeps without one") {
    support::verdict judged;
    std::vector<lease> held;
    peal::channel<int> told(100);
    peal::pool pool(peal::pool_options(1));
    auto main = pool.spawn(starve_many, std::ref(judged), std::ref(held), std::ref(told));
    for (int i = 0; i < 20; ++i) peal::sync_wait([](peal::channel<int>& from) -> peal::task<> { co_await from.receive(); }(told));
    std::this_thread::sleep_for(20ms);  // they wait for buffers, and the worker sleeps
    for (int i = 0; i < 20; ++i) {
        held.pop_back();
        std::this_thread::sleep_for(1ms);
    }
    auto ended = [](peal::join_handle<> handle) -> peal::task<> { co_await handle; };
    pool.run(ended, std::move(main));
    CHECK(judged.text() == "");
}

TEST_CASE("receive: leases outlive their stream, their task and their pool") {
    std::vector<lease> kept;
    {
        peal::pool pool(peal::pool_options(2));
        auto few = []() -> peal::task<std::vector<lease>> {
            support::stream_pair ends = co_await support::connected_pair();
            co_return co_await hold(ends.first, ends.second, 40);
        };
        kept = pool.run(few);
    }
    REQUIRE(kept.size() == 40);
    for (std::size_t i = 0; i < kept.size(); ++i) CHECK(kept[i].text() == std::string(1, static_cast<char>('a' + i % 26)));
    std::thread elsewhere([&kept] { kept.resize(20); });
    elsewhere.join();
    lease moved = std::move(kept[0]);
    CHECK(kept[0].text().empty());
    kept[1] = std::move(moved);
    CHECK(kept[1].text() == "a");
}

namespace {

peal::task<std::string> end_of_receive(tcp_stream& from) {
    auto receiving = from.receive();
    peal::result<lease> got = co_await peal::as_result(receiving);
    if (!got) co_return got.error().is_canceled() ? "canceled" : got.error().code().message();
    co_return std::string(got->text());
}

peal::task<> stop_while_it_waits(support::verdict& judged) {
    for (int i = 0; i < 200; ++i) {
        support::stream_pair ends = co_await support::connected_pair();
        auto waiting = peal::spawn(end_of_receive, std::ref(ends.second));
        if (i % 3 == 0) co_await peal::sleep_for(100us);
        if (i % 2 == 0) co_await ends.first.write_all(bytes_of(std::string_view("now")));
        waiting.request_stop();
        std::string end = co_await waiting;
        judged.expect(end == "canceled" || (i % 2 == 0 && end == "now"), "stopped, or served: " + end);
        if (i % 2 == 0 && end == "canceled") {
            std::string left = co_await end_of_receive(ends.second);
            judged.expect(left == "now", "a stopped receive loses nothing: " + left);
        }
    }
}

peal::task<> close_while_it_waits(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    auto waiting = peal::spawn(end_of_receive, std::ref(ends.second));
    co_await peal::sleep_for(1ms);
    ends.second.close();
    std::string end = co_await waiting;
    judged.expect(end.empty(), "the end of the stream: " + end);
    judged.expect(co_await end_of_receive(ends.second) == "Bad file descriptor", "not open");
}

}  // namespace

TEST_CASE("receive: stopped at any moment, it loses nothing") {
    support::verdict judged;
    peal::pool pool(peal::pool_options(2));
    pool.run(stop_while_it_waits, std::ref(judged));
    CHECK(judged.text() == "");
}

TEST_CASE("receive: closing the stream ends it") {
    support::verdict judged;
    peal::pool pool(peal::pool_options(2));
    pool.run(close_while_it_waits, std::ref(judged));
    CHECK(judged.text() == "");
}

TEST_CASE("receive: an operation that nobody awaits, or whose lease nobody takes, leaves nothing") {
    peal::pool pool(peal::pool_options(1));
    auto unused = []() -> peal::task<> {
        support::stream_pair ends = co_await support::connected_pair();
        { [[maybe_unused]] auto forgotten = ends.second.receive(); }
        co_await ends.first.write_all(bytes_of(std::string_view("a")));
        co_await ends.second.receive();
    };
    for (std::size_t i = 0; i < 2 * most_buffers; ++i) pool.run(unused);
    SUCCEED("and buffers do not run out");
}
