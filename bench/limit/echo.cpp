// SPDX-License-Identifier: MIT
//
// limit_echo: TCP echo as fast as this kernel lets a program be: the ruler for echo servers, on liburing alone. Each worker thread has its
// own listening socket (SO_REUSEPORT) and its own ring.
//
//   --mode multishot      one receive per connection for all messages, into shared buffers; a send has a completion only if it fails
//   --mode multishot-cqe  the same; each send has a completion, as a runtime that resumes its caller needs it
//   --mode single         a receive per message, into the connection's own buffer, chained to the send before it
//   --ring coop           a ring that other threads could submit to and reap, instead of one that belongs to its thread
//   --files plain         descriptors as other threads and libraries know them, instead of the ring's own
//   --spin US             looks so long for the next message before it sleeps, while messages come as quickly
//   --buffer BYTES, --buffers N   size of a buffer, and their number in the multishot modes
//
// No timeouts, no limits, no orderly shutdown: SIGTERM and SIGINT end the process with status 0.

#include <fcntl.h>
#include <netinet/tcp.h>

#include <bit>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>
#include <vector>

#include "compare/server_options.hpp"
#include "multishot_server.hpp"
#include "single_server.hpp"

namespace {

enum class mode : std::uint8_t { multishot, multishot_cqe, single };

struct settings {
    mode form = mode::multishot;
    limit::task_run ring = limit::task_run::deferred;
    limit::descriptors files = limit::descriptors::direct;
    std::chrono::microseconds spin{0};
    unsigned buffer_bytes = 4096;
    unsigned buffer_count = 512;  // 2 MiB: about a second-level cache

    bool set(std::string_view name, std::string_view value) {
        unsigned number = 0;
        if (name == "--mode") {
            form = value == "multishot" ? mode::multishot : value == "single" ? mode::single : mode::multishot_cqe;
            return form != mode::multishot_cqe || value == "multishot-cqe";
        }
        if (name == "--ring") {
            ring = value == "coop" ? limit::task_run::cooperative : limit::task_run::deferred;
            return value == "coop" || value == "defer";
        }
        if (name == "--files") {
            files = value == "plain" ? limit::descriptors::plain : limit::descriptors::direct;
            return value == "plain" || value == "direct";
        }
        if (name == "--spin") {
            const bool right = read_number(value, 0, 1'000'000, number);
            spin = std::chrono::microseconds(number);
            return right;
        }
        if (name == "--buffer") return read_number(value, 1, 1u << 24, buffer_bytes);
        if (name == "--buffers") return read_number(value, 1, 32768, buffer_count) && std::has_single_bit(buffer_count);
        return false;
    }
};

constexpr unsigned ring_entries = 1024;

void work(const settings& chosen, int listener) {
    try {
        limit::ring ring(chosen.ring, ring_entries, chosen.spin);
        if (chosen.form == mode::single) {
            limit::single_server(ring, listener, chosen.files, chosen.buffer_bytes).run();
        } else {
            const auto report = chosen.form == mode::multishot ? limit::send_report::failures : limit::send_report::all;
            limit::multishot_server(ring, listener, chosen.files, report, chosen.buffer_count, chosen.buffer_bytes).run();
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "limit_echo: %s\n", error.what());
        std::exit(1);
    }
}

}  // namespace

int main(int argc, char** argv) {
    settings chosen;
    server_options options = parse_server_options(
        argc, argv, [&chosen](std::string_view name, std::string_view value) { return chosen.set(name, value); },
        " [--mode multishot|multishot-cqe|single] [--ring defer|coop] [--files direct|plain] [--spin US] [--buffer BYTES] [--buffers N]");
    for (const int signal : {SIGTERM, SIGINT}) std::signal(signal, [](int) { std::_Exit(0); });
    std::vector<int> listeners;
    for (unsigned i = 0; i < options.workers; ++i) {
        const int listener = listen_on(options);
        const int on = 1;
        ::setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        ::fcntl(listener, F_SETFL, 0);  // or an accept that finds nothing ends instead of waiting
        listeners.push_back(listener);
    }
    announce(options.host, options.port);
    for (unsigned i = 1; i < options.workers; ++i) std::thread(work, chosen, listeners[i]).detach();
    work(chosen, listeners[0]);
}
