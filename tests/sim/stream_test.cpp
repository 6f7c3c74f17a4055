// SPDX-License-Identifier: MIT

// The streams of a simulation behave as connections do: short reads and writes, ends, broken pipes, cancellation.

#include <peal/sim/simulation.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using peal::net::tcp_stream;

using ends_of_stream = std::pair<tcp_stream, tcp_stream>;

template <class Function>
void for_seeds(std::uint64_t count, Function fn) {
    for (unsigned workers : {1u, 4u}) {
        for (std::uint64_t seed = 0; seed < count; ++seed) {
            CAPTURE(seed, workers);
            peal::simulation sim(seed, workers);
            sim.pool().run(fn, std::ref(sim));
        }
    }
}

/// Bytes that tell their position.
std::vector<std::byte> pattern(std::size_t count) {
    std::vector<std::byte> bytes(count);
    for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>((i * 2654435761u) >> 13);
    return bytes;
}

// ---- bytes ----------------------------------------------------------------------------------------------------------------------

peal::task<> writes_in_pieces(tcp_stream& stream, const std::vector<std::byte>& bytes, std::size_t& short_writes) {
    std::span<const std::byte> left(bytes);
    while (!left.empty()) {
        std::span<const std::byte> piece = left.first(std::min<std::size_t>(left.size(), 5000));
        std::size_t written = co_await stream.write(piece);
        if (written < piece.size()) ++short_writes;
        left = left.subspan(written);
    }
    stream.shutdown_write();
}

peal::task<> reads_in_pieces(tcp_stream& stream, std::vector<std::byte>& bytes, std::size_t& short_reads) {
    std::array<std::byte, 4000> buffer{};
    for (;;) {
        std::size_t got = co_await stream.read(buffer);
        if (got == 0) break;
        if (got < buffer.size()) ++short_reads;
        bytes.insert(bytes.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(got));
    }
    std::size_t still_the_end = co_await stream.read(buffer);
    CHECK(still_the_end == 0);
}

peal::task<> transfers(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    std::vector<std::byte> forth = pattern(300'000);  // more than the stream holds at a time
    std::vector<std::byte> back = pattern(1000);
    std::vector<std::byte> forth_read;
    std::vector<std::byte> back_read;
    std::size_t short_writes = 0;
    std::size_t short_reads = 0;
    peal::scope tasks;
    tasks.spawn(writes_in_pieces, std::ref(ends.first), forth, std::ref(short_writes));
    tasks.spawn(writes_in_pieces, std::ref(ends.second), back, std::ref(short_writes));
    tasks.spawn(reads_in_pieces, std::ref(ends.second), std::ref(forth_read), std::ref(short_reads));
    tasks.spawn(reads_in_pieces, std::ref(ends.first), std::ref(back_read), std::ref(short_reads));
    co_await tasks.join();
    CHECK(forth_read == forth);
    CHECK(back_read == back);
    CHECK(short_writes > 0);
    CHECK(short_reads > 0);
}

peal::task<> writes_all(tcp_stream& stream, std::vector<std::byte> bytes) {
    std::size_t written = co_await stream.write_all(bytes);
    CHECK(written == bytes.size());
}

peal::task<> reads_exactly(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    std::vector<std::byte> bytes = pattern(200'000);
    peal::scope tasks;
    tasks.spawn(writes_all, std::ref(ends.first), bytes);
    std::vector<std::byte> got(150'000);
    std::size_t count = co_await ends.second.read_exactly(got);
    CHECK(count == 150'000);
    CHECK(std::equal(got.begin(), got.end(), bytes.begin()));
    co_await tasks.join();
    ends.first.shutdown_write();
    count = co_await ends.second.read_exactly(got);  // the rest, and the end
    CHECK(count == 50'000);
    CHECK(std::equal(got.begin(), got.begin() + 50'000, bytes.begin() + 150'000));
    count = co_await ends.second.read_exactly(got);
    CHECK(count == 0);
}

peal::task<> writes_pieces(tcp_stream& stream, std::span<peal::io::const_buffer> pieces, std::size_t expected) {
    std::size_t written = co_await stream.write_all(pieces);
    CHECK(written == expected);
    stream.shutdown_write();
}

peal::task<> vectored(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    std::vector<std::byte> bytes = pattern(100'000);
    std::span<const std::byte> all(bytes);
    std::vector<peal::io::const_buffer> pieces;
    for (std::size_t at = 0, size = 0; at < all.size(); at += size, size = (size + 1) * 2 % 3001) {
        pieces.push_back(all.subspan(at, std::min(size, all.size() - at)));  // some are empty
    }
    peal::scope tasks;
    tasks.spawn(writes_pieces, std::ref(ends.first), std::span(pieces), bytes.size());

    std::vector<std::byte> got(bytes.size());
    std::size_t count = 0;
    while (count < got.size()) {
        std::array<peal::io::mutable_buffer, 3> into;
        std::span<std::byte> room = std::span(got).subspan(count);
        into[0] = room.first(std::min<std::size_t>(10, room.size()));
        room = room.subspan(into[0].size());
        into[2] = room.first(std::min<std::size_t>(5000, room.size()));  // the middle one is empty
        std::size_t read = co_await ends.second.read(std::span<const peal::io::mutable_buffer>(into));
        CHECK(read <= into[0].size() + into[2].size());
        if (read == 0) break;
        count += read;
    }
    CHECK(count == bytes.size());
    CHECK(got == bytes);
    co_await tasks.join();
}

}  // namespace

TEST_CASE("simulated stream: all bytes arrive once and in order, in both directions, through short reads and writes") {
    for_seeds(10, transfers);
}

TEST_CASE("simulated stream: read_exactly and write_all go on until done; the end gives what there is") {
    for_seeds(10, reads_exactly);
}

TEST_CASE("simulated stream: vectored writes and reads move the pieces in order") { for_seeds(10, vectored); }

// ---- ends -------------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<std::size_t> reads_some(tcp_stream& stream) {
    std::array<std::byte, 100> buffer{};
    co_return co_await stream.read(buffer);
}

peal::task<std::errc> writes_until_refused(tcp_stream& stream) {
    std::vector<std::byte> bytes = pattern(10'000);
    for (;;) {
        auto written = co_await peal::as_result(stream.write_all(bytes));
        if (!written) co_return static_cast<std::errc>(written.error().code().value());
    }
}

peal::task<> closes_while_the_peer_waits(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    auto reader = sim.pool().spawn(reads_some, std::ref(ends.first));
    auto writer = sim.pool().spawn(writes_until_refused, std::ref(ends.first));  // fills the stream, then waits
    co_await peal::sleep_for(1s);
    CHECK_FALSE(reader.has_ended());
    CHECK_FALSE(writer.has_ended());
    ends.second.close();
    std::size_t got = co_await reader;
    CHECK(got == 0);
    std::errc refused = co_await writer;
    CHECK(refused == std::errc::broken_pipe);
    std::errc again = co_await writes_until_refused(ends.first);
    CHECK(again == std::errc::broken_pipe);
    got = co_await reads_some(ends.first);
    CHECK(got == 0);
}

peal::task<> closes_its_own(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    auto reader = sim.pool().spawn(reads_some, std::ref(ends.first));
    auto writer = sim.pool().spawn(writes_until_refused, std::ref(ends.first));
    co_await peal::sleep_for(1s);
    ends.first.close();  // ends what waits on it
    std::size_t got = co_await reader;
    CHECK(got == 0);
    std::errc refused = co_await writer;
    CHECK(refused == std::errc::broken_pipe);
    CHECK_FALSE(ends.first.is_open());
    auto closed = co_await peal::as_result(reads_some(ends.first));
    CHECK(closed.error().code() == std::errc::bad_file_descriptor);
}

peal::task<> destroys_one_end(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    auto reader = sim.pool().spawn(reads_some, std::ref(ends.first));
    co_await peal::sleep_for(1ms);
    { tcp_stream gone = std::move(ends.second); }
    std::size_t got = co_await reader;
    CHECK(got == 0);
}

peal::task<> reads_what_was_written_before_the_close(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    std::vector<std::byte> bytes = pattern(1000);
    co_await ends.first.write_all(bytes);
    ends.first.close();
    std::vector<std::byte> got(2000);
    std::size_t count = co_await ends.second.read_exactly(got);
    CHECK(count == 1000);
    CHECK(std::equal(bytes.begin(), bytes.end(), got.begin()));
}

peal::task<> closes_one_half(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    ends.first.shutdown_write();
    std::errc refused = co_await writes_until_refused(ends.first);
    CHECK(refused == std::errc::broken_pipe);
    std::size_t got = co_await reads_some(ends.second);
    CHECK(got == 0);
    std::array<std::byte, 10> bytes{};  // the other half goes on
    co_await ends.second.write_all(bytes);
    got = co_await ends.first.read_exactly(bytes);
    CHECK(got == 10);
    ends.first.shutdown_write();  // again
}

}  // namespace

TEST_CASE("simulated stream: closing gives the peer's reader the end and its writer a broken pipe") {
    for_seeds(10, closes_while_the_peer_waits);
}
TEST_CASE("simulated stream: closing ends what waits on this end") { for_seeds(10, closes_its_own); }
TEST_CASE("simulated stream: destroying an end is closing it") { for_seeds(10, destroys_one_end); }
TEST_CASE("simulated stream: what was written before the close is read") { for_seeds(10, reads_what_was_written_before_the_close); }
TEST_CASE("simulated stream: shutdown_write closes one half, the other goes on") { for_seeds(10, closes_one_half); }

// ---- cancellation -----------------------------------------------------------------------------------------------------------------

namespace {

struct race {
    int read = 0;
    int canceled = 0;
};

/// Reads until canceled; counts the bytes that it got.
peal::task<> reads_until_canceled(tcp_stream& stream, std::vector<std::byte>& got, race& ends) {
    std::array<std::byte, 100> buffer{};
    for (;;) {
        auto count = co_await peal::as_result(stream.read(buffer));
        if (!count) {
            CHECK(count.error().is_canceled());
            ++ends.canceled;
            co_return;
        }
        if (*count == 0) co_return;
        ++ends.read;
        got.insert(got.end(), buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(*count));
    }
}

peal::task<> cancels_reads(peal::simulation& sim, race& ends_of_race, std::chrono::microseconds delay) {
    ends_of_stream ends = sim.stream_pair();
    std::vector<std::byte> bytes = pattern(100);
    std::vector<std::byte> got;
    auto reader = sim.pool().spawn(reads_until_canceled, std::ref(ends.second), std::ref(got), std::ref(ends_of_race));
    auto writer = sim.pool().spawn(writes_all, std::ref(ends.first), bytes);
    co_await peal::sleep_for(delay);
    reader.request_stop();
    co_await reader;
    co_await writer;
    ends.first.shutdown_write();
    auto rest = sim.pool().spawn(reads_until_canceled, std::ref(ends.second), std::ref(got), std::ref(ends_of_race));
    co_await rest;
    CHECK(got == bytes);  // whatever the race gave: no byte is lost, none comes twice
}

peal::task<> cancels_a_full_write(peal::simulation& sim) {
    ends_of_stream ends = sim.stream_pair();
    auto writer = sim.pool().spawn(writes_until_refused, std::ref(ends.first));
    co_await peal::sleep_for(1s);
    writer.request_stop();
    std::errc refused = co_await writer;
    CHECK(refused == std::errc::operation_canceled);
}

}  // namespace

TEST_CASE("simulated stream: canceling a read loses no byte, whether the read or the cancel wins") {
    race ends_of_race;
    int with_bytes_first = 0;
    for (std::uint64_t seed = 0; seed < 300; ++seed) {
        race before = ends_of_race;
        peal::simulation sim(seed, seed % 2 == 0 ? 1 : 3);
        sim.pool().run(cancels_reads, std::ref(sim), std::ref(ends_of_race), std::chrono::microseconds(seed % 150));
        if (ends_of_race.canceled == before.canceled) ++with_bytes_first;
    }
    CHECK(ends_of_race.canceled > 0);
    CHECK(ends_of_race.read > 0);
    CHECK(with_bytes_first >= 0);
}

TEST_CASE("simulated stream: a write that waits for room can be canceled") { for_seeds(10, cancels_a_full_write); }
