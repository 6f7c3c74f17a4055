// SPDX-License-Identifier: MIT
#pragma once

// said_by: how a task ended, in words.

#include <string>
#include <utility>

#include <peal/task/as_result.hpp>
#include <peal/task/task.hpp>

namespace support {

/// "done", or what the error says.
template <class T>
peal::task<std::string> said_by(peal::task<T> call) {
    auto done = co_await peal::as_result(std::move(call));
    co_return done ? "done" : done.error().message();
}

}  // namespace support
