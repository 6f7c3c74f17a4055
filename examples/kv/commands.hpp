// SPDX-License-Identifier: MIT
#pragma once

// The commands: what each does to the store, and what it answers. Plain functions: nothing here waits, so
// nothing is a coroutine.

#include "receive_buffer.hpp"
#include "resp.hpp"
#include "store.hpp"

namespace kv {

enum class progress : std::uint8_t {
    all_answered,  // what is left is no complete command: receive more
    batch_full,    // send the replies, then go on
    last_words,    // send the replies, then close: the peer said QUIT, or broke the protocol
};

/// Answers the complete commands in `input`, in order, until the replies are worth sending.
progress answer_commands(store& data, receive_buffer& input, request_parser& parser, reply_buffer& replies);

}  // namespace kv
