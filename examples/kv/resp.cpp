// SPDX-License-Identifier: MIT

#include "resp.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <utility>

namespace kv {
namespace {

constexpr std::size_t words_kept = 1024;  // memory for so many arguments is kept from request to request

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r'); }

int hex_value(char c) noexcept {
    if (is_digit(c)) return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

char unescaped(char c) noexcept {
    switch (c) {
        case 'n': return '\n';
        case 'r': return '\r';
        case 't': return '\t';
        case 'b': return '\b';
        case 'a': return '\a';
        default: return c;
    }
}

/// Reads one word of an inline command from `in` and writes it, unquoted, to `out`, which never overtakes
/// `in`. False: a quote is not closed, or text follows it without a space.
bool unquote_word(const char*& in, const char* end, char*& out) noexcept {
    char quote = '\0';
    for (; in != end; ++in) {
        std::ptrdiff_t left = end - in;
        if (quote == '\0') {
            if (is_space(*in)) return true;
            if (*in == '"' || *in == '\'') {
                quote = *in;
            } else {
                *out++ = *in;
            }
        } else if (*in == quote) {
            ++in;
            return in == end || is_space(*in);
        } else if (*in == '\\' && quote == '\'' && left > 1 && in[1] == '\'') {
            *out++ = *++in;
        } else if (*in == '\\' && quote == '"' && left > 3 && in[1] == 'x' && hex_value(in[2]) >= 0 &&
                   hex_value(in[3]) >= 0) {
            *out++ = static_cast<char>(hex_value(in[2]) * 16 + hex_value(in[3]));
            in += 3;
        } else if (*in == '\\' && quote == '"' && left > 1) {
            *out++ = unescaped(*++in);
        } else {
            *out++ = *in;
        }
    }
    return quote == '\0';
}

}  // namespace

std::optional<std::int64_t> parse_integer(std::string_view text) noexcept {
    std::int64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    std::string_view digits = text.front() == '-' ? text.substr(1) : text;
    if (digits.front() == '0' && text != "0") return std::nullopt;
    return value;
}

// ---- requests --------------------------------------------------------------------------------------------

request_parser::outcome request_parser::parse(std::span<char> received) {
    if (words_left_ == unknown) {
        if (received.empty()) return outcome::incomplete;
        if (received.front() != '*') return parse_inline(received);
        std::int64_t count = 0;
        switch (read_number(received, count)) {
            case line::incomplete: return outcome::incomplete;
            case line::too_long: return invalid("too big mbulk count string");
            case line::malformed: return invalid("invalid multibulk length");
            case line::number: break;
        }
        if (count > arguments_max) return invalid("invalid multibulk length");
        words_left_ = std::max<std::int64_t>(count, 0);  // Redis takes none and less than none alike
    }
    return parse_bulks(received);
}

request_parser::outcome request_parser::parse_bulks(std::span<char> received) {
    while (words_left_ != 0) {
        if (bulk_bytes_ == unknown) {
            if (position_ == received.size()) return outcome::incomplete;
            if (char type = received[position_]; type != '$') {
                return invalid(std::string("expected '$', got '") + type + '\'');
            }
            std::int64_t size = 0;
            switch (read_number(received, size)) {
                case line::incomplete: return outcome::incomplete;
                case line::too_long: return invalid("too big bulk count string");
                case line::malformed: return invalid("invalid bulk length");
                case line::number: break;
            }
            if (size < 0 || size > static_cast<std::int64_t>(bulk_bytes_max))
                return invalid("invalid bulk length");
            bulk_bytes_ = size;
        }
        auto size = static_cast<std::size_t>(bulk_bytes_);
        size_bytes_ = position_ + size + 2;
        if (size_bytes_ > request_bytes_max) return invalid("too big request");
        if (received.size() < size_bytes_) return outcome::incomplete;
        found_.push_back({static_cast<std::uint32_t>(position_), static_cast<std::uint32_t>(size)});
        position_ = size_bytes_;  // like Redis, without a look at the two bytes that end the argument
        bulk_bytes_ = unknown;
        --words_left_;
    }
    return complete(received, position_);
}

request_parser::outcome request_parser::parse_inline(std::span<char> received) {
    std::size_t searched = std::min(received.size(), line_bytes_max + 1);
    auto* line_end = static_cast<char*>(std::memchr(received.data() + position_, '\n', searched - position_));
    if (line_end == nullptr) {
        position_ = searched;
        return received.size() > line_bytes_max ? invalid("too big inline request") : outcome::incomplete;
    }
    std::size_t size = static_cast<std::size_t>(line_end - received.data()) + 1;
    const char* end = std::find(received.data(), line_end, '\0');
    char* out = received.data();
    for (const char* in = received.data();;) {
        while (in != end && is_space(*in)) ++in;
        if (in == end) break;
        char* word_begin = out;
        if (!unquote_word(in, end, out)) return invalid("unbalanced quotes in request");
        found_.push_back({static_cast<std::uint32_t>(word_begin - received.data()),
                          static_cast<std::uint32_t>(out - word_begin)});
    }
    return complete(received, size);
}

request_parser::outcome request_parser::complete(std::span<char> received, std::size_t size_bytes) {
    size_bytes_ = size_bytes;
    words_.reserve(found_.size());
    for (word found : found_) words_.emplace_back(received.data() + found.offset, found.size);
    return outcome::complete;
}

request_parser::outcome request_parser::invalid(std::string_view what) {
    error_ = "ERR Protocol error: ";
    error_ += what;
    return outcome::invalid;
}

/// Reads the line at position_: a type, a number, and \r\n.
request_parser::line request_parser::read_number(std::span<const char> received,
                                                 std::int64_t& number) noexcept {
    // Nearly every line is one to seven digits, the first of them no zero: read without a search and without
    // a second pass.
    std::size_t at = position_ + 1;
    std::size_t stop = std::min(received.size(), at + 7);
    number = 0;
    while (at < stop && is_digit(received[at])) number = number * 10 + (received[at++] - '0');
    if (number != 0 && at + 1 < received.size() && received[at] == '\r' && received[position_ + 1] != '0') {
        position_ = at + 2;
        return line::number;
    }
    const char* begin = received.data() + position_ + 1;
    std::size_t size = received.size() - position_ - 1;
    auto* end = static_cast<const char*>(std::memchr(begin, '\r', std::min(size, line_bytes_max)));
    if (end == nullptr) return size >= line_bytes_max ? line::too_long : line::incomplete;
    if (end + 1 == received.data() + received.size()) return line::incomplete;
    std::optional<std::int64_t> parsed =
        parse_integer(std::string_view(begin, static_cast<std::size_t>(end - begin)));
    if (!parsed) return line::malformed;
    number = *parsed;
    position_ = static_cast<std::size_t>(end - received.data()) + 2;
    return line::number;
}

void request_parser::take() noexcept {
    position_ = 0;
    words_left_ = unknown;
    bulk_bytes_ = unknown;
    size_bytes_ = 0;
    if (found_.size() > words_kept) {
        found_ = {};
        words_ = {};
    }
    found_.clear();
    words_.clear();
}

// ---- replies ---------------------------------------------------------------------------------------------

void reply_buffer::number(char type, std::int64_t value) {
    std::array<char, 24> text;
    text[0] = type;
    char* end = std::to_chars(text.data() + 1, text.data() + text.size(), value).ptr;
    *end++ = '\r';
    *end++ = '\n';
    text_.append(text.data(), static_cast<std::size_t>(end - text.data()));
}

void reply_buffer::error(std::string_view what) {
    std::size_t begin = text_.size();
    text_.push_back('-');
    text_.append(what);
    for (char& c : std::span(text_).subspan(begin)) {
        if (c == '\r' || c == '\n') c = ' ';
    }
    text_.append("\r\n");
}

void reply_buffer::clear() {
    text_.clear();
    if (text_.capacity() > kept_bytes) text_ = std::string();
}

}  // namespace kv
