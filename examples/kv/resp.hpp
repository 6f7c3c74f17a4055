// SPDX-License-Identifier: MIT
#pragma once

// RESP2, the protocol of Redis: request_parser takes commands from received bytes, reply_buffer gathers
// answers.
//
// A request is a line of words ("inline": `SET key value\r\n`) or a multibulk
// (`*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n`). Both come in pieces of any size. The parser remembers how far it got,
// so that every byte is looked at once however small the pieces are, and its arguments are views into the
// received bytes: nothing is copied.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace kv {

using arguments = std::span<const std::string_view>;

// The first, the third and the fourth are those of Redis.
inline constexpr std::size_t bulk_bytes_max = 512u << 20;   // one argument
inline constexpr std::int64_t arguments_max = 1 << 20;      // of one command
inline constexpr std::size_t line_bytes_max = 64u << 10;    // an inline command, or a line that holds a length
inline constexpr std::size_t request_bytes_max = 1u << 30;  // a whole command
inline constexpr std::size_t reply_bytes_max = 1u << 30;    // the answer to one command

/// Decimal as Redis reads it: the whole text, no leading zeros, spaces or plus.
std::optional<std::int64_t> parse_integer(std::string_view text) noexcept;

class request_parser {
  public:
    enum class outcome : std::uint8_t {
        incomplete,  // call again when more has come
        complete,    // see words() and size_bytes()
        invalid,     // see error(); there is no way to go on
    };

    /// Goes on with the request at the front of `received`. Between calls the bytes may move, but not change,
    /// until take() is called. (Not const: quoted words of an inline command are unquoted where they lie.)
    outcome parse(std::span<char> received);

    /// The command and its arguments; none for an empty line. Valid until the received bytes move or take()
    /// is called.
    arguments words() const noexcept { return words_; }
    /// Length of the complete request, or what is known to be needed of an incomplete one (0: nothing is
    /// known).
    std::size_t size_bytes() const noexcept { return size_bytes_; }
    const std::string& error() const noexcept { return error_; }

    /// The request has been dealt with; the next one begins behind it.
    void take() noexcept;

  private:
    enum class line : std::uint8_t { incomplete, number, malformed, too_long };
    struct word {
        std::uint32_t offset;
        std::uint32_t size;
    };

    outcome parse_inline(std::span<char> received);
    outcome parse_bulks(std::span<char> received);
    outcome complete(std::span<char> received, std::size_t size_bytes);
    outcome invalid(std::string_view what);
    line read_number(std::span<const char> received, std::int64_t& number) noexcept;

    static constexpr std::int64_t unknown = -1;

    std::size_t position_ = 0;           // where to go on, from the beginning of the request
    std::int64_t words_left_ = unknown;  // of a multibulk whose first line has been read
    std::int64_t bulk_bytes_ = unknown;  // of the argument whose length has been read
    std::size_t size_bytes_ = 0;
    std::vector<word> found_;
    std::vector<std::string_view> words_;
    std::string error_;
};

/// Answers, one behind the other, as they go to the peer.
class reply_buffer {
  public:
    void ok() { text_.append("+OK\r\n"); }
    void status(std::string_view word) { line('+', word); }
    void integer(std::int64_t value) { number(':', value); }
    void bulk(std::string_view bytes) {
        number('$', static_cast<std::int64_t>(bytes.size()));
        text_.append(bytes).append("\r\n");
    }
    void nil() { text_.append("$-1\r\n"); }
    void array(std::size_t count) { number('*', static_cast<std::int64_t>(count)); }
    void nil_array() { text_.append("*-1\r\n"); }
    /// `what` begins with a code ("ERR ..."); line ends in it, which a peer may have sent, become spaces.
    void error(std::string_view what);

    std::span<const std::byte> bytes() const noexcept { return std::as_bytes(std::span(text_)); }
    std::size_t size() const noexcept { return text_.size(); }
    bool empty() const noexcept { return text_.empty(); }
    /// Takes back what was added since size() was `size`.
    void cut(std::size_t size) { text_.resize(size); }
    /// Empties it, and gives the memory of an unusually large answer back.
    void clear();

  private:
    static constexpr std::size_t kept_bytes = 128u << 10;

    void line(char type, std::string_view text) {
        text_.push_back(type);
        text_.append(text).append("\r\n");
    }
    void number(char type, std::int64_t value);

    std::string text_;
};

}  // namespace kv
