// SPDX-License-Identifier: MIT

// Closing and destroying sockets while operations wait on them: those end, and no operation ever meets another socket that got the
// same descriptor number.

#include <peal/net/tcp.hpp>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
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

/// Awaits an operation and says so once it is begun: from then on the stream may be closed on any worker.
template <class Operation>
class announced {
  public:
    announced(Operation& operation, std::atomic<int>& begun) : operation_(operation), begun_(begun) {}
    bool await_ready() noexcept { return operation_.await_ready(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        std::atomic<int>& begun = begun_;
        bool suspended = operation_.await_suspend(awaiting);
        ++begun;  // the operation, and this object, may be gone
        return suspended;
    }
    auto await_resume() { return operation_.result(); }

  private:
    Operation& operation_;
    std::atomic<int>& begun_;
};

/// "0", a number of bytes, or the error.
peal::task<std::string> read_end(tcp_stream& stream, std::atomic<int>& begun) {
    std::array<std::byte, 100> buffer;
    auto reading = stream.read(buffer);
    announced awaited(reading, begun);
    auto got = co_await awaited;
    co_return got ? std::to_string(*got) : got.error().code().message();
}
peal::task<std::string> write_end(tcp_stream& stream, std::atomic<int>& begun) {
    static const std::vector<std::byte> much(8 << 20);  // more than the system buffers
    auto writing = stream.write_all(much);
    announced awaited(writing, begun);
    auto written = co_await awaited;
    co_return written ? std::to_string(*written) : written.error().code().message();
}
peal::task<std::string> accept_end(tcp_listener& listener) {
    try {
        static_cast<void>(co_await listener.accept());
        co_return "accepted";
    } catch (const std::system_error& failure) {
        co_return failure.code() == std::errc::invalid_argument ? "invalid argument" : failure.what();
    }
}

bool is_end_of_reading(const std::string& end) {
    return end == "0" || end == std::make_error_code(std::errc::connection_reset).message();
}
bool is_end_of_writing(const std::string& end) {
    return end == std::make_error_code(std::errc::broken_pipe).message() ||
           end == std::make_error_code(std::errc::connection_reset).message();
}

template <class T>
peal::task<T> on_worker(peal::pool& pool, unsigned worker, peal::task<T> then) {
    co_await pool.schedule_on(worker);
    co_return co_await std::move(then);
}

enum class ending { close, destroy, replace };

peal::task<> end_stream(std::unique_ptr<tcp_stream>& stream, ending how) {
    switch (how) {
        case ending::close: stream->close(); break;
        case ending::destroy: stream.reset(); break;
        case ending::replace: *stream = tcp_stream(); break;
    }
    co_return;
}

peal::task<> close_under_waiters(peal::pool& pool, unsigned reader, unsigned closer, ending how, bool in_kernel,
                                 verdict& judged) {
    stream_pair ends = co_await support::connected_pair();
    support::make_buffer_tiny(ends.first.native_handle());
    auto stream = std::make_unique<tcp_stream>(std::move(ends.first));
    std::atomic<int> begun{0};
    auto reading = pool.spawn(on_worker<std::string>, pool, reader, read_end(*stream, begun));
    auto writing = pool.spawn(on_worker<std::string>, pool, reader, write_end(*stream, begun));
    while (begun != 2) co_await peal::sleep_for(100us);
    co_await peal::sleep_for(in_kernel ? 3ms : 0ms);
    auto closing = pool.spawn(on_worker<void>, pool, closer, end_stream(stream, how));
    co_await closing;
    std::string read = co_await reading;
    std::string written = co_await writing;
    judged.expect(is_end_of_reading(read), "a read ended with " + read);
    judged.expect(is_end_of_writing(written), "a write ended with " + written);
    // The peer hears of it.
    std::vector<std::byte> rest(1 << 16);
    for (;;) {
        auto got = co_await peal::as_result(ends.second.read(rest));
        if (!got || *got == 0) break;
    }
}

peal::task<std::string> accept_on(peal::pool& pool, unsigned worker, tcp_listener& listener) {
    co_await pool.schedule_on(worker);
    co_return co_await accept_end(listener);
}

/// Begins an accept on each worker, and returns when each is waiting: a worker is here again after it was there.
peal::task<> close_under_accepts(peal::pool& pool, unsigned closer, verdict& judged) {
    tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
    std::vector<peal::join_handle<std::string>> accepting;
    for (unsigned i = 0; i < 10; ++i) {
        accepting.push_back(pool.spawn(accept_on, pool, i % pool.size(), std::ref(listener)));
    }
    for (int i = 0; i < 20; ++i) {
        for (unsigned worker = 0; worker < pool.size(); ++worker) {
            co_await peal::sleep_for(200us);
            co_await pool.schedule_on(worker);
        }
    }
    co_await pool.schedule_on(closer);
    listener.close();
    for (auto& each : accepting) {
        std::string end = co_await each;
        judged.expect(end == "invalid argument", "an accept ended with " + end);
    }
    std::string after = co_await accept_end(listener);
    judged.expect(after.find("accept") != std::string::npos, "accept on a closed listener: " + after);
}

}  // namespace

TEST_CASE("tcp close: reads and writes that wait end, wherever the stream is closed, replaced or destroyed") {
    peal::pool pool(peal::pool_options(2));
    verdict judged;
    for (ending how : {ending::close, ending::destroy, ending::replace}) {
        for (bool in_kernel : {true, false}) {
            pool.run(close_under_waiters, pool, 0u, 0u, how, in_kernel, judged);
            pool.run(close_under_waiters, pool, 0u, 1u, how, in_kernel, judged);
            pool.run(close_under_waiters, pool, 1u, 0u, how, in_kernel, judged);
        }
    }
    CHECK(judged.text() == "");
}

TEST_CASE("tcp close: a listener that is closed ends all its accepts") {
    peal::pool pool(peal::pool_options(2));
    verdict judged;
    pool.run(close_under_accepts, pool, 0u, judged);
    pool.run(close_under_accepts, pool, 1u, judged);
    CHECK(judged.text() == "");
}

// ---- descriptor numbers are used again --------------------------------------------------------------------------------------------
// An operation that was begun in a round, and not handed to the kernel yet, must not find the next socket under its number.

namespace {

constexpr std::string_view secret = "for somebody else";

/// The number of `stream`, if the next socket got it; with bytes in it to read, and room to write.
std::optional<stream_pair> next_socket(int number) {
    stream_pair next = support::local_pair();
    static_cast<void>(::send(next.first.native_handle(), secret.data(), secret.size(), MSG_NOSIGNAL));
    static_cast<void>(::send(next.second.native_handle(), secret.data(), secret.size(), MSG_NOSIGNAL));
    if (next.first.native_handle() != number && next.second.native_handle() != number) return std::nullopt;
    return next;
}

peal::task<> reuse_in_one_round(peal::pool& pool, verdict& judged, int& reused) {
    stream_pair ends = co_await support::connected_pair();
    int number = ends.first.native_handle();
    std::atomic<int> begun{0};
    auto reading = pool.spawn(read_end, std::ref(ends.first), std::ref(begun));
    co_await pool.schedule();  // the reader runs, and its operation waits for the end of the round
    ends.first.close();
    std::optional<stream_pair> next = next_socket(number);
    if (next) ++reused;
    std::string end = co_await reading;
    judged.expect(is_end_of_reading(end), "a read of a closed stream ended with " + end);
}

peal::task<std::string> read_and_stay_busy(tcp_stream& stream, std::atomic<int>& begun) {
    // Runs after the reader on the same worker, and keeps it from handing anything over while the other one closes.
    auto busy = peal::spawn([] { support::spin_for(200us); });
    std::string end = co_await read_end(stream, begun);
    co_await busy;
    co_return end;
}

peal::task<> reuse_across_workers(peal::pool& pool, verdict& judged, int& reused) {
    co_await pool.schedule_on(1);
    stream_pair ends = co_await support::connected_pair();
    co_await pool.schedule_on(1);
    int number = ends.first.native_handle();
    std::atomic<int> begun{0};
    auto reading = pool.spawn(on_worker<std::string>, pool, 0u, read_and_stay_busy(ends.first, begun));
    while (begun == 0) {  // busy, so that nothing lies between the other worker's word and the closing
    }
    ends.first.close();
    std::optional<stream_pair> next = next_socket(number);
    if (next) ++reused;
    std::string end = co_await reading;
    judged.expect(is_end_of_reading(end), "a read of a closed stream ended with " + end);
}

}  // namespace

TEST_CASE("tcp close: an operation begun in the same round never reaches the next socket of that number") {
    peal::pool pool(peal::pool_options(1));
    verdict judged;
    int reused = 0;
    for (int i = 0; i < 200; ++i) pool.run(reuse_in_one_round, pool, judged, std::ref(reused));
    CHECK(judged.text() == "");
}

TEST_CASE("tcp close: the same when another worker closes") {
    peal::pool pool(peal::pool_options(2));
    verdict judged;
    int reused = 0;
    for (int i = 0; i < 200; ++i) pool.run(reuse_across_workers, pool, judged, std::ref(reused));
    CHECK(judged.text() == "");
}

namespace {

// Readers, writers and closers in disorder; every byte on a connection carries its number. All tasks of a connection use it on
// one worker, so that none begins an operation while another closes.

peal::task<> read_own(peal::pool& pool, unsigned worker, tcp_stream& stream, std::byte own, verdict& judged) {
    std::array<std::byte, 64> buffer;
    for (;;) {
        co_await pool.schedule_on(worker);
        auto got = co_await peal::as_result(stream.read(buffer));
        if (!got || *got == 0) break;
        bool right = std::all_of(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*got),
                                 [own](std::byte each) { return each == own; });
        if (!judged.expect(right, "bytes of another connection")) break;
    }
}

peal::task<> write_own(peal::pool& pool, unsigned worker, tcp_stream& stream, std::byte own, verdict& judged) {
    std::vector<std::byte> bytes(1 + 3 * static_cast<std::size_t>(own), own);
    for (;;) {
        co_await pool.schedule_on(worker);
        auto written = co_await peal::as_result(stream.write_all(bytes));
        if (!written) break;
        judged.expect(*written == bytes.size(), "write_all() gave another number without an error");
    }
}

peal::task<> life_of_connection(peal::pool& pool, unsigned worker, std::uint64_t seed, verdict& judged) {
    std::mt19937_64 random(seed);
    stream_pair ends = co_await support::connected_pair();
    auto own = static_cast<std::byte>(seed);
    co_await pool.schedule_on(worker);
    peal::scope users;
    for (tcp_stream* each : {&ends.first, &ends.second}) {
        users.spawn(read_own, pool, std::ref(worker), std::ref(*each), own, std::ref(judged));
        users.spawn(write_own, pool, std::ref(worker), std::ref(*each), own, std::ref(judged));
    }
    tcp_stream* order[] = {&ends.first, &ends.second};
    if (random() % 2 == 0) std::swap(order[0], order[1]);
    for (tcp_stream* each : order) {
        auto hops = random() % 20;
        for (std::uint64_t i = 0; i < hops; ++i) co_await pool.schedule();
        co_await pool.schedule_on(worker);
        each->close();
    }
    co_await users.join();
}

peal::task<> many_lives(peal::pool& pool, std::uint64_t first, verdict& judged) {
    for (std::uint64_t i = 0; i < 150; ++i) {
        unsigned worker = static_cast<unsigned>(i % pool.size());
        co_await life_of_connection(pool, worker, first * 1000 + i, judged);
    }
}

}  // namespace

TEST_CASE("tcp close: connections that come and go at random keep their bytes apart") {
    auto body = [](peal::pool& pool, verdict& judged) -> peal::task<> {
        peal::scope all;
        for (std::uint64_t i = 0; i < 8; ++i) all.spawn(many_lives, pool, i, std::ref(judged));
        co_await all.join();
    };
    peal::pool pool(peal::pool_options(3));
    verdict judged;
    pool.run(body, pool, judged);
    CHECK(judged.text() == "");
}
