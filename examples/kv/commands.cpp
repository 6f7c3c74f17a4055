// SPDX-License-Identifier: MIT

#include "commands.hpp"

#include <algorithm>

#include "data_commands.hpp"

namespace kv {
namespace {

constexpr std::size_t batch_bytes = 64u << 10;  // replies that are worth a write

enum class connection : bool { stays, closes };

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

std::string quoted_start(std::string_view text, std::size_t most) {
    return '\'' + std::string(text.substr(0, most)) + '\'';
}

}  // namespace

bool equal_ignoring_case(std::string_view word, std::string_view lower_case) noexcept {
    return std::ranges::equal(word, lower_case, [](char a, char b) { return lower(a) == b; });
}

void wrong_count(std::string_view command, reply_buffer& out) {
    out.error("ERR wrong number of arguments for " + quoted_start(command, command.size()) + " command");
}

namespace {

// ---- connection ------------------------------------------------------------------------------------------

void ping(store&, arguments words, reply_buffer& out) {
    if (words.size() > 2) {
        wrong_count("ping", out);
    } else if (words.size() == 2) {
        out.bulk(words[1]);
    } else {
        out.status("PONG");
    }
}

void echo(store&, arguments words, reply_buffer& out) { out.bulk(words[1]); }

void quit(store&, arguments, reply_buffer& out) { out.ok(); }

/// redis-benchmark asks before it begins whether the server saves.
void config(store&, arguments words, reply_buffer& out) {
    if (!equal_ignoring_case(words[1], "get")) {
        out.error("ERR unknown subcommand " + quoted_start(words[1], 128) + ". Try CONFIG HELP.");
        return;
    }
    if (words.size() < 3) {
        wrong_count("config|get", out);
        return;
    }
    arguments asked = words.subspan(2);
    auto is_asked = [asked](std::string_view name) {
        return std::ranges::any_of(asked,
                                   [name](std::string_view word) { return equal_ignoring_case(word, name); });
    };
    bool save = is_asked("save");
    bool append_only = is_asked("appendonly");
    out.array(2 * (std::size_t{save} + std::size_t{append_only}));
    if (save) {
        out.bulk("save");
        out.bulk("");
    }
    if (append_only) {
        out.bulk("appendonly");
        out.bulk("no");
    }
}

// ---- the table -------------------------------------------------------------------------------------------

void command(store& data, arguments words, reply_buffer& out);

/// A name of at most eight letters as one number, whatever its case. Only a letter becomes a lower-case
/// letter by that bit.
constexpr std::uint64_t packed(std::string_view name) noexcept {
    std::uint64_t number = 0;
    for (char c : name) number = number << 8 | (static_cast<unsigned char>(c) | 0x20u);
    return number;
}

struct command_entry {
    std::string_view name;
    int arity;  // words with the name; negative: at least so many, as Redis writes it
    std::string_view flag;
    int first_key, last_key, key_step;  // positions; last -1: to the end
    void (*run)(store&, arguments, reply_buffer&);
    std::uint64_t number = packed(name);
};

// Often used ones first: the table is searched from the top.
constexpr command_entry commands[] = {
    {"get", 2, "readonly", 1, 1, 1, get},
    {"set", -3, "write", 1, 1, 1, set},
    {"incr", 2, "write", 1, 1, 1, incr},
    {"lpush", -3, "write", 1, 1, 1, lpush},
    {"lpop", -2, "write", 1, 1, 1, lpop},
    {"ping", -1, "fast", 0, 0, 0, ping},
    {"mget", -2, "readonly", 1, -1, 1, mget},
    {"mset", -3, "write", 1, -1, 2, mset},
    {"del", -2, "write", 1, -1, 1, del},
    {"exists", -2, "readonly", 1, -1, 1, exists},
    {"expire", -3, "write", 1, 1, 1, expire},
    {"ttl", 2, "readonly", 1, 1, 1, ttl},
    {"dbsize", 1, "readonly", 0, 0, 0, dbsize},
    {"echo", 2, "fast", 0, 0, 0, echo},
    {"quit", -1, "fast", 0, 0, 0, quit},
    {"command", -1, "loading", 0, 0, 0, command},
    {"config", -2, "admin", 0, 0, 0, config},
};

/// COMMAND, COMMAND COUNT and COMMAND DOCS: redis-cli asks when it is started by hand.
void command(store&, arguments words, reply_buffer& out) {
    if (words.size() == 1) {
        out.array(std::size(commands));
        for (const command_entry& entry : commands) {
            out.array(6);
            out.bulk(entry.name);
            out.integer(entry.arity);
            out.array(1);
            out.status(entry.flag);
            out.integer(entry.first_key);
            out.integer(entry.last_key);
            out.integer(entry.key_step);
        }
    } else if (equal_ignoring_case(words[1], "count")) {
        out.integer(std::ssize(commands));
    } else if (equal_ignoring_case(words[1], "docs")) {
        out.array(0);  // there are none
    } else {
        out.error("ERR unknown subcommand " + quoted_start(words[1], 128) + ". Try COMMAND HELP.");
    }
}

void unknown_command(arguments words, reply_buffer& out) {
    constexpr std::size_t shown_bytes = 128;
    std::string beginning;
    for (std::string_view word : words.subspan(1)) {
        if (beginning.size() >= shown_bytes) break;
        beginning += quoted_start(word, shown_bytes - beginning.size()) + ' ';
    }
    out.error("ERR unknown command " + quoted_start(words[0], shown_bytes) +
              ", with args beginning with: " + beginning);
}

connection run_command(store& data, arguments words, reply_buffer& out) {
    if (words[0].size() <= sizeof(std::uint64_t)) {
        std::uint64_t number = packed(words[0]);
        for (const command_entry& entry : commands) {
            if (entry.number != number) continue;
            auto count = static_cast<int>(words.size());
            if (entry.arity > 0 ? count != entry.arity : count < -entry.arity) {
                wrong_count(entry.name, out);
                return connection::stays;
            }
            entry.run(data, words, out);
            return entry.run == quit ? connection::closes : connection::stays;
        }
    }
    unknown_command(words, out);
    return connection::stays;
}

}  // namespace

progress answer_commands(store& data, receive_buffer& input, request_parser& parser, reply_buffer& replies) {
    while (replies.size() < batch_bytes) {
        switch (parser.parse(input.received())) {
            case request_parser::outcome::incomplete: return progress::all_answered;
            case request_parser::outcome::invalid:
                replies.error(parser.error());
                return progress::last_words;
            case request_parser::outcome::complete: break;
        }
        connection after = connection::stays;
        if (!parser.words().empty()) after = run_command(data, parser.words(), replies);
        input.remove(parser.size_bytes());
        parser.take();
        if (after == connection::closes) return progress::last_words;
    }
    return progress::batch_full;
}

}  // namespace kv
