// SPDX-License-Identifier: MIT

// Shows: computations kept off the workers that serve connections: they wait for their turn in a pool of their own, so many at most, and what does not fit is refused at
//        once (try_spawn); the metrics of both pools.
// Run:   primes_server --port 7005       Expect: `echo 1000000 | nc -N 127.0.0.1 7005` says 78498, how many primes there are up to that, or `busy` while --queue of them
//        wait already. `curl 127.0.0.1:7005/metrics` gets what Prometheus reads.

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <peal/peal.hpp>

#include "support/server_options.hpp"

constexpr std::uint32_t most = 100'000'000;

std::uint32_t count_primes(std::uint32_t up_to) {
    std::vector<bool> is_composite(std::size_t{up_to} + 1);
    std::uint32_t found = 0;
    for (std::size_t candidate = 2; candidate <= up_to; ++candidate) {
        if (is_composite[candidate]) continue;
        ++found;
        for (std::size_t multiple = candidate * candidate; multiple <= up_to; multiple += candidate) is_composite[multiple] = true;
    }
    return found;
}

peal::task<std::string> answer(peal::pool& computing, std::string_view line) {
    std::uint32_t up_to = 0;
    auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), up_to);
    if (error != std::errc() || end != line.data() + line.size() || up_to > most) co_return "a number up to " + std::to_string(most) + ", please\n";
    auto computed = computing.try_spawn(peal::spawn_options("count primes"), count_primes, up_to);
    if (!computed) co_return "busy\n";
    const std::uint32_t found = co_await *computed;
    co_return std::to_string(found) + "\n";
}

peal::task<> send_metrics(peal::pool& computing, peal::net::tcp_stream& peer) {
    const std::array both{peal::pool::current()->metrics(), computing.metrics()};
    const std::string text = peal::prometheus_text(both);
    const std::string head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: " + std::to_string(text.size()) + "\r\n\r\n";
    co_await peer.write_all(peal::io::bytes_of(head));
    co_await peer.write_all(peal::io::bytes_of(text));
}

peal::task<> session(peal::pool& computing, peal::net::tcp_stream peer) {
    peal::io::buffered_reader lines(peer);
    while (auto line = co_await lines.read_line(4000)) {
        if (line->starts_with("GET ")) {
            while (auto header = co_await lines.read_line(4000)) {
                if (header->empty()) break;
            }
            co_return co_await send_metrics(computing, peer);
        }
        const std::string said = co_await answer(computing, *line);
        co_await peer.write_all(peal::io::bytes_of(said));
    }
}

peal::task<> serve(peal::pool& computing, peal::net::tcp_listener listener) {
    peal::scope sessions(peal::on_error::keep_going);
    for (;;) sessions.spawn(session, std::ref(computing), co_await listener.accept());
}

int main(int argc, char** argv) {
    std::size_t queue = 100;
    auto more = [&queue](std::string_view option, std::string_view value) {
        if (option == "--queue") queue = examples::server_options::number("primes_server", option, value, 1, 1'000'000, "[--queue N]");
        return option == "--queue";
    };
    examples::server_options options(argc, argv, "primes_server", 7005, more, " [--queue N]");
    try {
        auto listener = peal::net::tcp_listener::bind(peal::net::address::from(options.host, options.port));
        peal::pool_options how(1);
        how.name = "computing";
        how.max_pending = queue;
        how.report_after = std::chrono::milliseconds(0);  // it is there to be kept
        peal::pool computing(how);                        // outlives the pool whose tasks wait for it
        peal::pool_options others(options.workers);
        others.name = "serving";
        peal::pool serving(others);
        std::printf("listening on %s\n", listener.local_address().to_string().c_str());
        std::fflush(stdout);
        peal::process::run_until_terminated(serving, serve, std::ref(computing), std::move(listener));
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "primes_server: %s\n", failure.what());
        return 1;
    }
}
