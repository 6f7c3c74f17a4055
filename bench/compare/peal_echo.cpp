// SPDX-License-Identifier: MIT
//
// The example echo_server with `--buffer BYTES`: read() into a buffer of its own, for messages that are larger than what receive() lends. With
// `--ring exclusive`. With `--stalls N --stall-ms MS`: so many tasks that compute so long without awaiting anything, again and again; and `--rescue off`: their
// workers are not stood in for.

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <utility>

#include <peal/peal.hpp>

#include "server_options.hpp"

namespace {

peal::task<> session(peal::net::tcp_stream peer) {
    peal::net::receiver incoming(peer);
    while (auto received = co_await incoming.receive()) co_await peer.write_all(received.bytes());
}

peal::task<> session_with_buffer(peal::net::tcp_stream peer, unsigned buffer_bytes) {
    const std::unique_ptr<std::byte[]> memory(new std::byte[buffer_bytes]);  // not touched, so not resident yet
    const std::span<std::byte> buffer(memory.get(), buffer_bytes);
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(buffer.first(n));
}

peal::task<> hog(std::chrono::milliseconds length) {
    for (;;) {
        compute_for(length);
        co_await peal::sleep_for(pause_between_stalls);
    }
}

peal::task<> serve(peal::net::tcp_listener listener, unsigned buffer_bytes, stall_options stalls) {
    peal::scope sessions(peal::on_error::keep_going);
    for (unsigned i = 0; i < stalls.count; ++i) sessions.spawn(hog, std::chrono::milliseconds(stalls.ms));
    for (;;) {
        peal::net::tcp_stream peer = co_await listener.accept();
        if (buffer_bytes == 0) {
            sessions.spawn(session, std::move(peer));
        } else {
            sessions.spawn(session_with_buffer, std::move(peer), buffer_bytes);
        }
    }
}

}  // namespace

int main(int argc, char** argv) {
    unsigned buffer_bytes = 0;
    std::string_view ring = "shared";
    std::string_view rescue = "on";
    stall_options stalls;
    const server_options options = parse_server_options(
        argc, argv,
        [&](std::string_view name, std::string_view value) {
            if (name == "--buffer") return read_number(value, 1, 1u << 24, buffer_bytes);
            if (name == "--ring" && (value == "shared" || value == "exclusive")) {
                ring = value;
                return true;
            }
            if (name == "--rescue" && (value == "on" || value == "off")) {
                rescue = value;
                return true;
            }
            return stalls.read(name, value);
        },
        " [--buffer BYTES] [--ring shared|exclusive] [--rescue on|off] [--stalls N] [--stall-ms MS]");
    try {
        auto listener = peal::net::tcp_listener::bind(peal::net::address::from(options.host, options.port));
        peal::pool_options wanted(options.workers);
        if (ring == "exclusive") wanted.ring_mode = peal::ring_mode::exclusive;
        if (rescue == "off") wanted.rescue_after = std::chrono::nanoseconds(0);
        if (stalls.count != 0) wanted.on_stall = [](const peal::stall&) {};
        peal::pool pool(wanted);
        announce(options.host, listener.local_address().port());
        peal::process::run_until_terminated(pool, serve, std::move(listener), buffer_bytes, stalls);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "peal_echo: %s\n", failure.what());
        return 1;
    }
}
