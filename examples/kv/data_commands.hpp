// SPDX-License-Identifier: MIT
#pragma once

// What each command does to the store and answers; the table that finds them is in commands.cpp. `words` has
// as many words as the table demands, the name included.

#include "resp.hpp"
#include "store.hpp"

namespace kv {

bool equal_ignoring_case(std::string_view word, std::string_view lower_case) noexcept;
void wrong_count(std::string_view command, reply_buffer& out);

// keys
void dbsize(store& data, arguments words, reply_buffer& out);
void del(store& data, arguments words, reply_buffer& out);
void exists(store& data, arguments words, reply_buffer& out);
void expire(store& data, arguments words, reply_buffer& out);
void ttl(store& data, arguments words, reply_buffer& out);

// strings
void get(store& data, arguments words, reply_buffer& out);
void set(store& data, arguments words, reply_buffer& out);
void incr(store& data, arguments words, reply_buffer& out);
void mget(store& data, arguments words, reply_buffer& out);
void mset(store& data, arguments words, reply_buffer& out);

// lists
void lpush(store& data, arguments words, reply_buffer& out);
void lpop(store& data, arguments words, reply_buffer& out);

}  // namespace kv
