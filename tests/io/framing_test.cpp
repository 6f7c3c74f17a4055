// SPDX-License-Identifier: MIT

#include <peal/io/framing.hpp>

#include <array>
#include <bit>
#include <string>
#include <vector>

#include <peal/io/memory_stream.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/reader_model.hpp"
#include "support/rounds.hpp"
#include "support/scripted_stream.hpp"

namespace {

using namespace std::chrono_literals;
using namespace std::string_literals;
using peal::io::frame_prefix;
using support::scripted_stream;
using support::told;
using reader = peal::io::buffered_reader<scripted_stream>;
using writer = peal::io::buffered_writer<scripted_stream>;

std::string frame_of(reader& in, std::size_t limit, frame_prefix prefix = {}) {
    auto reading = [](reader& from, std::size_t most, frame_prefix how) -> peal::task<std::string> {
        std::string got = told(co_await peal::as_result(peal::io::read_frame(from, most, how)));
        co_return got;
    };
    return peal::sync_wait(reading(in, limit, prefix));
}

std::string put(writer& to, std::string_view frame, std::size_t limit, frame_prefix prefix = {}) {
    auto writing = [](writer& into, std::string_view what, std::size_t most, frame_prefix how) -> peal::task<std::string> {
        std::string got = told(co_await peal::as_result(peal::io::write_frame(into, peal::io::bytes_of(what), most, how)));
        co_return got;
    };
    return peal::sync_wait(writing(to, frame, limit, prefix));
}
void flush(writer& to) {
    auto flushing = [](writer& what) -> peal::task<> { co_await what.flush(); };
    peal::sync_wait(flushing(to));
}

}  // namespace

TEST_CASE("frame_prefix: lengths of 1 to 8 bytes in both orders") {
    std::array<std::byte, 8> bytes{};
    auto raw = [&](std::size_t size) { return std::string(support::text_of(std::span(bytes).first(size))); };
    frame_prefix().encode(0x01020304, bytes);
    CHECK(raw(4) == "\1\2\3\4");
    frame_prefix(4, std::endian::little).encode(0x01020304, bytes);
    CHECK(raw(4) == "\4\3\2\1");
    frame_prefix(2).encode(0x0102, bytes);
    CHECK(raw(2) == "\1\2");
    CHECK(frame_prefix().size() == 4);
    CHECK(frame_prefix().largest_length() == 0xffff'ffff);
    CHECK(frame_prefix(1).largest_length() == 255);
    CHECK(frame_prefix(8).largest_length() == ~std::uint64_t{0});
    for (std::size_t size = 1; size <= 8; ++size) {
        for (std::endian order : {std::endian::big, std::endian::little}) {
            frame_prefix prefix(size, order);
            for (std::uint64_t length : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{200}, std::uint64_t{0x0123456789abcdef}, ~std::uint64_t{0}}) {
                length &= prefix.largest_length();
                prefix.encode(length, std::span(bytes).first(size));
                CHECK(prefix.decode(std::span<const std::byte>(bytes).first(size)) == length);
            }
        }
    }
}

TEST_CASE("frames: what is written is read, whatever the sizes and the pieces") {
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        support::lots random(seed);
        frame_prefix prefix(1 + random.below(8), random.below(2) == 0 ? std::endian::big : std::endian::little);
        std::size_t limit = random.below(200);
        std::vector<std::string> frames(random.below(20));
        scripted_stream sent;
        {
            writer to(sent, prefix.size() + limit + random.below(50));
            for (std::string& each : frames) {
                each = std::string(random.below(3) == 0 ? limit : random.below(static_cast<std::uint32_t>(limit) + 1), static_cast<char>(random.below(256)));
                REQUIRE(put(to, each, limit, prefix) == told(each.size()));
                if (random.below(4) == 0) flush(to);
            }
            flush(to);
        }
        std::vector<std::size_t> pieces(sent.written.size());
        for (std::size_t& each : pieces) each = 1 + random.below(random.below(4) == 0 ? 300 : 3);
        scripted_stream stream(sent.written, pieces);
        reader in(stream, prefix.size() + limit + random.below(50));
        INFO("seed " << seed);
        for (const std::string& each : frames) REQUIRE(frame_of(in, limit, prefix) == told(std::string_view(each)));
        REQUIRE(frame_of(in, limit, prefix) == "nothing");
        REQUIRE(frame_of(in, limit, prefix) == "nothing");
    }
}

TEST_CASE("frames: may be as long as the limit, and not longer") {
    constexpr std::size_t limit = 5;
    for (std::size_t length : {std::size_t{0}, limit - 1, limit, limit + 1, std::size_t{0xffff'ffff}}) {
        CAPTURE(length);
        std::string frame(std::min(length, limit + 1), 'x');
        std::array<std::byte, 4> prefix{};
        frame_prefix().encode(length, prefix);
        std::string sent = std::string(support::text_of(prefix)) + frame;
        for (std::size_t piece : {1, 3, 4, 5, 100}) {
            scripted_stream stream(sent, std::vector<std::size_t>(sent.size(), piece));
            reader in(stream, limit + 4);
            if (length > limit) {
                CHECK(frame_of(in, limit) == "too long");
                CHECK(frame_of(in, limit) == "too long");
                CHECK(in.buffered().size() >= 4);  // nothing is consumed
                CHECK(stream.largest_read <= limit + 4);
            } else {
                CHECK(frame_of(in, limit) == told(std::string_view(frame)));
                CHECK(frame_of(in, limit) == "nothing");
            }
        }
        if (length > limit + 1) continue;
        scripted_stream stream;
        writer to(stream, limit + 4);
        CHECK(put(to, frame, limit) == (length > limit ? "too long" : told(length)));
        flush(to);
        CHECK(stream.written == (length > limit ? "" : sent));
    }
    // All of it is buffered already.
    scripted_stream whole("\0\0\0\1a\0\0\0\6abcdef"s, {});
    reader large(whole, 100);
    CHECK(frame_of(large, limit) == "'a'");
    CHECK(frame_of(large, limit) == "too long");
    CHECK(frame_of(large, limit + 1) == "'abcdef'");
    // As soon as the length is there.
    scripted_stream stream("\0\0\0\6"s, {}, scripted_stream::at_end::error);
    reader in(stream, limit + 4);
    CHECK(frame_of(in, limit) == "too long");
}

TEST_CASE("frames: an end within a frame is an error, wherever it is; nothing is consumed") {
    const std::string sent = "\0\0\0\3abc\0\0\0\5abcde"s;
    for (std::size_t end = 0; end <= sent.size(); ++end) {
        CAPTURE(end);
        for (std::size_t piece : {1, 100}) {
            scripted_stream stream(sent.substr(0, end), std::vector<std::size_t>(end, piece));
            reader in(stream, 20);
            if (end >= 7) CHECK(frame_of(in, 10) == "'abc'");
            bool is_clean = end == 0 || end == 7;
            CHECK(frame_of(in, 10) == (end == sent.size() ? "'abcde'" : is_clean ? "nothing" : "cut off"));
            if (!is_clean && end != sent.size()) {
                CHECK(support::text_of(in.buffered()) == std::string_view(sent).substr(end > 7 ? 7 : 0, end > 7 ? end - 7 : end));
                CHECK(frame_of(in, 10) == "cut off");
            }
        }
    }
}

TEST_CASE("frames: what is buffered, or fits, costs no suspension") {
    scripted_stream stream("\0\0\0\1a\0\0\0\2bc\0\0\0\3de"s, {});
    reader in(stream, 32);
    CHECK(frame_of(in, 10) == "'a'");
    auto next = peal::io::read_frame(in, 10);
    CHECK(next.await_ready());
    CHECK(told(next.await_resume()) == "'bc'");
    CHECK_FALSE(peal::io::read_frame(in, 10).await_ready());
    CHECK_FALSE(peal::io::read_frame(in, 1).await_ready());
    scripted_stream sent;
    writer to(sent, 16);
    CHECK(peal::io::write_frame(to, peal::io::bytes_of("0123456789"), 12).await_ready());
    CHECK(to.unflushed() == 14);
    CHECK_FALSE(peal::io::write_frame(to, peal::io::bytes_of(""), 12).await_ready());
    CHECK(sent.writes == 0);
}

namespace {

peal::task<> canceled(peal::pool&) {
    const std::string sent = "\0\0\0\5abcde"s;
    auto reads = [](reader& in) -> peal::task<std::string> {
        std::string got = told(co_await peal::as_result(peal::io::read_frame(in, 10)));
        co_return got;
    };
    for (std::size_t there = 0; there < sent.size(); ++there) {
        scripted_stream stream(sent.substr(0, there), {}, scripted_stream::at_end::wait);
        reader in(stream, 20);
        auto reading = peal::spawn(reads, std::ref(in));
        co_await peal::sleep_for(1ms);
        reading.request_stop();
        std::string how = co_await reading;
        CHECK(how == "canceled");
        stream.append(std::string_view(sent).substr(there));
        how = co_await reads(in);
        CHECK(how == "'abcde'");
    }
    // A write that waits for room has put nothing into the buffer.
    auto writes = [](writer& to) -> peal::task<std::string> {
        std::string got = told(co_await peal::as_result(peal::io::write_frame(to, peal::io::bytes_of("abcde"), 5)));
        co_return got;
    };
    for (std::size_t room = 0; room < 9; ++room) {
        scripted_stream stream("", {}, scripted_stream::at_end::wait);
        stream.room = room;
        writer to(stream, 10);
        std::string how = co_await writes(to);
        CHECK(how == "5");
        auto writing = peal::spawn(writes, std::ref(to));
        co_await peal::sleep_for(1ms);
        writing.request_stop();
        how = co_await writing;
        CHECK(how == "canceled");
        stream.room = 100;
        how = co_await writes(to);
        CHECK(how == "5");
        co_await to.flush();
        CHECK(stream.written == sent + sent);
    }
}

}  // namespace

TEST_CASE("frames: canceled wherever it waits, no frame is lost or torn") { support::in_simulations(canceled, 1); }

TEST_CASE("frames: over a memory stream, on several workers") {
    auto sends = [](peal::io::memory_stream& mine) -> peal::task<> {
        peal::io::buffered_writer to(mine, 64);
        for (int i = 0; i < 500; ++i) {
            std::string frame = std::to_string(i);
            co_await peal::io::write_frame(to, peal::io::bytes_of(frame), 20);
            if (i % 7 == 0) co_await to.flush();
        }
        co_await to.flush();
        mine.shutdown_write();
    };
    auto run = [&]() -> peal::task<int> {
        auto [here, there] = peal::io::memory_stream_pair(16);
        auto sending = peal::spawn(sends, std::ref(here));
        peal::io::buffered_reader in(there, 64);
        int count = 0;
        while (auto frame = co_await peal::io::read_frame(in, 20)) {
            if (support::text_of(*frame) == std::to_string(count)) ++count;
        }
        co_await sending;
        co_return count;
    };
    for (unsigned workers : {1u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        CHECK(pool.run(std::ref(run)) == 500);
    }
}

TEST_CASE("frames: broken contracts are told") {
    CHECK(support::death_of([] {
              scripted_stream stream;
              reader in(stream, 8);
              static_cast<void>(peal::io::read_frame(in, 5));
          }).says("read_frame(): a frame of the limit"));
    CHECK(support::death_of([] {
              scripted_stream stream;
              writer to(stream, 8);
              static_cast<void>(peal::io::write_frame(to, {}, 5));
          }).says("write_frame(): a frame of the limit"));
    CHECK(support::death_of([] {
              scripted_stream stream;
              writer to(stream, 1000);
              static_cast<void>(peal::io::write_frame(to, {}, 256, frame_prefix(1)));
          }).says("too small for the limit"));
    CHECK(support::death_of([] { static_cast<void>(frame_prefix(9)); }).says("1 to 8 bytes"));
}
