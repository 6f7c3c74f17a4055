// SPDX-License-Identifier: MIT
#pragma once

// What can be read from and written to: the words that net::tcp_stream, memory_stream and their like have in common. What is built on
// them (buffered_reader, buffered_writer, frames, copy) takes any type of this shape.

#include <concepts>
#include <cstddef>
#include <span>

#include <peal/detail/awaitable.hpp>

namespace peal::io {

namespace detail {

template <class Awaited>
concept gives_size = awaitable<Awaited> && std::same_as<await_result<Awaited>, std::size_t>;

}  // namespace detail

/// `co_await from.read(buffer)` reads at most `buffer.size()` bytes, at least one; 0 at the end of the stream (and for an empty buffer).
/// A canceled read that has moved bytes reports them. What it gives may be an operation or a task.
template <class T>
concept readable = requires(T& from, std::span<std::byte> buffer) {
    { from.read(buffer) } -> detail::gives_size;
};

/// `write` writes at least one byte and gives the number, also if it is canceled after that. `write_all` writes everything and gives the
/// number, or throws: then nobody knows how much was written.
template <class T>
concept writable = requires(T& to, std::span<const std::byte> bytes) {
    { to.write(bytes) } -> detail::gives_size;
    { to.write_all(bytes) } -> detail::gives_size;
};

/// Both directions. `shutdown_write()` sends the end of the stream, and reading goes on. One task reads and one writes at a time.
template <class T>
concept stream = readable<T> && writable<T> && requires(T& both) { both.shutdown_write(); };

}  // namespace peal::io
