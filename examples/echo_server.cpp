// SPDX-License-Identifier: MIT

// Shows: a TCP server, one coroutine per connection.
// Run:   echo_server --port 7000         Expect: `nc 127.0.0.1 7000` gets back every line it sends; Ctrl-C ends the server.

#include <cstdio>
#include <exception>
#include <utility>

#include <peal/peal.hpp>

#include "support/server_options.hpp"

peal::task<> session(peal::net::tcp_stream peer) {
    peal::net::receiver incoming(peer);
    while (auto received = co_await incoming.receive())  // waits without a buffer; empty at the end of the stream
        co_await peer.write_all(received.bytes());
}

peal::task<> serve(peal::net::tcp_listener listener) {
    peal::scope sessions(peal::on_error::keep_going);  // joins or cancels what it started
    for (;;) sessions.spawn(session, co_await listener.accept());
}

int main(int argc, char** argv) {
    examples::server_options options(argc, argv, "echo_server", 7000);
    try {
        auto listener = peal::net::tcp_listener::bind(peal::net::address::from(options.host, options.port));
        peal::pool pool(peal::pool_options(options.workers));
        std::printf("listening on %s\n", listener.local_address().to_string().c_str());
        std::fflush(stdout);
        peal::process::run_until_terminated(pool, serve, std::move(listener));
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "echo_server: %s\n", failure.what());
        return 1;
    }
}
