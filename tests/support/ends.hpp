// SPDX-License-Identifier: MIT
#pragma once

// How things ended, as text or value: calls, operations on sockets, tasks.

#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <system_error>

#include <peal/task/as_result.hpp>
#include <peal/task/spawn.hpp>
#include <peal/task/task.hpp>

namespace support {

/// The words of the error that the call throws, or "none".
template <class Call>
std::string failure_of(Call call) {
    try {
        call();
        return "none";
    } catch (const std::system_error& failure) {
        return failure.what();
    }
}

/// "n bytes", or the error.
template <class Socket>
peal::task<std::string> receive_end(Socket& socket) {
    std::array<std::byte, 100> buffer;
    auto receiving = socket.receive(buffer);
    auto got = co_await peal::as_result(receiving);
    co_return got ? std::to_string(got->size()) + " bytes" : got.error().message();
}
/// "sent", or the error.
template <class Socket>
peal::task<std::string> send_end(Socket& socket, std::span<const std::byte> bytes) {
    auto sending = socket.send(bytes);
    auto sent = co_await peal::as_result(sending);
    co_return sent ? "sent" : sent.error().message();
}

/// For pool.run(): what the task gives.
template <class T>
peal::task<T> take(peal::join_handle<T> handle) {
    co_return co_await handle;
}

}  // namespace support
