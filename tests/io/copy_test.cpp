// SPDX-License-Identifier: MIT

#include <peal/io/copy.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <string>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/io/buffered_writer.hpp>
#include <peal/io/memory_stream.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"
#include "support/scripted_stream.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using peal::io::memory_stream;
using support::scripted_stream;
using support::verdict;

// ---- one direction --------------------------------------------------------------------------------------------------------------

peal::task<std::uint64_t> copies(scripted_stream& from, scripted_stream& to) { co_return co_await peal::io::copy(from, to); }

std::string error_of(scripted_stream& from, scripted_stream& to) {
    try {
        peal::sync_wait(copies(from, to));
    } catch (const std::system_error& failure) {
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("copy: passes on all bytes, tells how many, and ends nothing") {
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1000}, peal::io::detail::copy_bytes - 1, peal::io::detail::copy_bytes,
                             peal::io::detail::copy_bytes + 1, 3 * peal::io::detail::copy_bytes + 7}) {
        std::string text(size, ' ');
        for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 2654435761u >> 13);
        scripted_stream from(text, std::vector<std::size_t>(100, 7));
        scripted_stream to;
        CHECK(peal::sync_wait(copies(from, to)) == size);
        CHECK(to.written == text);
        CHECK_FALSE(to.is_shut_down);
    }
}

TEST_CASE("copy: tells what has been written so far") {
    auto run = [](std::vector<std::size_t>& steps, scripted_stream& from, scripted_stream& to) -> peal::task<> {
        auto note = [&steps](std::size_t bytes) { steps.push_back(bytes); };
        co_await peal::io::copy(from, to, note);
    };
    std::vector<std::size_t> steps;
    scripted_stream from("0123456789", {3, 1, 6}, scripted_stream::at_end::error);
    scripted_stream to("", {}, scripted_stream::at_end::error);
    to.room = 9;
    CHECK_THROWS_AS(peal::sync_wait(run(steps, from, to)), std::system_error);
    CHECK(steps == std::vector<std::size_t>{3, 1});  // the last piece has failed
    CHECK(to.written == "0123");
}

TEST_CASE("copy: errors of either side end it") {
    scripted_stream from("abc", {}, scripted_stream::at_end::error);
    scripted_stream to;
    CHECK(error_of(from, to).starts_with("scripted"));
    CHECK(to.written == "abc");
    scripted_stream whole("abc", {});
    scripted_stream full("", {}, scripted_stream::at_end::error);
    full.room = 0;
    CHECK(error_of(whole, full).starts_with("scripted"));
}

// ---- both directions ------------------------------------------------------------------------------------------------------------

namespace {

/// A client and a server with a relay between them: client <-> inner [relay] outer <-> server.
class relayed {
  public:
    explicit relayed(std::size_t capacity)
        : relayed(peal::io::memory_stream_pair(capacity), peal::io::memory_stream_pair(capacity)) {}

    memory_stream client;
    memory_stream inner;
    memory_stream outer;
    memory_stream server;

  private:
    relayed(std::pair<memory_stream, memory_stream> near, std::pair<memory_stream, memory_stream> far)
        : client(std::move(near.first)), inner(std::move(near.second)), outer(std::move(far.first)), server(std::move(far.second)) {}
};

/// The relay: how it ended, in words.
peal::task<std::string> relays(memory_stream& inner, memory_stream& outer) {
    auto ended = co_await peal::as_result(peal::io::copy_bidirectional(inner, outer));
    if (!ended) co_return ended.error().is_canceled() ? "canceled" : ended.error().code() == std::errc::broken_pipe ? "broken pipe" : "failed";
    co_return std::to_string(ended->from_first) + ' ' + std::to_string(ended->from_second);
}

peal::task<> sends(memory_stream& to, std::size_t size, std::uint64_t seed) {
    std::vector<std::byte> bytes = support::pattern(size, seed);
    co_await to.write_all(bytes);
    to.shutdown_write();
}
peal::task<> expects(memory_stream& from, std::size_t size, std::uint64_t seed, verdict& judged) {
    std::vector<std::byte> got(size + 1);
    std::size_t count = co_await from.read_exactly(got);
    got.resize(count);
    judged.expect(got == support::pattern(size, seed), "not what was sent");
}

peal::task<> relays_both(peal::pool&) {
    verdict judged;
    for (std::size_t capacity : {1, 10, 1000}) {
        relayed all(capacity);
        peal::scope tasks;
        auto relaying = peal::spawn(relays, std::ref(all.inner), std::ref(all.outer));
        tasks.spawn(sends, std::ref(all.client), 4000, 1);
        tasks.spawn(sends, std::ref(all.server), 2500, 2);
        tasks.spawn(expects, std::ref(all.server), 4000, 1, std::ref(judged));
        tasks.spawn(expects, std::ref(all.client), 2500, 2, std::ref(judged));
        co_await tasks.join();
        std::string how = co_await relaying;
        judged.expect(how == "4000 2500", how);
    }
    CHECK(judged.text() == "");
}

peal::task<> passes_half_closes(peal::pool&) {
    for (bool client_first : {true, false}) {
        relayed all(64);
        memory_stream& first = client_first ? all.client : all.server;
        memory_stream& second = client_first ? all.server : all.client;
        auto relaying = peal::spawn(relays, std::ref(all.inner), std::ref(all.outer));
        std::array<std::byte, 8> buffer{};
        co_await first.write_all(peal::io::bytes_of("ask"));
        first.shutdown_write();
        std::size_t count = co_await second.read_exactly(buffer);
        CHECK(count == 3);  // the end came behind it, though the other direction goes on
        co_await peal::sleep_for(1ms);
        CHECK_FALSE(relaying.has_ended());
        co_await second.write_all(peal::io::bytes_of("answer"));
        count = co_await first.read(buffer);
        CHECK(count == 6);
        CHECK_FALSE(relaying.has_ended());
        second.shutdown_write();
        count = co_await first.read(buffer);
        CHECK(count == 0);
        std::string how = co_await relaying;
        CHECK(how == (client_first ? "3 6" : "6 3"));
    }
}

peal::task<> errors_end_both(peal::pool&) {
    for (bool client_goes : {true, false}) {
        relayed all(4);
        memory_stream& goes = client_goes ? all.client : all.server;
        memory_stream& stays = client_goes ? all.server : all.client;
        auto relaying = peal::spawn(relays, std::ref(all.inner), std::ref(all.outer));
        co_await peal::sleep_for(1ms);
        goes.close();  // an end in one direction, which is passed on; an error in the other as soon as something is to go there
        std::array<std::byte, 8> buffer{};
        std::size_t count = co_await stays.read(buffer);
        CHECK(count == 0);
        CHECK_FALSE(relaying.has_ended());
        co_await stays.write_all(peal::io::bytes_of("x"));
        std::string how = co_await relaying;
        CHECK(how == "broken pipe");
    }
    // While the other direction waits to read, and to write.
    for (bool waits_to_write : {true, false}) {
        relayed all(4);
        if (waits_to_write) co_await all.client.write_all(peal::io::bytes_of("0123"));
        auto relaying = peal::spawn(relays, std::ref(all.inner), std::ref(all.outer));
        co_await peal::sleep_for(1ms);
        if (waits_to_write) co_await all.client.write_all(peal::io::bytes_of("45"));
        co_await peal::sleep_for(1ms);
        all.inner.shutdown_write();
        co_await all.server.write_all(peal::io::bytes_of("x"));
        std::string how = co_await relaying;
        CHECK(how == "broken pipe");
    }
}

peal::task<> canceled(peal::pool&) {
    for (int state = 0; state < 4; ++state) {  // idle; one direction waits to write; one has ended; asked before it begins
        relayed all(4);
        auto relaying = peal::spawn(relays, std::ref(all.inner), std::ref(all.outer));
        if (state == 1) {
            auto fills = [](memory_stream& to) -> peal::task<> {
                static_cast<void>(co_await peal::as_result(peal::timeout(1ms, to.write_all(peal::io::bytes_of("0123456789abcdefghij")))));
            };
            co_await fills(all.client);
        }
        if (state == 2) all.client.shutdown_write();
        if (state != 3) co_await peal::sleep_for(1ms);
        relaying.request_stop();
        std::string how = co_await relaying;
        CHECK(how == "canceled");
        CHECK(all.inner.is_open());  // left as they are
    }
}

}  // namespace

TEST_CASE("copy_bidirectional: passes on both directions and tells both counts") {
    support::in_simulations(relays_both, 5);
    for (unsigned workers : {1u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int i = 0; i < 10; ++i) pool.run(relays_both, pool);
    }
}

TEST_CASE("copy_bidirectional: passes on the end of one direction, and goes on with the other") { support::in_simulations(passes_half_closes, 5); }

TEST_CASE("copy_bidirectional: an error in one direction ends both") { support::in_simulations(errors_end_both, 5); }

TEST_CASE("copy_bidirectional: a stop ends both, whatever they wait for") { support::in_simulations(canceled, 5); }

TEST_CASE("copy_bidirectional: between tcp connections") {
    constexpr std::size_t size = 300'000;
    verdict judged;
    std::atomic<std::uint64_t> progress{0};
    auto ends = [](peal::net::tcp_stream& stream, verdict& found) -> peal::task<> {
        auto send = [](peal::net::tcp_stream& to) -> peal::task<> {
            std::vector<std::byte> bytes = support::pattern(size);
            co_await to.write_all(bytes);
            to.shutdown_write();
        };
        auto sending = peal::spawn(send, std::ref(stream));
        std::vector<std::byte> got(size + 1);
        std::size_t count = co_await stream.read_exactly(got);
        got.resize(count);
        found.expect(got == support::pattern(size), "not what was sent");
        co_await sending;
    };
    auto run = [&]() -> peal::task<> {
        support::stream_pair near = co_await support::connected_pair();
        support::stream_pair far = co_await support::connected_pair();
        peal::scope tasks;
        tasks.spawn(ends, std::ref(near.first), std::ref(judged));
        tasks.spawn(ends, std::ref(far.second), std::ref(judged));
        auto note = [&](std::size_t bytes) { progress += bytes; };
        auto copied = co_await peal::io::copy_bidirectional(near.second, far.first, note);
        co_await tasks.join();
        judged.expect(copied.from_first == size && copied.from_second == size, "other counts");
    };
    for (unsigned workers : {1u, 4u}) {
        progress = 0;
        peal::pool pool{peal::pool_options(workers)};
        pool.run(std::ref(run));
        CHECK(progress == 2 * size);
    }
    CHECK(judged.text() == "");
}
