// SPDX-License-Identifier: MIT

// Canceling TCP operations: each of them, from each kind of thread; and cancellation that races with completion, where no byte and
// no connection may be lost.

#include <peal/net/tcp.hpp>

#include <fcntl.h>
#include <sys/ioctl.h>

#include <atomic>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/tcp_pair.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::net::tcp_listener;
using peal::net::tcp_stream;
using support::stream_pair;
using support::verdict;

namespace {

constexpr int rounds = 5000;

enum class what { accept, connect, read, read_exactly, read_pieces, write, write_all, write_pieces };
constexpr what everything[] = {what::accept,      what::connect, what::read,      what::read_exactly,
                               what::read_pieces, what::write,   what::write_all, what::write_pieces};

/// What the operations work on: a connection on which nothing arrives, a listener that nobody calls, one that does not answer.
class quiet_network {
  public:
    explicit quiet_network(stream_pair connected) : ends(std::move(connected)) {
        support::make_buffer_tiny(ends.first.native_handle());
        auto to = deaf.local_address();
        for (support::raw_socket& each : callers) {
            each = support::raw_socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            static_cast<void>(::connect(each.get(), static_cast<const sockaddr*>(to.data()), static_cast<socklen_t>(to.size())));
        }
    }
    stream_pair ends;
    tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
    tcp_listener deaf = tcp_listener::bind(peal::net::address::parse("127.0.0.1:0"), peal::net::listen_options(0));  // its backlog is full
    std::vector<std::byte> bytes = std::vector<std::byte>(1 << 16);

  private:
    support::raw_socket callers[4];
};

/// Runs until it is canceled.
peal::task<> operate(what kind, quiet_network& network) {
    std::span<std::byte> bytes(network.bytes);
    peal::io::mutable_buffer read_pieces[2] = {bytes.first(10), bytes.last(10)};
    for (;;) {
        peal::io::const_buffer write_pieces[2] = {std::span<const std::byte>(bytes), std::span<const std::byte>(bytes)};
        switch (kind) {
            case what::accept: static_cast<void>(co_await network.listener.accept()); break;
            case what::connect: static_cast<void>(co_await tcp_stream::connect(network.deaf.local_address())); break;
            case what::read: static_cast<void>(co_await network.ends.first.read(bytes)); break;
            case what::read_exactly: static_cast<void>(co_await network.ends.first.read_exactly(bytes)); break;
            case what::read_pieces:
                static_cast<void>(co_await network.ends.first.read(std::span<const peal::io::mutable_buffer>(read_pieces)));
                break;
            case what::write: static_cast<void>(co_await network.ends.first.write(bytes)); break;
            case what::write_all: static_cast<void>(co_await network.ends.first.write_all(bytes)); break;
            case what::write_pieces:
                static_cast<void>(co_await network.ends.first.write_all(std::span<peal::io::const_buffer>(write_pieces)));
                break;
        }
    }
}

peal::task<> operate_on(peal::pool& pool, unsigned worker, what kind, quiet_network& network) {
    co_await pool.schedule_on(worker);
    co_await operate(kind, network);
}

peal::task<bool> ends_canceled(peal::join_handle<> operation) {
    try {
        co_await operation;
    } catch (const std::system_error& failure) {
        co_return failure.code() == std::errc::operation_canceled;
    }
    co_return false;
}

/// Stops an operation of worker 0 from worker `stopper`.
peal::task<bool> stopped_by_worker(peal::pool& pool, unsigned stopper, what kind, quiet_network& network) {
    co_await pool.schedule_on(stopper);
    auto operation = pool.spawn(operate_on, pool, 0u, kind, std::ref(network));
    co_await peal::sleep_for(5ms);
    operation.request_stop();
    co_return co_await ends_canceled(std::move(operation));
}

}  // namespace

TEST_CASE("tcp cancel: every operation in flight ends as canceled, whoever asks") {
    peal::pool pool(peal::pool_options(2));
    quiet_network network(pool.run(support::connected_pair));
    for (what kind : everything) {
        INFO("operation " << static_cast<int>(kind));
        CHECK(pool.run(stopped_by_worker, pool, 0u, kind, std::ref(network)));  // by its own worker
        CHECK(pool.run(stopped_by_worker, pool, 1u, kind, std::ref(network)));  // by another worker
        auto operation = pool.spawn(operate_on, pool, 0u, kind, std::ref(network));
        std::this_thread::sleep_for(5ms);
        operation.request_stop();  // by a thread that is no worker
        CHECK(pool.run(ends_canceled, std::move(operation)));
    }
}

TEST_CASE("tcp cancel: a task that was asked to stop begins no operation") {
    auto body = []() -> peal::task<> {
        stream_pair ends = co_await support::connected_pair();
        std::vector<std::byte> bytes = support::pattern(100);
        co_await ends.second.write_all(bytes);
        auto reading = peal::spawn(
            [](tcp_stream& stream) -> peal::task<> {
                std::array<std::byte, 100> buffer;
                static_cast<void>(co_await stream.read_exactly(buffer));
            },
            std::ref(ends.first));
        reading.request_stop();  // it has not run yet: this worker is the only one
        bool canceled = co_await ends_canceled(std::move(reading));
        CHECK(canceled);
        std::vector<std::byte> buffer(100);
        std::size_t still_there = co_await ends.first.read_exactly(buffer);
        CHECK(still_there == 100);
        CHECK(buffer == bytes);
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

namespace {

peal::task<std::size_t> read_exactly_on(peal::pool& pool, unsigned worker, tcp_stream& stream, std::span<std::byte> into) {
    co_await pool.schedule_on(worker);
    co_return co_await stream.read_exactly(into);
}

/// True when nothing lies in the socket's buffer: the reader has taken it.
bool becomes_empty(int fd) {
    auto deadline = std::chrono::steady_clock::now() + 20s;  // a guard against a hang
    for (int waiting = 1; std::chrono::steady_clock::now() < deadline; std::this_thread::yield()) {
        if (::ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0) return true;
    }
    return false;
}

peal::task<> stop_on(peal::pool& pool, unsigned worker, peal::stop_handle task) {
    co_await pool.schedule_on(worker);
    task.request_stop();
}

}  // namespace

TEST_CASE("tcp cancel: a read_exactly that has received bytes reports them, and the next read goes on behind them") {
    peal::pool pool(peal::pool_options(2));
    stream_pair ends = pool.run(support::connected_pair);
    std::vector<std::byte> buffer(1000);
    std::uint64_t position = 0;
    auto send = [&](std::size_t size_bytes, std::uint64_t from) {
        std::vector<std::byte> bytes = support::pattern(size_bytes, from);
        REQUIRE(::send(ends.second.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(size_bytes));
    };
    for (int who = 0; who < 3; ++who) {
        for (std::size_t portions : {1u, 3u}) {
            auto reading = pool.spawn(read_exactly_on, pool, 0u, std::ref(ends.first), std::span<std::byte>(buffer));
            for (std::size_t i = 0; i < portions; ++i) {
                send(100, position + 100 * i);
                REQUIRE(becomes_empty(ends.first.native_handle()));
            }
            std::this_thread::sleep_for(5ms);  // it waits for more
            CHECK_FALSE(reading.has_ended());
            if (who < 2) {
                pool.run(stop_on, pool, static_cast<unsigned>(who), reading.stop_handle());
            } else {
                reading.request_stop();
            }
            auto count = pool.run([](peal::join_handle<std::size_t> ended) -> peal::task<std::size_t> { co_return co_await ended; },
                                  std::move(reading));
            REQUIRE(count == 100 * portions);
            CHECK(support::fits(std::span(buffer).first(count), position));
            position += count;
            send(1000, position);
            REQUIRE(pool.run(read_exactly_on, pool, 0u, std::ref(ends.first), std::span<std::byte>(buffer)) == 1000);
            CHECK(support::fits(buffer, position));
            position += 1000;
        }
    }
}

// ---- cancellation races with completion ------------------------------------------------------------------------------------------

namespace {

using moved = std::optional<std::size_t>;  // none: canceled

peal::task<moved> read_once(tcp_stream& stream, std::span<std::byte> into) {
    auto result = co_await peal::as_result(stream.read(into));
    if (result) co_return *result;
    if (!result.error().is_canceled()) result.error().raise();
    co_return std::nullopt;
}
peal::task<moved> read_exactly_once(tcp_stream& stream, std::span<std::byte> into) {
    auto result = co_await peal::as_result(stream.read_exactly(into));
    if (result) co_return *result;
    if (!result.error().is_canceled()) result.error().raise();
    co_return std::nullopt;
}
peal::task<moved> write_once(tcp_stream& stream, std::span<const std::byte> from) {
    auto result = co_await peal::as_result(stream.write(from));
    if (result) co_return *result;
    if (!result.error().is_canceled()) result.error().raise();
    co_return std::nullopt;
}

peal::task<> stop_later(peal::stop_handle task, unsigned hops, peal::pool& pool) {
    for (unsigned i = 0; i < hops; ++i) co_await pool.schedule();
    task.request_stop();
}

/// Who asks to stop, by the round: the thread outside, or a task on any worker.
void stop_somehow(peal::pool& pool, support::stopper& outside, std::mt19937_64& random, peal::stop_handle task) {
    if (random() % 2 == 0) {
        outside.stop_after(std::chrono::nanoseconds(random() % 40'000), task);
    } else {
        pool.spawn(stop_later, task, static_cast<unsigned>(random() % 4), pool).detach();
    }
}

using read_function = peal::task<moved> (*)(tcp_stream&, std::span<std::byte>);

peal::task<> reads_race(peal::pool& pool, read_function read_some, tcp_stream& stream, support::stopper& outside, verdict& judged,
                        std::uint64_t& read, int& canceled) {
    std::mt19937_64 random(1);
    std::vector<std::byte> buffer(64);
    for (int i = 0; i < rounds; ++i) {
        auto reading = pool.spawn(read_some, std::ref(stream), std::span<std::byte>(buffer));
        stop_somehow(pool, outside, random, reading.stop_handle());
        moved count = co_await reading;
        if (!count) {
            ++canceled;
            continue;
        }
        judged.expect(*count != 0, "the stream has ended");
        judged.expect(support::fits(std::span(buffer).first(*count), read), "wrong bytes at " + std::to_string(read));
        read += *count;
    }
}

/// Sends the pattern in small portions until told to stop; then ends the stream.
std::uint64_t trickle(int fd, const std::atomic<bool>& enough) {
    std::mt19937_64 random(2);
    std::uint64_t sent = 0;
    while (!enough.load()) {
        std::vector<std::byte> portion = support::pattern(1 + random() % 20, sent);
        if (::send(fd, portion.data(), portion.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(portion.size())) break;
        sent += portion.size();
        support::spin_for(std::chrono::nanoseconds(random() % 60'000));
    }
    ::shutdown(fd, SHUT_WR);
    return sent;
}

peal::task<std::uint64_t> read_the_rest(tcp_stream& stream, std::uint64_t position, verdict& judged) {
    std::vector<std::byte> buffer(4096);
    while (std::size_t n = co_await stream.read(buffer)) {
        judged.expect(support::fits(std::span(buffer).first(n), position), "wrong bytes in the rest");
        position += n;
    }
    co_return position;
}

}  // namespace

TEST_CASE("tcp cancel: a read that races with data gives the data or leaves it") {
    unsigned workers = GENERATE(1u, 2u);
    read_function read_some = GENERATE(read_function(read_once), read_function(read_exactly_once));
    peal::pool pool{peal::pool_options(workers)};
    stream_pair ends = pool.run(support::connected_pair);
    verdict judged;
    std::uint64_t read = 0;
    std::uint64_t sent = 0;
    int canceled = 0;
    std::atomic<bool> enough{false};
    {
        support::stopper outside;
        std::thread sender([&] { sent = trickle(ends.second.native_handle(), enough); });
        pool.run(reads_race, pool, read_some, std::ref(ends.first), std::ref(outside), judged, std::ref(read), std::ref(canceled));
        enough = true;
        sender.join();
    }
    CHECK(pool.run(read_the_rest, std::ref(ends.first), read, judged) == sent);
    CHECK(judged.text() == "");
    CHECK(canceled > 0);
    CHECK(canceled < rounds);
}

namespace {

peal::task<> writes_race(peal::pool& pool, tcp_stream& stream, support::stopper& outside, std::uint64_t& written, int& canceled) {
    std::mt19937_64 random(3);
    for (int i = 0; i < rounds; ++i) {
        std::vector<std::byte> portion = support::pattern(1 + random() % 3000, written);
        auto writing = pool.spawn(write_once, std::ref(stream), std::span<const std::byte>(portion));
        stop_somehow(pool, outside, random, writing.stop_handle());
        moved count = co_await writing;
        if (count) {
            written += *count;
        } else {
            ++canceled;
        }
    }
    stream.shutdown_write();
}

/// Reads slowly enough that the writer waits now and then.
std::uint64_t drain(int fd, verdict& judged) {
    std::mt19937_64 random(4);
    std::uint64_t read = 0;
    std::vector<std::byte> buffer(8000);
    for (;;) {
        ssize_t got = ::recv(fd, buffer.data(), 1 + random() % buffer.size(), 0);
        if (got <= 0) return read;
        judged.expect(support::fits(std::span(buffer).first(static_cast<std::size_t>(got)), read), "wrong bytes");
        read += static_cast<std::uint64_t>(got);
        if (random() % 8 == 0) support::spin_for(std::chrono::nanoseconds(random() % 100'000));
    }
}

}  // namespace

TEST_CASE("tcp cancel: a write that races with room says what it wrote") {
    unsigned workers = GENERATE(1u, 2u);
    peal::pool pool{peal::pool_options(workers)};
    stream_pair ends = pool.run(support::connected_pair);
    support::make_buffer_tiny(ends.first.native_handle());
    verdict judged;
    std::uint64_t written = 0;
    std::uint64_t arrived = 0;
    int canceled = 0;
    {
        support::stopper outside;
        std::thread reader([&] { arrived = drain(ends.second.native_handle(), judged); });
        pool.run(writes_race, pool, std::ref(ends.first), std::ref(outside), std::ref(written), std::ref(canceled));
        reader.join();
    }
    CHECK(arrived == written);
    CHECK(judged.text() == "");
    CHECK(canceled > 0);
    CHECK(canceled < rounds);
}

namespace {

peal::task<std::optional<tcp_stream>> accept_once(tcp_listener& listener) {
    auto accepted = co_await peal::as_result(listener.accept());
    std::optional<tcp_stream> stream;
    if (accepted) {
        stream.emplace(std::move(*accepted));
    } else if (!accepted.error().is_canceled()) {
        accepted.error().raise();
    }
    co_return stream;
}

/// Greets `connections` callers, with accepts that are canceled at random.
peal::task<int> accepts_race(peal::pool& pool, tcp_listener& listener, support::stopper& outside, int connections) {
    std::mt19937_64 random(5);
    std::byte greeting{42};
    int canceled = 0;
    for (int greeted = 0; greeted < connections;) {
        auto accepting = pool.spawn(accept_once, std::ref(listener));
        stop_somehow(pool, outside, random, accepting.stop_handle());
        std::optional<tcp_stream> stream = co_await accepting;
        if (!stream) {
            ++canceled;
            continue;
        }
        co_await stream->write_all(std::span(&greeting, 1));
        ++greeted;
    }
    co_return canceled;
}

}  // namespace

TEST_CASE("tcp cancel: an accept that races with a caller delivers it or leaves it in the backlog") {
    constexpr int connections = 1500;
    peal::pool pool(peal::pool_options(2));
    tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
    int greeted = 0;
    std::thread callers([&] {
        std::mt19937_64 random(6);
        auto to = listener.local_address();
        for (int i = 0; i < connections; ++i) {
            support::raw_socket caller = support::connect_raw(to);
            char greeting = 0;
            // A connection that was accepted and lost would end here without a greeting.
            if (::recv(caller.get(), &greeting, 1, 0) == 1 && greeting == 42) ++greeted;
            support::spin_for(std::chrono::nanoseconds(random() % 50'000));
        }
    });
    int canceled;
    {
        support::stopper outside;
        canceled = pool.run(accepts_race, pool, std::ref(listener), std::ref(outside), connections);
    }
    callers.join();
    CHECK(greeted == connections);
    CHECK(canceled > 0);
}
