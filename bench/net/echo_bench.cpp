// SPDX-License-Identifier: MIT

// Measures: echo of 64 bytes over TCP on loopback, client and server in this process, one request at a time per connection;
// per request: two sends and two receives.
//   one_worker: both on the same worker: everything but waking a thread
//   two_workers: client and server on a pool of one worker each
// Not: a server alone (bench/run.py does that, beside other libraries), large messages, networks.

#include <array>
#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

constexpr std::size_t message_bytes = 64;

peal::task<> session(peal::net::tcp_stream peer) {
    std::array<std::byte, 4096> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

/// Ends when its connections have.
peal::task<> serve(peal::net::tcp_listener& listener, std::int64_t connections) {
    peal::scope sessions(peal::on_error::keep_going);
    for (; connections != 0; --connections) {
        peal::net::tcp_stream peer = co_await listener.accept();
        sessions.spawn(session, std::move(peer));
    }
    co_await sessions.join();
}

peal::task<> connect_all(peal::net::address server, std::int64_t count, std::vector<peal::net::tcp_stream>& streams) {
    for (; count != 0; --count) {
        peal::net::tcp_stream stream = co_await peal::net::tcp_stream::connect(server);
        streams.push_back(std::move(stream));
    }
}

peal::task<> request(peal::net::tcp_stream& stream, std::int64_t count) {
    std::array<std::byte, message_bytes> question;
    std::array<std::byte, message_bytes> answer;
    for (; count != 0; --count) {
        question.fill(static_cast<std::byte>(count));
        co_await stream.write_all(question);
        std::size_t got = co_await stream.read_exactly(answer);
        bench::expect(got == message_bytes && answer == question, "net/echo: another answer than was asked");
    }
}

peal::task<> request_on_all(std::vector<peal::net::tcp_stream>& streams, std::int64_t count_each) {
    peal::scope requests;
    for (auto& stream : streams) requests.spawn(request, std::ref(stream), count_each);
    co_await requests.join();
}

void echo(benchmark::State& state, peal::pool& server, peal::pool& client) {
    std::int64_t connections = state.range(0);
    std::int64_t requests_each = bench::scaled(12'800, 640) / connections;
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    auto serving = server.spawn(serve, std::ref(listener), connections);
    std::vector<peal::net::tcp_stream> streams;
    client.run(connect_all, listener.local_address(), connections, std::ref(streams));
    client.run(request_on_all, std::ref(streams), 1);
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) client.run(request_on_all, std::ref(streams), requests_each);
    std::int64_t requests = state.iterations() * connections * requests_each;
    bench::report(state, requests, taken);
    state.counters["requests"] = benchmark::Counter(static_cast<double>(requests), benchmark::Counter::kIsRate);
    streams.clear();  // the sessions end, and then serve()
}

void one_worker(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    echo(state, pool, pool);
}

void two_workers(benchmark::State& state) {
    peal::pool server(peal::pool_options(1));
    peal::pool client(peal::pool_options(1));
    echo(state, server, client);
}

}  // namespace

void bench::add_all() {
    add("net/echo/one_worker", one_worker)->ArgName("connections")->Arg(1)->Arg(64)->Unit(benchmark::kMillisecond);
    add("net/echo/two_workers", two_workers)->ArgName("connections")->Arg(1)->Arg(64)->Unit(benchmark::kMillisecond);
}
