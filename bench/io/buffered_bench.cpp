// SPDX-License-Identifier: MIT

// Measures: lines, parts up to "\r\n" and frames of 26 bytes out of a buffered_reader, and writes of 10 bytes into a buffered_writer, per piece, from
//   and to a stream that is always ready; and a memory_stream, per write and read of 64 bytes by one task.
//   bare: the same lines by memchr in one piece of memory. Allocations per piece are to be 0.000.
// Not: waiting, sockets (net/echo).

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

/// Gives a text again and again, so many times; takes whatever is written.
class endless {
  public:
    endless(std::string_view text, std::int64_t times) : text_(text), left_(times) {}
    peal::task<std::size_t> read(std::span<std::byte> into) {
        if (at_ == text_.size()) at_ = 0, --left_;
        if (left_ == 0) co_return 0;
        std::size_t count = std::min(into.size(), text_.size() - at_);
        std::memcpy(into.data(), text_.data() + at_, count);
        at_ += count;
        co_return count;
    }
    peal::task<std::size_t> write(std::span<const std::byte> bytes) { co_return bytes.size(); }
    peal::task<std::size_t> write_all(std::span<const std::byte> bytes) { co_return bytes.size(); }

  private:
    std::string_view text_;
    std::size_t at_ = 0;
    std::int64_t left_;
};

constexpr std::int64_t pieces_of_text = 4000;

std::string text_of_lines() {
    std::string text;
    for (std::int64_t i = 0; i < pieces_of_text; ++i) text += "a line of some text " + std::to_string(1000 + i % 1000) + "\r\n";
    return text;
}
std::string text_of_frames() {
    std::string text;
    for (std::int64_t i = 0; i < pieces_of_text; ++i) text += std::string("\0\0\0\x16", 4) + "a frame of some bytes.";
    return text;
}

enum class what { lines, until, frames };

template <what What>
peal::task<std::int64_t> take_all(peal::io::buffered_reader<endless>& in) {
    std::int64_t bytes = 0;
    if constexpr (What == what::lines) {
        while (auto line = co_await in.read_line(200)) bytes += static_cast<std::int64_t>(line->size());
    } else if constexpr (What == what::until) {
        while (auto part = co_await in.read_until("\r\n", 200)) bytes += static_cast<std::int64_t>(part->size());
    } else {
        while (auto frame = co_await peal::io::read_frame(in, 200)) bytes += static_cast<std::int64_t>(frame->size());
    }
    co_return bytes;
}

template <what What>
void take(benchmark::State& state) {
    std::string text = What == what::frames ? text_of_frames() : text_of_lines();
    std::int64_t times = bench::scaled(250, 2);
    std::int64_t expected = times * pieces_of_text * (What == what::frames ? 22 : 24);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        endless stream(text, times);
        peal::io::buffered_reader in(stream, static_cast<std::size_t>(state.range(0)));
        bench::expect(peal::sync_wait(take_all<What>(in)) == expected, "io/buffered: wrong count of bytes");
    }
    bench::report(state, state.iterations() * times * pieces_of_text, taken);
}

void bare(benchmark::State& state) {
    std::string text = text_of_lines();
    std::int64_t times = bench::scaled(250, 2);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        std::int64_t bytes = 0;
        for (std::int64_t i = 0; i < times; ++i) {
            const char* at = text.data();
            const char* end = at + text.size();
            while (at != end) {
                auto* newline = static_cast<const char*>(std::memchr(at, '\n', static_cast<std::size_t>(end - at)));
                bytes += newline - at - (newline[-1] == '\r' ? 1 : 0);
                at = newline + 1;
            }
        }
        benchmark::DoNotOptimize(bytes);
    }
    bench::report(state, state.iterations() * times * pieces_of_text, taken);
}

peal::task<> write_pieces(peal::io::buffered_writer<endless>& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) co_await to.write("0123456789");
    co_await to.flush();
}

void collect(benchmark::State& state) {
    std::int64_t count = bench::scaled(1'000'000, 1000);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        endless stream("", 0);
        peal::io::buffered_writer to(stream, static_cast<std::size_t>(state.range(0)));
        peal::sync_wait(write_pieces(to, count));
    }
    bench::report(state, state.iterations() * count, taken);
}

peal::task<> there_and_back(peal::io::memory_stream& to, peal::io::memory_stream& from, std::int64_t count) {
    std::array<std::byte, 64> bytes{};
    for (std::int64_t i = 0; i < count; ++i) {
        co_await to.write(bytes);
        co_await from.read(bytes);
    }
}

void memory(benchmark::State& state) {
    std::int64_t count = bench::scaled(200'000, 200);
    auto [to, from] = peal::io::memory_stream_pair(4096);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) peal::sync_wait(there_and_back(to, from, count));
    bench::report(state, state.iterations() * count, taken);
}

}  // namespace

void bench::add_all() {
    for (long capacity : {8L * 1024, 64L * 1024}) {
        add("io/buffered/read_line", take<what::lines>)->Arg(capacity)->ArgName("capacity");
        add("io/buffered/read_until", take<what::until>)->Arg(capacity)->ArgName("capacity");
        add("io/buffered/read_frame", take<what::frames>)->Arg(capacity)->ArgName("capacity");
        add("io/buffered/write", collect)->Arg(capacity)->ArgName("capacity");
    }
    add("io/buffered/bare", bare);
    add("io/buffered/memory_stream", memory);
}
