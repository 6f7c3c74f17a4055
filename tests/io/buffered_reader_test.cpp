// SPDX-License-Identifier: MIT

#include <peal/io/buffered_reader.hpp>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/io/memory_stream.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/reader_model.hpp"
#include "support/rounds.hpp"
#include "support/scripted_stream.hpp"
#include "support/tcp_pair.hpp"

namespace {

using namespace std::chrono_literals;
using support::scripted_stream;
using support::told;
using reader = peal::io::buffered_reader<scripted_stream>;

static_assert(peal::io::readable<reader>);
static_assert(peal::io::readable<peal::io::buffered_reader<peal::net::tcp_stream>>);

std::string some_text(std::size_t size, support::lots& random) {
    constexpr char letters[] = {'a', 'a', 'a', 'b', ':', '\r', '\n', '\n', '\0', 'x'};
    std::string text(size, ' ');
    for (char& each : text) each = letters[random.below(std::size(letters))];
    return text;
}

std::vector<std::size_t> some_pieces(std::size_t count, support::lots& random) {
    std::vector<std::size_t> pieces(count);
    for (std::size_t& each : pieces) each = 1 + random.below(random.below(4) == 0 ? 100 : 3);
    return pieces;
}

}  // namespace

TEST_CASE("buffered_reader: gives what a reference gives, in pieces of any size") {
    for (std::uint64_t seed = 0; seed < 3000; ++seed) {
        support::lots random(seed);
        std::string text = some_text(random.below(seed % 10 == 0 ? 2000 : 100), random);
        scripted_stream stream(text, some_pieces(text.size(), random));
        reader in(stream, 1 + random.below(seed % 3 == 0 ? 8 : 100));
        std::string wrong = peal::sync_wait(support::read_against_model(in, text, random));
        INFO("seed " << seed);
        REQUIRE(wrong == "");
    }
}

// ---- limits ---------------------------------------------------------------------------------------------------------------------

namespace {

std::string line_of(reader& in, std::size_t limit) {
    auto reading = [](reader& from, std::size_t most) -> peal::task<std::string> {
        std::string how = told(co_await peal::as_result(from.read_line(most)));
        co_return how;
    };
    return peal::sync_wait(reading(in, limit));
}
std::string until_of(reader& in, std::string_view delimiter, std::size_t limit) {
    auto reading = [](reader& from, std::string_view behind, std::size_t most) -> peal::task<std::string> {
        std::string how = told(co_await peal::as_result(from.read_until(behind, most)));
        co_return how;
    };
    return peal::sync_wait(reading(in, delimiter, limit));
}

/// Calls `use` with a stream of `text` in one piece, in bytes, and cut once at each place.
template <class Use>
void for_all_cuts(const std::string& text, Use use) {
    scripted_stream whole(text, {});
    use(whole);
    scripted_stream bytes(text, std::vector<std::size_t>(text.size(), 1));
    use(bytes);
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
        scripted_stream two(text, {cut});
        use(two);
    }
}

}  // namespace

TEST_CASE("buffered_reader: a line may be as long as the limit, and not longer, however it ends and wherever it is cut") {
    constexpr std::size_t limit = 5;
    for (std::size_t length : {std::size_t{0}, std::size_t{1}, limit - 1, limit, limit + 1, limit + 2, limit + 9}) {
        for (std::string end : {"\n", "\r\n", ""}) {
            std::string line(length, 'x');
            std::string text = line + end;
            CAPTURE(text);
            for (std::size_t capacity : {limit + 2, limit + 3, std::size_t{100}}) {
                for_all_cuts(text, [&](scripted_stream& stream) {
                    reader in(stream, capacity);
                    std::string got = line_of(in, limit);
                    if (length > limit) {
                        CHECK(got == "too long");
                        CHECK(line_of(in, limit) == "too long");
                        CHECK(text.starts_with(support::text_of(in.buffered())));  // nothing is consumed
                        if (capacity == 100) CHECK(line_of(in, 98) == told(line));
                    } else if (text.empty()) {
                        CHECK(got == "nothing");
                    } else {
                        CHECK(got == told(line));
                        CHECK(line_of(in, limit) == "nothing");
                        CHECK(line_of(in, limit) == "nothing");
                    }
                });
            }
        }
    }
}

TEST_CASE("buffered_reader: the ends of lines, and what only looks like one") {
    for_all_cuts("\n\r\n\r\r\na\rb\nlast\r", [](scripted_stream& stream) {
        reader in(stream, 10);
        CHECK(line_of(in, 8) == "''");
        CHECK(line_of(in, 8) == "''");
        CHECK(line_of(in, 8) == "'\r'");
        CHECK(line_of(in, 8) == "'a\rb'");
        CHECK(line_of(in, 8) == "'last\r'");  // no end of a line: it belongs to it
        CHECK(line_of(in, 8) == "nothing");
    });
}

TEST_CASE("buffered_reader: what stands before a delimiter may be as long as the limit, and not longer") {
    constexpr std::size_t limit = 5;
    for (std::string delimiter : {";", "\r\n", "aab", "abab"}) {
        for (std::size_t length : {std::size_t{0}, limit - 1, limit, limit + 1, limit + 9}) {
            std::string bytes(length, 'a');  // begins as two of the delimiters do
            for (std::string behind : {"", "rest"}) {
                std::string text = bytes + delimiter + behind;
                std::size_t at = text.find(delimiter);
                CAPTURE(text);
                for (std::size_t capacity : {limit + delimiter.size(), std::size_t{100}}) {
                    for_all_cuts(text, [&](scripted_stream& stream) {
                        reader in(stream, capacity);
                        std::string got = until_of(in, delimiter, limit);
                        if (at > limit) {
                            CHECK(got == "too long");
                            CHECK(text.starts_with(support::text_of(in.buffered())));
                            if (capacity == 100) CHECK(until_of(in, delimiter, 90) == told(std::string_view(text).substr(0, at)));
                        } else {
                            CHECK(got == told(std::string_view(text).substr(0, at)));
                            std::size_t left = text.size() - at - delimiter.size();
                            CHECK(until_of(in, delimiter, limit) == (left == 0 ? "nothing" : "cut off"));
                            CHECK(in.buffered().size() == left);  // and still there
                        }
                    });
                }
            }
        }
    }
}

namespace {

template <class Use>
std::string message_of(Use use) {
    try {
        use();
    } catch (const std::system_error& failure) {
        return failure.what();
    }
    return "";
}

}  // namespace

TEST_CASE("buffered_reader: errors say which limit it was, and where the stream ended") {
    scripted_stream stream("0123456789", {});
    reader in(stream, 32);
    auto reading = [](reader& from, bool line) -> peal::task<> {
        if (line) {
            co_await from.read_line(9);
        } else {
            co_await from.read_until(";", 20);
        }
    };
    CHECK(message_of([&] { peal::sync_wait(reading(in, true)); }).starts_with("read_line: more than 9 bytes"));
    CHECK(message_of([&] { peal::sync_wait(reading(in, false)); })
              .starts_with("read_until: the stream ended after 10 bytes, before the delimiter"));
    CHECK(support::text_of(in.buffered()) == "0123456789");
}

// ---- what it costs --------------------------------------------------------------------------------------------------------------

TEST_CASE("buffered_reader: what is buffered is given without suspending") {
    scripted_stream stream("one\r\ntwo\nkey::value;;0123456789", {});
    reader in(stream, 64);
    CHECK_FALSE(in.read_line(10).await_ready());
    CHECK(line_of(in, 10) == "'one'");
    CHECK(stream.reads == 1);
    auto line = in.read_line(10);
    CHECK(line.await_ready());
    CHECK(line.await_resume() == "two");
    auto key = in.read_until("::", 10);
    CHECK(key.await_ready());
    CHECK(told(key.await_resume()) == "'key'");
    auto value = in.read_until(";;", 10);
    CHECK(value.await_ready());
    CHECK(told(value.result()) == "'value'");
    auto next = in.peek(3);
    CHECK(next.await_ready());
    CHECK(told(next.await_resume()) == "'012'");
    std::array<std::byte, 4> four{};
    auto some = in.read(four);
    CHECK(some.await_ready());
    CHECK(some.await_resume() == 4);
    auto exactly = in.read_exactly(four);
    CHECK(exactly.await_ready());
    CHECK(exactly.await_resume() == 4);
    CHECK(told(std::span<const std::byte>(four)) == "'4567'");
    CHECK_FALSE(in.read_exactly(four).await_ready());
    CHECK_FALSE(in.read_line(10).await_ready());
    CHECK(in.read(std::span<std::byte>()).await_ready());
    CHECK(stream.reads == 1);
}

TEST_CASE("buffered_reader: large reads go past the buffer") {
    std::string text(1000, 'x');
    std::vector<std::byte> memory(1000);
    auto all = [](reader& in, std::span<std::byte> into) -> peal::task<std::size_t> { co_return co_await in.read_exactly(into); };
    auto some = [](reader& in, std::span<std::byte> into) -> peal::task<std::size_t> { co_return co_await in.read(into); };
    {
        scripted_stream stream(text, {});
        reader in(stream, 100);
        CHECK(peal::sync_wait(all(in, std::span(memory).first(950))) == 950);
        CHECK(stream.reads == 1);
        CHECK(stream.largest_read == 950);
        CHECK(in.buffered().empty());
        CHECK(peal::sync_wait(some(in, std::span(memory).first(10))) == 10);
        CHECK(in.buffered().size() == 40);
        CHECK(peal::sync_wait(some(in, memory)) == 40);
        CHECK(stream.reads == 2);
    }
    scripted_stream stream(text, {});
    reader in(stream, 100);
    CHECK(peal::sync_wait(some(in, std::span(memory).first(100))) == 100);
    CHECK(stream.largest_read == 100);
    CHECK(in.buffered().empty());
}

namespace {

/// Gives "xxxx" so often, then `end`. With each piece it writes `end` over bytes that it has given before: who looks at them again finds it.
class planting_stream {
  public:
    planting_stream(std::size_t pieces, std::string_view end) : pieces_(pieces), end_(end) {}
    peal::task<std::size_t> read(std::span<std::byte> into) {
        if (given_ > pieces_) co_return 0;
        // Of a delimiter of several bytes the last bytes are looked at once more: they may be its begin.
        if (given_ >= 2) std::memcpy(into.data() - 6, end_.data(), end_.size());
        std::string_view piece = given_ == pieces_ ? end_ : std::string_view("xxxx");
        std::memcpy(into.data(), piece.data(), piece.size());
        ++given_;
        co_return piece.size();
    }

  private:
    std::size_t pieces_;
    std::string_view end_;
    std::size_t given_ = 0;
};

}  // namespace

TEST_CASE("buffered_reader: a delimiter is looked for once in each byte") {
    auto length = [](std::string_view end, bool by_line) -> peal::task<std::size_t> {
        planting_stream stream(100, end);
        peal::io::buffered_reader in(stream, 500);
        std::size_t bytes = 0;
        if (by_line) {
            auto line = co_await in.read_line(450);
            bytes = line->size();
        } else {
            auto part = co_await in.read_until(end, 450);
            bytes = part->size();
        }
        co_return bytes;
    };
    CHECK(peal::sync_wait(length("\n", true)) == 400);
    CHECK(peal::sync_wait(length("\n", false)) == 400);
    CHECK(peal::sync_wait(length("ab", false)) == 400);
    CHECK(peal::sync_wait(length("abc", false)) == 400);
}

// ---- cancellation, errors -------------------------------------------------------------------------------------------------------

namespace {

/// Each operation, canceled when the first `there` bytes have come: given again, with the rest, it gives what it would have given.
peal::task<> canceled_everywhere(peal::pool&) {
    const std::string text = "line one\r\nkey::val|";
    for (int which = 0; which < 5; ++which) {
        for (bool in_bytes : {false, true}) {
            for (std::size_t there = 0; there < text.size(); ++there) {
                CAPTURE(which, there);
                std::vector<std::size_t> pieces(in_bytes ? text.size() : 0, 1);
                scripted_stream stream(text.substr(0, there), pieces, scripted_stream::at_end::wait);
                reader in(stream, 32);
                std::array<std::byte, 18> memory{};
                auto operate = [](reader& from, int operation, std::span<std::byte> into) -> peal::task<std::string> {
                    std::string how;
                    switch (operation) {
                        case 0: how = told(co_await peal::as_result(from.read_line(30))); break;
                        case 1: how = told(co_await peal::as_result(from.read_until("::", 30))); break;
                        case 2: how = told(co_await peal::as_result(from.peek(18))); break;
                        case 3: how = told(co_await peal::as_result(from.read_exactly(into))); break;
                        case 4: how = told(co_await peal::as_result(from.read(into))); break;
                    }
                    co_return how;
                };
                const char* expected[] = {"'line one'", "'line one\r\nkey'", "'line one\r\nkey::val'", "18", ""};
                const std::size_t needed[] = {10, 15, 18, 18, 1};
                auto first = peal::spawn(operate, std::ref(in), which, std::span<std::byte>(memory));
                co_await peal::sleep_for(1ms);
                first.request_stop();
                std::string how = co_await first;
                if (there >= needed[which]) {
                    if (which != 4) CHECK(how == expected[which]);
                    continue;
                }
                if (which == 3 && there != 0) {
                    CHECK(how == told(there));  // reports what it has moved
                    CHECK(in.buffered().empty());
                } else {
                    CHECK(how == "canceled");
                    CHECK(told(in.buffered()) == told(std::string_view(text).substr(0, there)));
                }
                stream.append(text.substr(there));
                if (which == 3) {
                    how = co_await operate(in, which, std::span<std::byte>(memory).subspan(there));
                    CHECK(how == told(18 - there));
                    CHECK(told(std::span<const std::byte>(memory)) == told(std::string_view(text).substr(0, 18)));
                } else {
                    how = co_await operate(in, which, memory);
                    if (which != 4) CHECK(how == expected[which]);
                }
            }
        }
    }
    // By a timeout around it.
    scripted_stream stream("begun", {}, scripted_stream::at_end::wait);
    reader in(stream, 32);
    auto late = co_await peal::as_result(peal::timeout(1ms, in.read_line(10)));
    CHECK(late.error().code() == std::errc::timed_out);
    stream.append(" and ended\n");
    auto line = co_await peal::timeout(1ms, in.read_line(20));
    CHECK(line == "begun and ended");
}

peal::task<> fails_and_goes_on(peal::pool&) {
    scripted_stream stream("abc", {}, scripted_stream::at_end::error);
    reader in(stream, 32);
    auto line = co_await peal::as_result(in.read_line(10));
    CHECK(line.error().code() == std::errc::connection_reset);
    std::array<std::byte, 5> five{};
    auto bytes = co_await peal::as_result(in.read(five));
    CHECK(told(std::move(bytes)) == "3");
    bytes = co_await peal::as_result(in.read_exactly(five));
    CHECK(bytes.error().code() == std::errc::connection_reset);
}

}  // namespace

TEST_CASE("buffered_reader: canceled wherever it waits, it loses nothing") { support::in_simulations(canceled_everywhere, 1); }

TEST_CASE("buffered_reader: an error of the stream leaves what was read") { support::in_simulations(fails_and_goes_on, 1); }

// ---- real streams ---------------------------------------------------------------------------------------------------------------

namespace {

template <class Stream>
peal::task<> writes_lines(Stream to, int count) {
    for (int i = 0; i < count; ++i) {
        std::string line = std::to_string(i) + (i % 2 == 0 ? "\n" : "\r\n");
        co_await to.write_all(peal::io::bytes_of(line));
    }
    to.shutdown_write();
}

template <class Stream>
peal::task<int> reads_lines(Stream& from, std::size_t capacity) {
    peal::io::buffered_reader in(from, capacity);
    int next = 0;
    while (auto line = co_await in.read_line(6)) {
        if (*line != std::to_string(next)) co_return -1;
        ++next;
    }
    co_return next;
}

}  // namespace

TEST_CASE("buffered_reader: over tcp and memory streams, on several workers") {
    auto tcp = []() -> peal::task<int> {
        support::stream_pair ends = co_await support::connected_pair();
        auto writing = peal::spawn(writes_lines<peal::net::tcp_stream>, std::move(ends.first), 3000);
        int count = co_await reads_lines(ends.second, 100);
        co_await writing;
        co_return count;
    };
    auto memory = []() -> peal::task<int> {
        auto [here, there] = peal::io::memory_stream_pair(64);
        auto writing = peal::spawn(writes_lines<peal::io::memory_stream>, std::move(here), 3000);
        int count = co_await reads_lines(there, 8);
        co_await writing;
        co_return count;
    };
    for (unsigned workers : {1u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        CHECK(pool.run(tcp) == 3000);
        CHECK(pool.run(memory) == 3000);
    }
}

// ---- broken contracts -----------------------------------------------------------------------------------------------------------

TEST_CASE("buffered_reader: broken contracts are told") {
    auto death = [](void (*use)(reader&)) {
        return support::death_of([use] {
            scripted_stream stream("abc", {});
            reader in(stream, 8);
            use(in);
        });
    };
    CHECK(death([](reader& in) { static_cast<void>(in.read_line(7)); }).says("read_line(): the limit"));
    CHECK_FALSE(death([](reader& in) { static_cast<void>(in.read_line(6)); }).aborted);
    CHECK(death([](reader& in) { static_cast<void>(in.read_until("ab", 7)); }).says("read_until(): the limit"));
    CHECK_FALSE(death([](reader& in) { static_cast<void>(in.read_until("ab", 6)); }).aborted);
    CHECK(death([](reader& in) { static_cast<void>(in.read_until("", 1)); }).says("needs a delimiter"));
    CHECK(death([](reader& in) { static_cast<void>(in.peek(9)); }).says("peek() of more bytes"));
    CHECK(death([](reader& in) { in.consume(1); }).says("consume() of more bytes"));
}
