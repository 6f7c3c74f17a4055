// SPDX-License-Identifier: MIT

#include <peal/io/memory_stream.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/io/buffer.hpp>
#include <peal/io/stream.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"
#include "support/sockets.hpp"
#include "support/verdict.hpp"

static_assert(peal::io::stream<peal::io::memory_stream>);
static_assert(peal::io::stream<peal::net::tcp_stream>);
static_assert(!peal::io::readable<int>);

namespace {

using namespace std::chrono_literals;
using peal::io::memory_stream;
using peal::io::memory_stream_pair;
using support::verdict;

/// Of any way to end: the number of bytes, or the error.
class outcome {
  public:
    explicit outcome(peal::result<std::size_t> ended) : ended_(std::move(ended)) {}
    bool gave(std::size_t bytes) { return ended_ && *ended_ == bytes; }
    bool canceled() const { return !ended_ && ended_.error().is_canceled(); }
    bool failed(std::errc why) const { return !ended_ && ended_.error().code() == why; }

  private:
    peal::result<std::size_t> ended_;
};

peal::task<outcome> reads(memory_stream& from, std::span<std::byte> into) {
    auto ended = co_await peal::as_result(from.read(into));
    co_return outcome(std::move(ended));
}
peal::task<outcome> writes(memory_stream& to, std::span<const std::byte> bytes) {
    auto ended = co_await peal::as_result(to.write(bytes));
    co_return outcome(std::move(ended));
}
peal::task<outcome> reads_exactly(memory_stream& from, std::span<std::byte> into) {
    auto ended = co_await peal::as_result(from.read_exactly(into));
    co_return outcome(std::move(ended));
}
peal::task<outcome> writes_all(memory_stream& to, std::span<const std::byte> bytes) {
    auto ended = co_await peal::as_result(to.write_all(bytes));
    co_return outcome(std::move(ended));
}

bool same(std::span<const std::byte> a, std::span<const std::byte> b) { return std::equal(a.begin(), a.end(), b.begin(), b.end()); }

// ---- bytes ----------------------------------------------------------------------------------------------------------------------

peal::task<> sends(memory_stream& to, std::span<const std::byte> bytes, std::uint64_t seed) {
    support::lots random(seed);
    while (!bytes.empty()) {
        std::span<const std::byte> piece = bytes.first(std::min<std::size_t>(bytes.size(), 1 + random.below(300)));
        if (random.below(2) == 0) {
            std::size_t written = co_await to.write(piece);
            bytes = bytes.subspan(written);
        } else {
            std::size_t written = co_await to.write_all(piece);
            bytes = bytes.subspan(written);
        }
        if (random.below(8) == 0) co_await peal::yield();
    }
    to.shutdown_write();
}

peal::task<> receives(memory_stream& from, std::span<const std::byte> expected, std::uint64_t seed, verdict& judged) {
    support::lots random(seed);
    std::vector<std::byte> buffer(400);
    for (;;) {
        std::span<std::byte> into = std::span(buffer).first(1 + random.below(400));
        std::size_t count = 0;
        if (random.below(2) == 0) {
            count = co_await from.read(into);
        } else {
            count = co_await from.read_exactly(into);
            judged.expect(count == into.size() || count == expected.size(), "read_exactly() gave too little before the end");
        }
        if (!judged.expect(count <= expected.size() && same(std::span(buffer).first(count), expected.first(std::min(count, expected.size()))),
                           "other bytes")) {
            co_return;
        }
        expected = expected.subspan(count);
        if (count == 0) break;
        if (random.below(8) == 0) co_await peal::yield();
    }
    judged.expect(expected.empty(), "ended early");
    std::size_t still = co_await from.read(buffer);
    judged.expect(still == 0, "bytes behind the end");
}

peal::task<> passes_bytes(peal::pool&) {
    verdict judged;
    std::vector<std::byte> forth = support::pattern(5000, 1);
    std::vector<std::byte> back = support::pattern(3000, 2);
    for (std::size_t capacity : {1, 2, 7, 64, 1000}) {
        auto [here, there] = memory_stream_pair(capacity);
        peal::scope tasks;
        tasks.spawn(sends, std::ref(here), std::span<const std::byte>(forth), capacity);
        tasks.spawn(sends, std::ref(there), std::span<const std::byte>(back), capacity + 1);
        tasks.spawn(receives, std::ref(there), std::span<const std::byte>(forth), capacity + 2, std::ref(judged));
        tasks.spawn(receives, std::ref(here), std::span<const std::byte>(back), capacity + 3, std::ref(judged));
        co_await tasks.join();
    }
    CHECK(judged.text() == "");
}

peal::task<> bounded(peal::pool&) {
    auto [here, there] = memory_stream_pair(4);
    std::vector<std::byte> bytes = support::pattern(6);
    std::vector<std::byte> buffer(10);
    std::size_t count = co_await here.write(std::span<const std::byte>());
    CHECK(count == 0);
    count = co_await there.read(std::span<std::byte>());
    CHECK(count == 0);
    count = co_await here.write(std::span(bytes).first(3));
    CHECK(count == 3);
    count = co_await here.write(std::span(bytes).subspan(3));  // room for one
    CHECK(count == 1);
    auto waiting = peal::spawn(writes_all, std::ref(here), std::span<const std::byte>(bytes).subspan(4));
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(waiting.has_ended());
    count = co_await there.read(std::span(buffer).first(1));
    CHECK(count == 1);
    co_await peal::sleep_for(1ms);
    CHECK_FALSE(waiting.has_ended());  // one of its two bytes
    count = co_await there.read_exactly(std::span(buffer).subspan(1, 5));
    CHECK(count == 5);
    outcome end = co_await waiting;
    CHECK(end.gave(2));
    CHECK(same(std::span(buffer).first(6), bytes));
}

}  // namespace

TEST_CASE("memory_stream: what is written is read, in both directions, in pieces of any size") {
    support::in_simulations(passes_bytes, 5);
    for (unsigned workers : {1u, 2u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int i = 0; i < 20; ++i) pool.run(passes_bytes, pool);
    }
}

TEST_CASE("memory_stream: a write takes what there is room for, and waits when there is none") { support::in_simulations(bounded, 5); }

TEST_CASE("memory_stream: on no worker, between threads") {
    auto [here, there] = memory_stream_pair(8);
    std::vector<std::byte> bytes = support::pattern(2000);
    verdict judged;
    memory_stream& mine = there;
    std::thread writer([&, &to = here] { peal::sync_wait(sends(to, bytes, 1)); });
    peal::sync_wait(receives(mine, bytes, 2, judged));
    writer.join();
    CHECK(judged.text() == "");
}

// ---- ends -----------------------------------------------------------------------------------------------------------------------

namespace {

enum class way { shut_down, closed, destroyed };
constexpr way ways[] = {way::shut_down, way::closed, way::destroyed};

void end(std::optional<memory_stream>& which, way how) {
    switch (how) {
        case way::shut_down: which->shutdown_write(); break;
        case way::closed: which->close(); break;
        case way::destroyed: which.reset(); break;
    }
}

peal::task<> ends_of_the_peer(peal::pool&) {
    std::vector<std::byte> bytes = support::pattern(4);
    std::vector<std::byte> buffer(10);
    for (way how : ways) {
        // With bytes in between; with nothing; while the other end waits.
        auto [here, there] = memory_stream_pair(4);
        std::optional<memory_stream> peer(std::move(there));
        std::size_t count = co_await peer->write_all(bytes);
        end(peer, how);
        outcome ended = co_await reads(here, buffer);
        CHECK(ended.gave(count));
        ended = co_await reads(here, buffer);
        CHECK(ended.gave(0));
        ended = co_await reads_exactly(here, buffer);
        CHECK(ended.gave(0));
        ended = co_await writes(here, bytes);
        CHECK((how == way::shut_down ? ended.gave(4) : ended.failed(std::errc::broken_pipe)));

        auto [near, far] = memory_stream_pair(4);
        peer.emplace(std::move(far));
        auto reading = peal::spawn(reads_exactly, std::ref(near), std::span<std::byte>(buffer));
        auto writing = peal::spawn(writes_all, std::ref(near), std::span<const std::byte>(buffer));
        count = co_await peer->write(std::span(bytes).first(3));
        CHECK(count == 3);
        co_await peal::sleep_for(1ms);
        CHECK_FALSE(reading.has_ended());
        CHECK_FALSE(writing.has_ended());
        end(peer, how);
        ended = co_await reading;
        CHECK(ended.gave(3));
        co_await peal::sleep_for(1ms);
        CHECK(writing.has_ended() == (how != way::shut_down));
        if (how == way::shut_down) peer.reset();
        ended = co_await writing;
        CHECK(ended.failed(std::errc::broken_pipe));
    }
}

peal::task<> own_end(peal::pool&) {
    std::vector<std::byte> bytes = support::pattern(4);
    std::vector<std::byte> buffer(10);
    for (way how : ways) {
        auto [here, there] = memory_stream_pair(4);
        std::optional<memory_stream> mine(std::move(here));
        co_await mine->write_all(bytes);
        auto reading = peal::spawn(reads, std::ref(*mine), std::span<std::byte>(buffer));
        auto writing = peal::spawn(writes, std::ref(*mine), std::span<const std::byte>(bytes));
        co_await peal::sleep_for(1ms);
        end(mine, how);
        outcome ended = co_await writing;
        CHECK(ended.failed(std::errc::broken_pipe));
        co_await peal::sleep_for(1ms);
        CHECK(reading.has_ended() == (how != way::shut_down));
        if (how == way::shut_down) {
            ended = co_await writes(*mine, bytes);
            CHECK(ended.failed(std::errc::broken_pipe));
            co_await there.write_all(bytes);
            ended = co_await reading;
            CHECK(ended.gave(4));
        } else {
            ended = co_await reading;
            CHECK(ended.gave(0));
        }
        std::size_t left = co_await there.read_exactly(buffer);
        CHECK(left == 4);
    }
    // While tasks wait that move in several steps: they do not refer to the stream any more.
    {
        auto [here, there] = memory_stream_pair(4);
        std::optional<memory_stream> mine(std::move(here));
        auto reading = peal::spawn(reads_exactly, std::ref(*mine), std::span<std::byte>(buffer));
        auto writing = peal::spawn(writes_all, std::ref(*mine), std::span<const std::byte>(buffer));
        co_await there.write_all(std::span(bytes).first(2));
        co_await peal::sleep_for(1ms);
        memory_stream moved = std::move(*mine);
        mine.reset();
        co_await there.write_all(std::span(bytes).first(1));
        co_await peal::sleep_for(1ms);
        CHECK_FALSE(reading.has_ended());
        moved.close();
        outcome read = co_await reading;
        outcome written = co_await writing;
        CHECK(read.gave(3));
        CHECK(written.failed(std::errc::broken_pipe));
    }
    memory_stream none;
    CHECK_FALSE(none.is_open());
    none.close();
    outcome ended = co_await reads(none, buffer);
    CHECK(ended.failed(std::errc::bad_file_descriptor));
    ended = co_await writes(none, bytes);
    CHECK(ended.failed(std::errc::bad_file_descriptor));
    ended = co_await writes_all(none, bytes);
    CHECK(ended.failed(std::errc::bad_file_descriptor));
    CHECK_THROWS_AS(none.shutdown_write(), std::system_error);
}

}  // namespace

TEST_CASE("memory_stream: the end of the peer is read behind its bytes, and breaks writes") { support::in_simulations(ends_of_the_peer, 5); }

TEST_CASE("memory_stream: the own end ends what waits on it, and sends what was written") { support::in_simulations(own_end, 5); }

// ---- cancellation ---------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> canceled(peal::pool&) {
    std::vector<std::byte> bytes = support::pattern(8);
    std::vector<std::byte> buffer(8);
    auto [here, there] = memory_stream_pair(4);

    auto reading = peal::spawn(reads, std::ref(there), std::span<std::byte>(buffer));
    co_await peal::sleep_for(1ms);
    reading.request_stop();
    outcome ended = co_await reading;
    CHECK(ended.canceled());

    reading = peal::spawn(reads_exactly, std::ref(there), std::span<std::byte>(buffer));
    co_await here.write_all(std::span(bytes).first(3));
    co_await peal::sleep_for(1ms);
    reading.request_stop();
    ended = co_await reading;
    CHECK(ended.gave(3));  // and the next one goes on behind them

    reading = peal::spawn(reads_exactly, std::ref(there), std::span<std::byte>(buffer));
    co_await peal::sleep_for(1ms);
    reading.request_stop();
    ended = co_await reading;
    CHECK(ended.canceled());

    auto writing = peal::spawn(writes_all, std::ref(here), std::span<const std::byte>(bytes));
    co_await peal::sleep_for(1ms);
    writing.request_stop();
    ended = co_await writing;
    CHECK(ended.canceled());
    writing = peal::spawn(writes, std::ref(here), std::span<const std::byte>(bytes));
    co_await peal::sleep_for(1ms);
    writing.request_stop();
    ended = co_await writing;
    CHECK(ended.canceled());

    auto timed = co_await peal::as_result(peal::timeout(1ms, here.write(bytes)));
    CHECK(timed.error().code() == std::errc::timed_out);
    std::size_t count = co_await there.read(buffer);
    CHECK(count == 4);  // of the canceled write_all(), and nothing of the others
    CHECK(same(std::span(buffer).first(4), std::span(bytes).first(4)));
    timed = co_await peal::as_result(peal::timeout(1ms, there.read(buffer)));
    CHECK(timed.error().code() == std::errc::timed_out);

    // Who was asked before begins nothing, although there is something.
    co_await here.write_all(std::span(bytes).first(1));
    auto late = [](memory_stream& from, std::span<std::byte> into) -> peal::task<outcome> {
        while (!peal::this_task::stop_requested()) co_await peal::yield();
        outcome how = co_await reads(from, into);
        co_return how;
    };
    reading = peal::spawn(late, std::ref(there), std::span<std::byte>(buffer));
    reading.request_stop();
    ended = co_await reading;
    CHECK(ended.canceled());
    count = co_await there.read(buffer);
    CHECK(count == 1);
}

}  // namespace

TEST_CASE("memory_stream: a canceled operation has moved nothing, or says how much") { support::in_simulations(canceled, 5); }

TEST_CASE("memory_stream: a stop of the reader that races with bytes loses none") {
    auto [here, there] = memory_stream_pair(4);
    memory_stream& from = there;
    memory_stream& to = here;
    std::array<std::byte, 4> buffer{};
    std::size_t read = 0;
    std::byte next{0};
    auto write_one = [&]() -> peal::task<> {
        std::array<std::byte, 1> one{next};
        co_await to.write_all(one);
    };
    auto seen = support::race_with_stop(
        3000, [&] { next = static_cast<std::byte>(std::to_integer<int>(next) + 1); read = 0; },
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(from.read(buffer));
            if (got) read = *got;
            co_return got.has_value();
        },
        [&] { peal::spawn(std::ref(write_one)).detach(); },
        [&](bool got, verdict& found) -> peal::task<> {
            if (!got) {
                std::size_t left = co_await from.read(buffer);
                found.expect(left == 1, "a byte was lost");
            } else {
                found.expect(read == 1, "more than was written");
            }
            found.expect(buffer[0] == next, "another byte");
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("memory_stream: a stop of the writer that races with room loses no byte and doubles none") {
    auto [here, there] = memory_stream_pair(1);
    memory_stream& from = there;
    memory_stream& to = here;
    std::array<std::byte, 1> filler{std::byte{0xff}};
    std::array<std::byte, 1> mine{std::byte{1}};
    auto read_one = [&]() -> peal::task<> {
        std::array<std::byte, 1> one;
        co_await from.read_exactly(one);
    };
    auto fill = [&]() -> peal::task<> { co_await to.write_all(filler); };
    peal::sync_wait(fill());
    auto seen = support::race_with_stop(
        3000, [] {},
        [&]() -> peal::task<bool> {
            auto done = co_await peal::as_result(to.write(mine));
            co_return done.has_value();
        },
        [&] { peal::spawn(std::ref(read_one)).detach(); },
        [&](bool written, verdict& found) -> peal::task<> {
            // What stands in the way was read or will be; then there is ours, or there is room.
            if (!written) co_await to.write_all(mine);
            std::array<std::byte, 1> one;
            co_await from.read_exactly(one);
            found.expect(one == mine, "another byte");
            co_await to.write_all(filler);
        });
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

TEST_CASE("memory_stream: a stop that races with the end of the peer ends the wait once") {
    std::optional<memory_stream> mine;
    std::optional<memory_stream> peer;
    std::array<std::byte, 4> buffer{};
    auto seen = support::race_with_stop(
        3000,
        [&] {
            auto ends = memory_stream_pair(4);
            mine.emplace(std::move(ends.first));
            peer.emplace(std::move(ends.second));
        },
        [&]() -> peal::task<bool> {
            auto got = co_await peal::as_result(mine->read(buffer));
            co_return got.has_value();
        },
        [&] { peer.reset(); }, [](bool, verdict&) {});
    CHECK(seen.complaints == "");
    CHECK(seen.served > 0);
    CHECK(seen.canceled > 0);
}

namespace {

peal::task<> ends_in_its_frame() {
    auto [here, there] = memory_stream_pair(1);
    auto talk = [](memory_stream mine) -> peal::task<> {
        std::array<std::byte, 2> two{};
        co_await mine.write_all(two);
    };
    peal::spawn(talk, std::move(there)).detach();
    std::array<std::byte, 2> two{};
    std::size_t count = co_await here.read_exactly(two);
    CHECK(count == 2);
    // The writer may still be inside write(), close() or its destructor.
}

peal::task<> destroyed_by_another(memory_stream mine) {
    std::array<std::byte, 1> one{};
    static_cast<void>(co_await peal::as_result(mine.write(one)));
}

/// Both ends go at once, on two workers, while each of them is waited on. A task that has read a byte has begun, and needs the end no more.
peal::task<> both_ends_go() {
    auto [here, there] = memory_stream_pair(1);
    std::array<std::byte, 3> a{};
    std::array<std::byte, 3> b{};
    std::array<std::byte, 2> two{};
    auto mine = std::make_unique<memory_stream>(std::move(here));
    auto peer = std::make_unique<memory_stream>(std::move(there));
    auto first = peal::spawn(reads_exactly, std::ref(*mine), std::span<std::byte>(a));
    auto second = peal::spawn(reads_exactly, std::ref(*peer), std::span<std::byte>(b));
    co_await peer->write_all(two);  // of which the first byte has been read then
    co_await mine->write_all(two);
    auto drop = [](std::unique_ptr<memory_stream> which) { which.reset(); };
    auto dropping = peal::spawn(drop, std::move(mine));
    peer.reset();
    co_await dropping;
    outcome one = co_await first;
    outcome other = co_await second;
    bool fits = one.gave(2) && other.gave(2);
    CHECK(fits);
}

}  // namespace

TEST_CASE("memory_stream: both ends may go while the other one is still at work") {
    support::many_times(5000, ends_in_its_frame);
    auto writer_goes = []() -> peal::task<> {
        auto [here, there] = memory_stream_pair(1);
        peal::spawn(destroyed_by_another, std::move(there)).detach();
        std::array<std::byte, 2> two{};
        std::size_t count = co_await here.read_exactly(two);
        CHECK(count == 1);
    };
    support::many_times(5000, writer_goes);
}

TEST_CASE("memory_stream: both ends may go at once while tasks wait on both") { support::many_times(500, both_ends_go); }

// ---- broken contracts -----------------------------------------------------------------------------------------------------------

namespace {

peal::task<> two_readers(peal::pool&) {
    auto [here, there] = memory_stream_pair(1);
    std::array<std::byte, 1> one{};
    auto first = peal::spawn(reads, std::ref(here), std::span<std::byte>(one));
    auto second = peal::spawn(reads, std::ref(here), std::span<std::byte>(one));
    co_await peal::sleep_for(1ms);
}

peal::task<> no_capacity(peal::pool&) {
    static_cast<void>(memory_stream_pair(0));
    co_return;
}

}  // namespace

TEST_CASE("memory_stream: broken contracts are told") {
    CHECK(support::death_in_task(two_readers).says("two tasks read, or two write, the same end of a memory_stream"));
    CHECK(support::death_in_task(no_capacity).says("of capacity 0"));
}
