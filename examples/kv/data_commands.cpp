// SPDX-License-Identifier: MIT

#include "data_commands.hpp"

#include <algorithm>

namespace kv {
namespace {

constexpr std::string_view wrong_type = "WRONGTYPE Operation against a key holding the wrong kind of value";
constexpr std::string_view not_an_integer = "ERR value is not an integer or out of range";
constexpr std::string_view syntax_error = "ERR syntax error";

/// Text of a value; null if it is a list.
std::string* text_of(shard::item& item) noexcept { return std::get_if<std::string>(&item.second.content); }

list* list_of(shard::item& item) noexcept {
    auto* held = std::get_if<std::unique_ptr<list>>(&item.second.content);
    return held != nullptr ? held->get() : nullptr;
}

/// Seconds or milliseconds from now, as a point in time; never if it cannot be one.
unix_ms from_now(std::int64_t amount, std::int64_t unit_ms) noexcept {
    constexpr std::int64_t largest = std::numeric_limits<std::int64_t>::max();
    if (amount > largest / unit_ms || amount < -(largest / unit_ms)) return never;
    unix_ms now = now_ms();
    return amount * unit_ms >= largest - now ? never : now + amount * unit_ms;
}

/// Sets a key to a text. Gives what was there before, if it owns much memory: to be freed after unlocking.
value assign(shard& home, const hashed_key& key, shard::item* found, std::string_view text) {
    if (found == nullptr) {
        home.add(key, std::string(text));
        return {};
    }
    std::string* old = text_of(*found);
    bool usable = old != nullptr && old->capacity() <= 2 * text.size() + 64;  // not much too large
    if (usable) {
        old->assign(text);
        return {};
    }
    return std::exchange(found->second.content, std::string(text));
}

struct set_options {
    unix_ms expires = never;
    bool only_if_missing = false;
    bool only_if_there = false;
};

/// Empty: understood. Otherwise the error.
std::string_view read_set_options(arguments words, set_options& options) noexcept {
    std::string_view amount;
    std::int64_t unit_ms = 0;
    for (std::size_t i = 0; i < words.size(); ++i) {
        bool has_value = i + 1 < words.size() && unit_ms == 0;
        if (equal_ignoring_case(words[i], "nx") && !options.only_if_there) {
            options.only_if_missing = true;
        } else if (equal_ignoring_case(words[i], "xx") && !options.only_if_missing) {
            options.only_if_there = true;
        } else if (equal_ignoring_case(words[i], "ex") && has_value) {
            unit_ms = 1000;
            amount = words[++i];
        } else if (equal_ignoring_case(words[i], "px") && has_value) {
            unit_ms = 1;
            amount = words[++i];
        } else {
            return syntax_error;
        }
    }
    if (unit_ms == 0) return {};
    std::optional<std::int64_t> number = parse_integer(amount);
    if (!number) return not_an_integer;
    if (*number > 0) options.expires = from_now(*number, unit_ms);
    return options.expires == never ? "ERR invalid expire time in 'set' command" : std::string_view();
}

/// Takes `count` elements off the front of a list; the list goes when it is empty.
void pop_front(shard& home, shard::item& found, list& elements, std::size_t count, reply_buffer& out) {
    for (; count != 0; --count) {
        out.bulk(elements.front());
        elements.pop_front();
    }
    if (elements.empty()) home.remove(found);
}

}  // namespace

// ---- keys ------------------------------------------------------------------------------------------------

void dbsize(store& data, arguments, reply_buffer& out) {
    std::size_t count = 0;  // with those whose time is over, until the sweep has found them; as Redis
    for (shard& part : data.shards()) {
        std::lock_guard guard(part);
        count += part.items().size();
    }
    out.integer(static_cast<std::int64_t>(count));
}

void del(store& data, arguments words, reply_buffer& out) {
    std::vector<shard::removed> removed;  // destroyed after the shards are unlocked
    arguments keys = words.subspan(1);
    store::several_locked guard(data, keys, 1);
    for (std::string_view word : keys) {
        hashed_key key(word);
        shard& home = data.shard_of(key);
        if (shard::item* found = home.find(key)) removed.push_back(home.remove(*found));
    }
    out.integer(static_cast<std::int64_t>(removed.size()));
}

void exists(store& data, arguments words, reply_buffer& out) {
    arguments keys = words.subspan(1);
    store::several_locked guard(data, keys, 1);
    out.integer(std::ranges::count_if(keys, [&data](std::string_view word) {
        hashed_key key(word);
        return data.shard_of(key).find(key) != nullptr;
    }));
}

void expire(store& data, arguments words, reply_buffer& out) {
    std::optional<std::int64_t> seconds = parse_integer(words[2]);
    if (words.size() > 3) {
        out.error("ERR Unsupported option " + std::string(words[3].substr(0, 128)));
        return;
    }
    if (!seconds) {
        out.error(not_an_integer);
        return;
    }
    unix_ms when = from_now(*seconds, 1000);
    if (when == never) {
        out.error("ERR invalid expire time in 'expire' command");
        return;
    }
    shard::removed removed;
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found != nullptr && *seconds > 0) home.expire_at(*found, when);
    if (found != nullptr && *seconds <= 0) removed = home.remove(*found);
    out.integer(found != nullptr ? 1 : 0);
}

void ttl(store& data, arguments words, reply_buffer& out) {
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found == nullptr) {
        out.integer(-2);
    } else if (found->second.expires == never) {
        out.integer(-1);
    } else {
        out.integer((std::max<unix_ms>(found->second.expires - now_ms(), 0) + 500) / 1000);
    }
}

// ---- strings ---------------------------------------------------------------------------------------------

void get(store& data, arguments words, reply_buffer& out) {
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found == nullptr) {
        out.nil();
    } else if (std::string* text = text_of(*found)) {
        out.bulk(*text);
    } else {
        out.error(wrong_type);
    }
}

void set(store& data, arguments words, reply_buffer& out) {
    set_options options;
    if (auto mistake = read_set_options(words.subspan(3), options); !mistake.empty()) {
        out.error(mistake);
        return;
    }
    value old;  // destroyed after the shard is unlocked
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found != nullptr ? options.only_if_missing : options.only_if_there) {
        out.nil();
        return;
    }
    old = assign(home, key, found, words[2]);
    if (found == nullptr && options.expires != never) found = home.find(key);
    if (found != nullptr) home.expire_at(*found, options.expires);
    out.ok();
}

void incr(store& data, arguments words, reply_buffer& out) {
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found == nullptr) {
        home.add(key, std::string("1"));
        out.integer(1);
        return;
    }
    std::string* text = text_of(*found);
    if (text == nullptr) {
        out.error(wrong_type);
        return;
    }
    std::optional<std::int64_t> number = parse_integer(*text);
    if (!number) {
        out.error(not_an_integer);
    } else if (*number == std::numeric_limits<std::int64_t>::max()) {
        out.error("ERR increment or decrement would overflow");
    } else {
        text->assign(std::to_string(*number + 1));
        out.integer(*number + 1);
    }
}

void mget(store& data, arguments words, reply_buffer& out) {
    arguments keys = words.subspan(1);
    std::size_t begin = out.size();
    out.array(keys.size());
    store::several_locked guard(data, keys, 1);
    for (std::string_view word : keys) {
        hashed_key key(word);
        shard::item* found = data.shard_of(key).find(key);
        std::string* text = found != nullptr ? text_of(*found) : nullptr;
        if (text == nullptr) {
            out.nil();
        } else if (out.size() - begin + text->size() > reply_bytes_max) {
            out.cut(begin);
            out.error("ERR the values are too large for one reply");
            break;
        } else {
            out.bulk(*text);
        }
    }
}

void mset(store& data, arguments words, reply_buffer& out) {
    if (words.size() % 2 == 0) {
        wrong_count("mset", out);
        return;
    }
    std::vector<value> old;  // destroyed after the shards are unlocked
    arguments pairs = words.subspan(1);
    store::several_locked guard(data, pairs, 2);
    for (std::size_t i = 0; i < pairs.size(); i += 2) {
        hashed_key key(pairs[i]);
        shard& home = data.shard_of(key);
        shard::item* found = home.find(key);
        old.push_back(assign(home, key, found, pairs[i + 1]));
        if (found != nullptr) home.expire_at(*found, never);
    }
    out.ok();
}

// ---- lists -----------------------------------------------------------------------------------------------

void lpush(store& data, arguments words, reply_buffer& out) {
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found == nullptr) found = &home.add(key, std::make_unique<list>());
    list* elements = list_of(*found);
    if (elements == nullptr) {
        out.error(wrong_type);
        return;
    }
    for (std::string_view word : words.subspan(2)) elements->emplace_front(word);
    out.integer(static_cast<std::int64_t>(elements->size()));
}

void lpop(store& data, arguments words, reply_buffer& out) {
    if (words.size() > 3) {
        wrong_count("lpop", out);
        return;
    }
    bool many = words.size() == 3;
    std::int64_t count = many ? parse_integer(words[2]).value_or(-1) : 1;
    if (count < 0) {
        out.error("ERR value is out of range, must be positive");
        return;
    }
    hashed_key key(words[1]);
    shard& home = data.shard_of(key);
    std::lock_guard guard(home);
    shard::item* found = home.find(key);
    if (found == nullptr) {
        many ? out.nil_array() : out.nil();
        return;
    }
    list* elements = list_of(*found);
    if (elements == nullptr) {
        out.error(wrong_type);
        return;
    }
    std::size_t taken = std::min(static_cast<std::size_t>(count), elements->size());
    if (many) {
        std::size_t bytes = 0;
        for (std::size_t i = 0; i < taken; ++i) bytes += (*elements)[i].size();
        if (bytes > reply_bytes_max) {
            out.error("ERR the elements are too large for one reply");
            return;
        }
        out.array(taken);
    }
    pop_front(home, *found, *elements, taken, out);
}

}  // namespace kv
