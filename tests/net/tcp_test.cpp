// SPDX-License-Identifier: MIT

// TCP: what is written arrives, in every form of reading and writing; the end of a stream; what goes wrong, and how it is told.

#include <peal/net/tcp.hpp>

#include <signal.h>

#include <atomic>
#include <numeric>
#include <string>
#include <system_error>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::net::address;
using peal::net::tcp_listener;
using peal::net::tcp_stream;
using support::verdict;

namespace {

constexpr std::size_t large = 512 * 1024;

using pair = support::stream_pair;
using support::connected_pair;

enum class network { tcp, local };

/// The two ends, with a buffer on the way that holds a few KiB only.
peal::task<pair> tiny_pair(network kind) {
    pair ends = support::local_pair();
    if (kind == network::tcp) ends = co_await connected_pair();
    support::make_buffer_tiny(ends.first.native_handle());
    co_return ends;
}

peal::task<> echo_session(tcp_stream peer) {
    std::array<std::byte, 4096> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

peal::task<> serve(tcp_listener& listener, int connections) {
    peal::scope sessions(peal::on_error::keep_going);
    for (int i = 0; i < connections; ++i) sessions.spawn(echo_session, co_await listener.accept());
    co_await sessions.join();
}

peal::task<> echo_client(address server, std::uint64_t seed, verdict& judged) {
    tcp_stream stream = co_await tcp_stream::connect(server);
    judged.expect(stream.peer_address() == server, "the peer is not who was called");
    std::vector<std::byte> answer(9000);
    for (std::size_t size : {1, 2, 63, 4096, 4097, 9000}) {
        std::vector<std::byte> question = support::pattern(size, seed + size);
        std::size_t sent = co_await stream.write_all(question);
        judged.expect(sent == size, "write_all() gave another number");
        std::size_t got = co_await stream.read_exactly(std::span(answer).first(size));
        judged.expect(got == size && std::equal(question.begin(), question.end(), answer.begin()), "not what was sent");
    }
    stream.shutdown_write();
    std::size_t end = co_await stream.read(answer);
    judged.expect(end == 0, "no end of stream after the server's end");
}

void check_echo(const address& local) {
    for (unsigned workers : {1u, 4u}) {
        INFO(local.to_string() << ", " << workers << " workers");
        auto everything = [](tcp_listener& listener, verdict& judged) -> peal::task<> {
            peal::scope all;
            all.spawn(serve, std::ref(listener), 20);
            for (unsigned i = 0; i < 20; ++i) all.spawn(echo_client, listener.local_address(), i * 1000, std::ref(judged));
            co_await all.join();
        };
        peal::pool pool{peal::pool_options(workers)};
        auto listener = tcp_listener::bind(local);
        verdict judged;
        pool.run(everything, std::ref(listener), judged);
        CHECK(judged.text() == "");
    }
}

}  // namespace

TEST_CASE("tcp: echo over IPv4") { check_echo(address::parse("127.0.0.1:0")); }

TEST_CASE("tcp: echo over IPv6") {
    try {
        static_cast<void>(tcp_listener::bind("[::1]:0"));
    } catch (const std::system_error& none) {
        WARN("this machine has no IPv6: " << none.what());
        return;
    }
    check_echo(address::parse("[::1]:0"));
}

// ---- forms of reading and writing, with transfers that come in parts -----------------------------------------------------------

namespace {

peal::task<> write_in_parts(tcp_stream& stream, std::span<const std::byte> bytes, int& calls) {
    while (!bytes.empty()) {
        std::size_t n = co_await stream.write(bytes);
        ++calls;
        bytes = bytes.subspan(n);
    }
    stream.shutdown_write();
}

peal::task<> write_at_once(tcp_stream& stream, std::span<const std::byte> bytes, std::size_t& written) {
    written = co_await stream.write_all(bytes);
    stream.shutdown_write();
}

/// Cuts `bytes` into `count` pieces of different sizes, some empty.
std::vector<peal::io::const_buffer> cut(std::span<const std::byte> bytes, std::size_t count) {
    std::vector<peal::io::const_buffer> pieces;
    for (std::size_t i = 0; i + 1 < count; ++i) {
        std::size_t size = i % 7 == 3 ? 0 : std::min(bytes.size(), (i * 37) % 1000);
        pieces.emplace_back(bytes.first(size));
        bytes = bytes.subspan(size);
    }
    pieces.emplace_back(bytes);
    return pieces;
}

peal::task<> write_pieces(tcp_stream& stream, std::vector<peal::io::const_buffer>& pieces, std::size_t& written) {
    written = co_await stream.write_all(std::span<peal::io::const_buffer>(pieces));
    stream.shutdown_write();
}

peal::task<> write_pieces_in_parts(tcp_stream& stream, std::span<const std::byte> bytes, int& calls) {
    while (!bytes.empty()) {
        std::vector<peal::io::const_buffer> pieces = cut(bytes, 50);
        std::size_t n = co_await stream.write(std::span<const peal::io::const_buffer>(pieces));
        ++calls;
        bytes = bytes.subspan(n);
    }
    stream.shutdown_write();
}

peal::task<std::vector<std::byte>> read_in_parts(tcp_stream& stream, int& calls) {
    std::vector<std::byte> all;
    std::vector<std::byte> part(5000);
    while (std::size_t n = co_await stream.read(part)) {
        ++calls;
        all.insert(all.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n));
    }
    co_return all;
}

peal::task<std::vector<std::byte>> read_at_once(tcp_stream& stream, std::size_t size) {
    std::vector<std::byte> all(size);
    std::size_t n = co_await stream.read_exactly(all);
    all.resize(n);
    co_return all;
}

peal::task<std::vector<std::byte>> read_pieces(tcp_stream& stream) {
    std::vector<std::byte> all;
    std::vector<std::byte> memory(3000);
    for (;;) {
        // 10 pieces of 0, 100, .. 900 bytes at most: less than `memory`
        std::vector<peal::io::mutable_buffer> pieces;
        std::size_t used = 0;
        for (std::size_t i = 0; i < 10; ++i) {
            std::size_t size = (i * 300) % 1000;
            if (used + size > memory.size()) size = memory.size() - used;
            pieces.emplace_back(std::span(memory).subspan(used, size));
            used += size;
        }
        std::size_t n = co_await stream.read(std::span<const peal::io::mutable_buffer>(pieces));
        if (n == 0) co_return all;
        all.insert(all.end(), memory.begin(), memory.begin() + static_cast<std::ptrdiff_t>(n));
    }
}

enum class writing { parts, at_once, pieces, pieces_in_parts };
enum class reading { parts, at_once, pieces };

peal::task<bool> transfer(network kind, writing how, reading back, bool& in_parts) {
    pair ends = co_await tiny_pair(kind);
    std::vector<std::byte> bytes = support::pattern(large);
    std::vector<peal::io::const_buffer> pieces = cut(bytes, 1000);
    int writes = 0;
    int reads = 0;
    std::size_t written = large;
    peal::scope sending;
    switch (how) {
        case writing::parts: sending.spawn(write_in_parts, std::ref(ends.first), std::span<const std::byte>(bytes), std::ref(writes)); break;
        case writing::at_once: sending.spawn(write_at_once, std::ref(ends.first), std::span<const std::byte>(bytes), std::ref(written)); break;
        case writing::pieces: sending.spawn(write_pieces, std::ref(ends.first), std::ref(pieces), std::ref(written)); break;
        case writing::pieces_in_parts:
            sending.spawn(write_pieces_in_parts, std::ref(ends.first), std::span<const std::byte>(bytes), std::ref(writes));
            break;
    }
    std::vector<std::byte> arrived;
    switch (back) {
        case reading::parts: arrived = co_await read_in_parts(ends.second, reads); break;
        case reading::at_once: arrived = co_await read_at_once(ends.second, large); break;
        case reading::pieces: arrived = co_await read_pieces(ends.second); break;
    }
    co_await sending.join();
    in_parts = writes > 1 || reads > 1;
    co_return arrived == bytes && written == large;
}

}  // namespace

TEST_CASE("tcp: every form of writing meets every form of reading, with buffers that force parts") {
    unsigned workers = GENERATE(1u, 3u);
    network kind = GENERATE(network::tcp, network::local);
    peal::pool pool{peal::pool_options(workers)};
    for (writing how : {writing::parts, writing::at_once, writing::pieces, writing::pieces_in_parts}) {
        for (reading back : {reading::parts, reading::at_once, reading::pieces}) {
            INFO("writing " << static_cast<int>(how) << ", reading " << static_cast<int>(back) << ", " << workers << " workers");
            bool in_parts = false;
            CHECK(pool.run(transfer, kind, how, back, std::ref(in_parts)));
            if (how == writing::parts || how == writing::pieces_in_parts || back == reading::parts) CHECK(in_parts);
        }
    }
}

TEST_CASE("tcp: read_exactly() gives less at the end of the stream, and then nothing") {
    auto body = []() -> peal::task<> {
        pair ends = co_await connected_pair();
        std::vector<std::byte> bytes = support::pattern(1000);
        co_await ends.first.write_all(bytes);
        ends.first.shutdown_write();
        std::vector<std::byte> buffer(4000);
        std::size_t first = co_await ends.second.read_exactly(std::span(buffer).first(600));
        CHECK(first == 600);
        std::size_t rest = co_await ends.second.read_exactly(std::span(buffer).subspan(600));
        CHECK(rest == 400);
        CHECK(support::fits(std::span(buffer).first(1000), 0));
        for (int i = 0; i < 3; ++i) {
            std::size_t nothing = co_await ends.second.read_exactly(buffer);
            CHECK(nothing == 0);
            nothing = co_await ends.second.read(buffer);
            CHECK(nothing == 0);
        }
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

TEST_CASE("tcp: half close: one direction ends, the other goes on") {
    auto body = []() -> peal::task<> {
        pair ends = co_await connected_pair();
        ends.first.shutdown_write();
        std::array<std::byte, 100> buffer;
        std::size_t end = co_await ends.second.read(buffer);
        CHECK(end == 0);
        std::vector<std::byte> bytes = support::pattern(100);
        for (int i = 0; i < 10; ++i) {
            co_await ends.second.write_all(bytes);
            std::size_t got = co_await ends.first.read_exactly(buffer);
            CHECK((got == 100 && support::fits(buffer, 0)));
        }
        auto written = co_await peal::as_result(ends.first.write(bytes));
        REQUIRE_FALSE(written);
        CHECK(written.error().code() == std::errc::broken_pipe);
        CHECK(written.error().operation() == "send");
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

// ---- failures -------------------------------------------------------------------------------------------------------------------

namespace {

std::uint16_t free_port() { return tcp_listener::bind("127.0.0.1:0").local_address().port(); }

peal::task<std::string> failure_of(peal::task<tcp_stream> connecting) {
    try {
        static_cast<void>(co_await std::move(connecting));
        co_return "connected";
    } catch (const std::system_error& failure) {
        co_return failure.code() == std::errc::connection_refused ? failure.what() : std::string("other: ") + failure.what();
    }
}

}  // namespace

TEST_CASE("tcp: a refused connection says who refused, once") {
    peal::pool pool(peal::pool_options(1));
    address nobody = address::from("127.0.0.1", free_port());
    std::string expected = "connect " + nobody.to_string() + ": Connection refused";
    CHECK(pool.run(failure_of, tcp_stream::connect(nobody)) == expected);
    CHECK(pool.run(failure_of, tcp_stream::connect("127.0.0.1", std::to_string(nobody.port()))) == expected);
}

TEST_CASE("tcp: connects by name, by the first address that answers") {
    auto body = [](tcp_listener& listener) -> peal::task<bool> {
        std::string port = std::to_string(listener.local_address().port());
        auto accepting = peal::spawn([](tcp_listener& from) { return from.accept(); }, std::ref(listener));
        tcp_stream stream = co_await tcp_stream::connect("localhost", port);
        tcp_stream accepted = co_await accepting;
        co_return stream.local_address() == accepted.peer_address() && accepted.local_address() == listener.local_address();
    };
    auto listener = tcp_listener::bind("127.0.0.1:0");  // "localhost" may be ::1 first: nobody listens there
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(body, std::ref(listener)));
}

TEST_CASE("tcp: a name that cannot be found is the resolver's error") {
    peal::pool pool(peal::pool_options(1));
    std::string impossible(80, 'x');
    std::string said = pool.run(failure_of, tcp_stream::connect(impossible, "80"));
    CHECK(said.starts_with("other: resolve " + impossible + ":80: "));
}

TEST_CASE("tcp: bind says which address is taken, or cannot be") {
    auto listener = tcp_listener::bind("127.0.0.1:0");
    std::string taken = listener.local_address().to_string();
    try {
        static_cast<void>(tcp_listener::bind(taken));
        FAIL("bound twice");
    } catch (const std::system_error& failure) {
        CHECK(failure.code() == std::errc::address_in_use);
        CHECK(std::string(failure.what()).find(taken) != std::string::npos);
    }
    CHECK_THROWS_AS(tcp_listener::bind("192.0.2.77:1"), std::system_error);  // nobody's address (RFC 5737)
    CHECK_THROWS_AS(tcp_listener::bind("nonsense"), std::system_error);
}

namespace {

peal::task<> reset_later(support::raw_socket& peer, bool data_first) {
    co_await peal::sleep_for(2ms);
    if (data_first) CHECK(::send(peer.get(), "x", 1, MSG_NOSIGNAL) == 1);
    peer.reset();
}

}  // namespace

TEST_CASE("tcp: a reset is connection_reset for the one who reads") {
    auto body = [](bool data_first) -> peal::task<> {
        auto listener = tcp_listener::bind("127.0.0.1:0");
        support::raw_socket peer = support::connect_raw(listener.local_address());
        tcp_stream stream = co_await listener.accept();
        auto resetting = peal::spawn(reset_later, std::ref(peer), data_first);
        std::array<std::byte, 10> buffer;
        for (;;) {
            auto got = co_await peal::as_result(stream.read(buffer));
            if (got && *got == 1) continue;  // the byte before it
            REQUIRE_FALSE(got);
            CHECK(got.error().code() == std::errc::connection_reset);
            CHECK(got.error().operation() == "recv");
            break;
        }
        co_await resetting;
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body, false);
    pool.run(body, true);
}

namespace {
std::atomic<int> pipe_signals{0};
}

TEST_CASE("tcp: writing to a closed peer is broken_pipe, in every form, and no SIGPIPE comes") {
    struct sigaction counting {}, before {};
    counting.sa_handler = [](int) { ++pipe_signals; };
    ::sigaction(SIGPIPE, &counting, &before);
    auto body = [](int form) -> peal::task<> {
        pair ends = co_await connected_pair();
        ends.second.close();
        std::vector<std::byte> bytes = support::pattern(1000);
        std::error_code failure;
        for (int i = 0; i < 1000 && failure != std::errc::broken_pipe; ++i) {
            std::vector<peal::io::const_buffer> pieces(3, peal::io::const_buffer(bytes));
            if (form == 0) {
                auto written = co_await peal::as_result(ends.first.write(bytes));
                if (!written) failure = written.error().code();
            } else if (form == 1) {
                auto written = co_await peal::as_result(ends.first.write_all(bytes));
                if (!written) failure = written.error().code();
            } else if (form == 2) {
                auto written = co_await peal::as_result(ends.first.write(std::span<const peal::io::const_buffer>(pieces)));
                if (!written) failure = written.error().code();
            } else {
                auto written = co_await peal::as_result(ends.first.write_all(std::span<peal::io::const_buffer>(pieces)));
                if (!written) failure = written.error().code();
            }
            // The first write may be answered by a reset only after it has succeeded.
            if (failure) CHECK((failure == std::errc::broken_pipe || failure == std::errc::connection_reset));
            co_await peal::sleep_for(100us);
        }
        CHECK(failure == std::errc::broken_pipe);
    };
    {
        peal::pool pool(peal::pool_options(1));
        for (int form : {0, 1, 2, 3}) pool.run(body, form);
    }
    ::sigaction(SIGPIPE, &before, nullptr);
    CHECK(pipe_signals == 0);
}

TEST_CASE("tcp: an operation on a closed stream is an error, not a crash") {
    auto body = []() -> peal::task<> {
        tcp_stream stream;
        std::array<std::byte, 10> buffer{};
        auto got = co_await peal::as_result(stream.read(buffer));
        REQUIRE_FALSE(got);
        CHECK(got.error().code() == std::errc::bad_file_descriptor);
        auto written = co_await peal::as_result(stream.write_all(buffer));
        REQUIRE_FALSE(written);
        CHECK(written.error().code() == std::errc::bad_file_descriptor);
        CHECK_FALSE(stream.is_open());
        stream.close();
        CHECK_THROWS_AS(stream.shutdown_write(), std::system_error);
        CHECK_THROWS_AS(stream.peer_address(), std::system_error);
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}
