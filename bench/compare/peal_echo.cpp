// SPDX-License-Identifier: MIT
//
// The example echo_server with `--buffer BYTES` (4096): for messages that are larger than the example's buffer.

#include <cstdio>
#include <exception>
#include <memory>
#include <utility>

#include <peal/peal.hpp>

#include "server_options.hpp"

namespace {

peal::task<> session(peal::net::tcp_stream peer, unsigned buffer_bytes) {
    const std::unique_ptr<std::byte[]> memory(new std::byte[buffer_bytes]);  // not touched, so not resident yet
    const std::span<std::byte> buffer(memory.get(), buffer_bytes);
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(buffer.first(n));
}

peal::task<> serve(peal::net::tcp_listener listener, unsigned buffer_bytes) {
    peal::scope sessions(peal::on_error::keep_going);
    for (;;) {
        peal::net::tcp_stream peer = co_await listener.accept();
        sessions.spawn(session, std::move(peer), buffer_bytes);
    }
}

}  // namespace

int main(int argc, char** argv) {
    unsigned buffer_bytes = 4096;
    const server_options options = parse_server_options(
        argc, argv,
        [&buffer_bytes](std::string_view name, std::string_view value) {
            return name == "--buffer" && read_number(value, 1, 1u << 24, buffer_bytes);
        },
        " [--buffer BYTES]");
    try {
        auto listener = peal::net::tcp_listener::bind(peal::net::address::from(options.host, options.port));
        peal::pool pool(peal::pool_options(options.workers));
        announce(options.host, listener.local_address().port());
        peal::process::run_until_terminated(pool, serve, std::move(listener), buffer_bytes);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "peal_echo: %s\n", failure.what());
        return 1;
    }
}
