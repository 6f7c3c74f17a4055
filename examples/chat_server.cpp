// SPDX-License-Identifier: MIT

// Shows: one sender and many receivers (broadcast), two things at once per connection (when_any), slow peers, an end that says goodbye.
// Run:   chat_server --port 7001         Expect: `nc 127.0.0.1 7001` in two terminals: give a name each, then talk.

#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <peal/peal.hpp>

#include "support/server_options.hpp"

using namespace std::chrono_literals;
using peal::net::tcp_stream;

using line_reader = peal::io::buffered_reader<tcp_stream>;
constexpr std::size_t longest_line = 1024;  // who sends a longer one is cut off

using line = std::shared_ptr<const std::string>;  // one copy for all who read it
using room = peal::broadcast<line>;

void say(room& all, std::string text) { all.send(std::make_shared<const std::string>(std::move(text))); }

peal::task<> write_line(tcp_stream& peer, const std::string& text) {
    std::string bytes = text + '\n';
    co_await peal::timeout(5s, peer.write_all(peal::io::bytes_of(bytes)));  // who takes nothing for so long is gone
}

/// What the peer says, until it leaves.
peal::task<> listen(room& all, line_reader& lines, const std::string& name) {
    while (auto text = co_await lines.read_line(longest_line)) say(all, name + ": " + std::string(*text));
}

/// What everybody says, until the room is closed or the peer is too slow for it.
peal::task<> tell(room::subscriber heard, tcp_stream& peer) {
    while (auto next = co_await heard.receive()) {
        if (next->missed != 0) {
            co_await write_line(peer, "* you are too slow: " + std::to_string(next->missed) + " lines are lost. Goodbye.");
            co_return;
        }
        co_await write_line(peer, *next->item);
    }
    co_await write_line(peer, "* the server ends. Goodbye.");
}

peal::task<> talk(room& all, tcp_stream peer) {
    line_reader lines(peer, 2 * longest_line);
    co_await write_line(peer, "* your name?");
    auto answer = co_await peal::timeout(60s, lines.read_line(longest_line));
    if (!answer || answer->empty()) co_return;
    const std::string name(*answer);  // the view ends with the next read
    room::subscriber heard = all.subscribe();
    say(all, "* " + name + " comes");
    try {
        co_await peal::when_any(listen(all, lines, name), tell(heard, peer));
    } catch (const std::system_error&) {
        // The connection broke, or it was time to end: the others hear that it leaves, in either case.
    }
    say(all, "* " + name + " leaves");
}

/// A peer that breaks off, or says nothing for too long, costs its session and no line. Anything else is a mistake of ours, and reported.
peal::task<> session(room& all, tcp_stream peer) {
    try {
        co_await talk(all, std::move(peer));
    } catch (const std::system_error&) {
    }
}

peal::task<> serve(peal::net::tcp_listener listener) {
    room all(64);  // lines that a peer may be behind
    peal::scope sessions(peal::on_error::keep_going);
    try {
        for (;;) sessions.spawn(session, std::ref(all), co_await listener.accept());
    } catch (const std::system_error& failure) {
        if (!peal::is_canceled(failure)) throw;
    }
    all.close();
    co_await peal::drain(1s, sessions);
}

int main(int argc, char** argv) {
    examples::server_options options(argc, argv, "chat_server", 7001);
    try {
        auto listener = peal::net::tcp_listener::bind(peal::net::address::from(options.host, options.port));
        peal::pool pool{peal::pool_options(options.workers)};
        std::printf("listening on %s\n", listener.local_address().to_string().c_str());
        std::fflush(stdout);
        peal::process::run_until_terminated(pool, serve, std::move(listener));
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "chat_server: %s\n", failure.what());
        return 1;
    }
}
