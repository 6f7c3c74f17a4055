// SPDX-License-Identifier: MIT

#include <peal/io/buffered_writer.hpp>

#include <array>
#include <string>
#include <vector>

#include <peal/io/memory_stream.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"
#include "support/scripted_stream.hpp"

namespace {

using namespace std::chrono_literals;
using support::scripted_stream;
using writer = peal::io::buffered_writer<scripted_stream>;

static_assert(peal::io::writable<writer>);
static_assert(peal::io::writable<peal::io::buffered_writer<peal::net::tcp_stream>>);

std::string letters(std::size_t count, std::uint32_t first) {
    std::string text(count, ' ');
    for (std::size_t i = 0; i < count; ++i) text[i] = static_cast<char>('a' + (first + i) % 26);
    return text;
}

peal::task<> writes_at_random(writer& to, std::string& expected, support::lots& random) {
    for (int i = 0; i < 30; ++i) {
        std::string text = letters(random.below(2 * static_cast<std::uint32_t>(to.capacity()) + 2), random.below(26));
        switch (random.below(4)) {
            case 0: {
                bool fits = text.size() <= to.room();
                bool taken = to.try_write(peal::io::bytes_of(text));
                CHECK(taken == fits);
                if (taken) expected += text;
                break;
            }
            case 1: co_await to.flush(); CHECK(to.unflushed() == 0); break;
            default: {
                std::size_t count = co_await to.write(text);
                CHECK(count == text.size());
                expected += text;
                break;
            }
        }
        CHECK(to.unflushed() + to.room() == to.capacity());
    }
    co_await to.flush();
}

}  // namespace

TEST_CASE("buffered_writer: what is written arrives in order, whatever the sizes") {
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        support::lots random(seed);
        std::vector<std::size_t> pieces(100);
        for (std::size_t& each : pieces) each = 1 + random.below(20);
        scripted_stream stream("", pieces);
        std::string expected;
        writer to(stream, 1 + random.below(30));
        peal::sync_wait(writes_at_random(to, expected, random));
        INFO("seed " << seed);
        REQUIRE(stream.written == expected);
    }
}

TEST_CASE("buffered_writer: small writes are collected, large ones written from where they are") {
    constexpr std::size_t capacity = 10;
    auto write = [](writer& to, std::string_view text) -> peal::task<> { co_await to.write(text); };
    for (std::size_t first : {std::size_t{0}, std::size_t{4}, capacity - 1}) {
        for (std::size_t second : {std::size_t{0}, std::size_t{1}, capacity - first - 1, capacity - first, capacity - first + 1, capacity - 1,
                                   capacity, capacity + 1, std::size_t{100}}) {
            CAPTURE(first, second);
            scripted_stream stream;
            writer to(stream, capacity);
            peal::sync_wait(write(to, letters(first, 0)));
            CHECK(stream.writes == 0);
            std::string text = letters(second, 7);
            auto writing = to.write(text);
            bool fits = first + second <= capacity && second < capacity;
            CHECK(writing.await_ready() == fits);
            if (fits) {
                CHECK(writing.await_resume() == second);
                CHECK(stream.writes == 0);
                CHECK(to.unflushed() == first + second);
            } else {
                peal::sync_wait(write(to, text));
                bool goes_past = second >= capacity;
                CHECK(stream.writes == (first != 0 ? 1u : 0u) + (goes_past ? 1u : 0u));
                CHECK(to.unflushed() == (goes_past ? 0 : second));
            }
        }
    }
    scripted_stream stream;
    writer to(stream, capacity);
    CHECK(to.flush().await_ready());
    CHECK(to.try_write(peal::io::bytes_of("0123456789")));
    CHECK_FALSE(to.try_write(peal::io::bytes_of("a")));
    CHECK(to.try_write({}));
    CHECK_FALSE(to.flush().await_ready());
}

namespace {

peal::task<> flushes(writer& to) { co_await to.flush(); }
peal::task<> writes(writer& to, std::string_view text) { co_await to.write(text); }

template <class Fn>
peal::task<std::error_code> stopped(peal::join_handle<> waiting, Fn before) {
    co_await peal::sleep_for(1ms);
    before();
    waiting.request_stop();
    std::error_code how;
    try {
        co_await waiting;
    } catch (const std::system_error& failure) {
        how = failure.code();
    }
    co_return how;
}

peal::task<> canceled_everywhere(peal::pool&) {
    const std::string text = letters(16, 0);
    auto nothing = [] {};
    for (std::size_t room = 0; room < 16; ++room) {
        CAPTURE(room);
        // flush(), when so many bytes have gone: the rest goes when there is room again.
        scripted_stream stream("", {}, scripted_stream::at_end::wait);
        stream.room = room;
        writer to(stream, 16);
        co_await to.write(std::string_view(text).substr(0, 15));
        CHECK(to.try_write(peal::io::bytes_of(std::string_view(text).substr(15))));
        std::error_code how = co_await stopped(peal::spawn(flushes, std::ref(to)), nothing);
        CHECK(how == std::errc::operation_canceled);
        CHECK(to.unflushed() == 16 - room);
        bool taken = to.try_write(peal::io::bytes_of(letters(room, 16)));  // the room that it left is of use
        CHECK(taken);
        CHECK(to.room() == 0);

        // write(), for which something else must go first: nothing of it was taken.
        stream.room = 0;
        how = co_await stopped(peal::spawn(writes, std::ref(to), std::string_view("lost")), nothing);
        CHECK(how == std::errc::operation_canceled);
        how = co_await stopped(peal::spawn(writes, std::ref(to), std::string_view("as large as the buffer, or larger")), nothing);
        CHECK(how == std::errc::operation_canceled);
        stream.room = 1000;
        co_await to.write("!");
        co_await to.flush();
        CHECK(stream.written == letters(16 + room, 0) + "!");
    }
}

peal::task<> fails(peal::pool&) {
    scripted_stream stream("", {}, scripted_stream::at_end::error);
    stream.room = 3;
    {
        writer to(stream, 16);
        co_await to.write("0123456789");
        auto ended = co_await peal::as_result(to.flush());
        CHECK(ended.error().code() == std::errc::connection_reset);
        CHECK(to.unflushed() == 7);
        auto written = co_await peal::as_result(to.write(letters(20, 0)));
        CHECK(written.error().code() == std::errc::connection_reset);
        CHECK(to.unflushed() == 7);
    }  // dropped: that is no broken contract
    CHECK(stream.written == "012");
}

peal::task<> over_memory(peal::pool&) {
    auto [here, there] = peal::io::memory_stream_pair(7);
    auto numbers = [](peal::io::memory_stream& mine) -> peal::task<> {
        peal::io::buffered_writer to(mine, 16);
        for (int i = 0; i < 1000; ++i) co_await to.write(std::to_string(i) + ';');
        co_await to.flush();
        mine.shutdown_write();
    };
    auto writing = peal::spawn(numbers, std::ref(here));
    std::string expected;
    for (int i = 0; i < 1000; ++i) expected += std::to_string(i) + ';';
    std::string got(expected.size(), ' ');
    std::size_t count = co_await there.read_exactly(std::as_writable_bytes(std::span(got)));
    CHECK(count == expected.size());
    CHECK(got == expected);
    std::array<std::byte, 1> more{};
    count = co_await there.read(more);
    CHECK(count == 0);
    co_await writing;
}

}  // namespace

TEST_CASE("buffered_writer: canceled wherever it waits, it knows what has gone") { support::in_simulations(canceled_everywhere, 1); }

TEST_CASE("buffered_writer: an error of the stream leaves what has not gone, and the destructor drops it") { support::in_simulations(fails, 1); }

TEST_CASE("buffered_writer: over a memory stream") {
    support::in_simulations(over_memory, 5);
    peal::pool pool{peal::pool_options(2)};
    pool.run(over_memory, pool);
}
