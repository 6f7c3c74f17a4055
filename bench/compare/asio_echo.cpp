// SPDX-License-Identifier: MIT
//
// Echo server on standalone Asio (written for 1.22, the version of Debian 12) with its epoll reactor: one C++20
// coroutine per connection, one io_context that all workers run, as Asio's documentation proposes. Settings in its
// favour: the concrete executor type instead of any_io_executor, errors as values, concurrency hint 1 for one worker.
// Messages above `--buffer BYTES` (4096) cost several turns of the coroutine's loop. `--stalls N --stall-ms MS` as peal_echo.

#define ASIO_STANDALONE
#ifndef ASIO_HAS_CO_AWAIT
#define ASIO_HAS_CO_AWAIT 1 // 1.22 looks for the coroutines TS under Clang and misses those of C++20
#endif
#include <asio.hpp>
#include <asio/experimental/as_tuple.hpp>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "server_options.hpp"

namespace {

using executor = asio::io_context::executor_type;
using as_tuple_awaitable = asio::experimental::as_tuple_t<asio::use_awaitable_t<executor>>;
using stream_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using acceptor = asio::basic_socket_acceptor<asio::ip::tcp, executor>;
template <typename Result = void>
using task = asio::awaitable<Result, executor>;

constexpr as_tuple_awaitable token{};

task<> echo(stream_socket socket, unsigned buffer_bytes)
{
    const std::unique_ptr<char[]> data(new char[buffer_bytes]);
    while (true) {
        const auto [read_error, received] = co_await socket.async_read_some(asio::buffer(data.get(), buffer_bytes), token);
        if (read_error)
            co_return; // asio::error::eof: the peer is done; anything else: it broke
        const auto [write_error, sent] = co_await asio::async_write(socket, asio::buffer(data.get(), received), token);
        if (write_error)
            co_return;
    }
}

task<> hog(asio::io_context& context, std::chrono::milliseconds length)
{
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, executor> pause(context);
    while (true) {
        compute_for(length);
        pause.expires_after(pause_between_stalls);
        co_await pause.async_wait(token);
    }
}

task<> serve(acceptor& listener, asio::io_context& context, unsigned buffer_bytes)
{
    while (true) {
        stream_socket socket(context);
        const auto [error] = co_await listener.async_accept(socket, token);
        if (error == asio::error::operation_aborted)
            co_return;
        if (error) { // out of descriptors, most likely: the comparison is void
            std::fprintf(stderr, "asio_echo: accept: %s\n", error.message().c_str());
            std::exit(1);
        }
        asio::error_code ignored; // the peer may have gone already; reading will tell
        socket.set_option(asio::ip::tcp::no_delay(true), ignored);
        asio::co_spawn(context, echo(std::move(socket), buffer_bytes), asio::detached);
    }
}

} // namespace

int main(int argc, char** argv)
{
    unsigned buffer_bytes = 4096;
    stall_options stalls;
    const server_options options = parse_server_options(
        argc, argv,
        [&buffer_bytes, &stalls](std::string_view name, std::string_view value) {
            if (name == "--buffer")
                return read_number(value, 1, 1u << 24, buffer_bytes);
            return stalls.read(name, value);
        },
        " [--buffer BYTES] [--stalls N] [--stall-ms MS]");
    asio::error_code bad_address;
    const auto address = asio::ip::make_address(options.host, bad_address);
    if (bad_address) {
        std::fprintf(stderr, "asio_echo: --host: '%s' is not a numeric address\n", options.host.c_str());
        return 2;
    }
    try {
        asio::io_context context(static_cast<int>(options.workers));
        acceptor listener(context, asio::ip::tcp::endpoint(address, options.port)); // sets SO_REUSEADDR, listens
        asio::signal_set signals(context, SIGTERM, SIGINT);
        signals.async_wait([&context](const asio::error_code&, int) { context.stop(); });
        asio::co_spawn(context, serve(listener, context, buffer_bytes), asio::detached);
        for (unsigned i = 0; i < stalls.count; ++i)
            asio::co_spawn(context, hog(context, std::chrono::milliseconds(stalls.ms)), asio::detached);
        announce(options.host, listener.local_endpoint().port());

        std::vector<std::jthread> others;
        for (unsigned i = 1; i < options.workers; ++i)
            others.emplace_back([&context] { context.run(); });
        context.run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "asio_echo: %s\n", error.what());
        return 1;
    }
    return 0;
}
