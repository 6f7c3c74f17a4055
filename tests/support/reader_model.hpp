// SPDX-License-Identifier: MIT
#pragma once

// reader_model: what a buffered_reader must give, computed from the whole text at once; and a run of both against each other, whose
// steps something else chooses: random numbers in a test, the fuzzer's bytes in a fuzz target.

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <peal/io/buffered_reader.hpp>
#include <peal/task/as_result.hpp>

namespace support {

inline std::string_view text_of(std::span<const std::byte> bytes) {
    return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// How an operation ended, in words that can be compared.
inline std::string told(std::string_view value) { return '\'' + std::string(value) + '\''; }
inline std::string told(std::span<const std::byte> value) { return told(text_of(value)); }
inline std::string told(std::size_t value) { return std::to_string(value); }
template <class T>
std::string told(const std::optional<T>& value) {
    return value ? told(*value) : "nothing";
}
template <class T>
std::string told(peal::result<T> ended) {
    if (ended) return told(*ended);
    if (ended.error().is_canceled()) return "canceled";
    if (ended.error().code() == std::errc::message_size) return "too long";
    if (ended.error().code() == std::errc::connection_aborted) return "cut off";
    return ended.error().message();
}

class reader_model {
  public:
    explicit reader_model(std::string_view text) : left_(text) {}

    std::string_view left() const { return left_; }
    std::string_view take(std::size_t count) {
        std::string_view taken = left_.substr(0, count);
        left_.remove_prefix(taken.size());
        return taken;
    }
    std::string peek(std::size_t count) const { return told(left_.substr(0, count)); }
    std::string read_until(std::string_view delimiter, std::size_t limit) {
        if (left_.empty()) return "nothing";
        std::size_t at = left_.find(delimiter);
        if (at == std::string_view::npos) return left_.size() >= limit + delimiter.size() ? "too long" : "cut off";
        if (at > limit) return "too long";
        std::string_view taken = take(at);
        take(delimiter.size());
        return told(taken);
    }
    std::string read_line(std::size_t limit) {
        if (left_.empty()) return "nothing";
        std::size_t newline = left_.find('\n');
        std::string_view line = left_.substr(0, newline);
        std::size_t consumed = newline == std::string_view::npos ? line.size() : newline + 1;
        if (newline != std::string_view::npos && line.ends_with('\r')) line.remove_suffix(1);
        if (line.size() > limit) return "too long";
        take(consumed);
        return told(line);
    }

  private:
    std::string_view left_;
};

/// Reads all of `text`, which the reader's stream gives, in ways that `choose.below(bound)` chooses. Gives what was wrong, "" if nothing.
template <class Stream, class Choices>
peal::task<std::string> read_against_model(peal::io::buffered_reader<Stream>& in, std::string_view text, Choices& choose) {
    constexpr std::string_view delimiters[] = {"\n", "\r\n", "aab", "::", "aaaa", "abab"};
    reader_model model(text);
    const auto capacity = static_cast<std::uint32_t>(in.capacity());
    std::vector<std::byte> memory(2 * in.capacity() + 1);
    auto differs = [&](const char* operation, std::size_t size, const std::string& got, const std::string& expected) {
        return std::string(operation) + ' ' + std::to_string(size) + " at " + std::to_string(text.size() - model.left().size()) + " gave " + got +
               ", not " + expected;
    };
    // A step that cannot go on (too long, cut off) leaves all as it was, so the number of steps needs a bound.
    for (std::size_t step = 0; step < 4 * text.size() + 16; ++step) {
        std::size_t at = text.size() - model.left().size();
        switch (choose.below(7)) {
            case 0: {
                std::size_t size = choose.below(2 * capacity + 1);
                std::span<std::byte> into = std::span(memory).first(size);
                std::size_t count = co_await in.read(into);
                if (count > size || (count == 0 && size != 0 && !model.left().empty())) co_return differs("read", size, told(count), "another number");
                std::string got = told(into.first(count));
                std::string expected = told(model.take(count));
                if (got != expected) co_return differs("read", size, got, expected);
                break;
            }
            case 1: {
                std::size_t size = choose.below(2 * capacity + 1);
                std::span<std::byte> into = std::span(memory).first(size);
                std::size_t count = co_await in.read_exactly(into);
                std::string got = told(into.first(std::min(size, count)));
                std::string expected = told(model.take(size));
                if (got != expected) co_return differs("read_exactly", size, got, expected);
                break;
            }
            case 2: {
                std::size_t size = choose.below(capacity + 1);
                std::string got = told(co_await in.peek(size));
                if (got != model.peek(size)) co_return differs("peek", size, got, model.peek(size));
                break;
            }
            case 3:
            case 4: {
                std::string_view delimiter = delimiters[choose.below(std::size(delimiters))];
                if (delimiter.size() > capacity) break;
                std::size_t limit = choose.below(capacity - static_cast<std::uint32_t>(delimiter.size()) + 1);
                std::string got = told(co_await peal::as_result(in.read_until(delimiter, limit)));
                std::string expected = model.read_until(delimiter, limit);
                if (got != expected) co_return differs("read_until", limit, got, expected);
                break;
            }
            case 5: {
                if (capacity < 2) break;
                std::size_t limit = choose.below(capacity - 1);
                std::string got = told(co_await peal::as_result(in.read_line(limit)));
                std::string expected = model.read_line(limit);
                if (got != expected) co_return differs("read_line", limit, got, expected);
                break;
            }
            case 6: {
                std::string there(text_of(in.buffered()));
                if (!model.left().starts_with(there)) co_return differs("buffered", there.size(), told(std::string_view(there)), "what comes next");
                std::size_t size = choose.below(static_cast<std::uint32_t>(there.size()) + 1);
                in.consume(size);
                model.take(size);
                break;
            }
        }
        if (at == text.size() && choose.below(2) == 0) break;
    }
    std::size_t rest = model.left().size();
    std::vector<std::byte> all(rest + 1);
    std::size_t count = co_await in.read_exactly(all);
    std::string got = told(std::span(all).first(std::min(count, all.size())));
    if (got != told(model.take(rest))) co_return differs("the rest", rest, got, "what was left");
    co_return "";
}

}  // namespace support
