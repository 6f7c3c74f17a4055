// SPDX-License-Identifier: MIT

// Measures: how long one waits on a pool whose two workers never have nothing to do; microseconds, of single measurements.
//   echo/busy: an echo over TCP on loopback, client and server tasks of the pool, while 64 others only yield. echo/quiet: without these
//   ping_pong/busy: two tasks that hand a token to and fro through channels of capacity 0, there and back, while 64 others compute for 20 us
//              and yield. ping_pong/quiet: without these
//   high/busy: a task that schedule()s itself with high priority, from a foreign thread each time, while 64 tasks of low priority compute for
//              20 us and yield. It waits for the one that runs and no other. high/quiet: without these
// Not: throughput; tasks that do not come back to the scheduler.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

constexpr int others = 64;

peal::task<> only_yields(const std::atomic<bool>& over) {
    while (!over.load(std::memory_order_relaxed)) co_await peal::yield();  // looked at again and again
}
peal::task<> computes(const std::atomic<bool>& over) {
    while (!over.load(std::memory_order_relaxed)) {  // as above
        for (auto until = clock_type::now() + 20us; clock_type::now() < until;) {
        }
        co_await peal::yield();
    }
}

/// Tasks that keep a pool busy while it lives.
class load {
  public:
    load(peal::pool& pool, int count, peal::task<> (*body)(const std::atomic<bool>&), peal::priority priority) {
        for (int i = 0; i < count; ++i) {
            tasks_.push_back(pool.spawn(peal::spawn_options("load", priority), body, std::cref(over_)));
        }
    }
    load(const load&) = delete;
    load& operator=(const load&) = delete;
    ~load() {
        over_.store(true, std::memory_order_relaxed);  // tells them to end, and nothing else
        for (auto& each : tasks_) peal::sync_wait(ended(std::move(each)));
    }

  private:
    static peal::task<> ended(peal::join_handle<> one) { co_await one; }

    std::atomic<bool> over_{false};
    std::vector<peal::join_handle<>> tasks_;
};

void report(benchmark::State& state, std::vector<double>& waits_us) {
    std::sort(waits_us.begin(), waits_us.end());
    auto at = [&](double part) { return waits_us[static_cast<std::size_t>(part * static_cast<double>(waits_us.size() - 1))]; };
    state.counters["p50_us"] = at(0.5);
    state.counters["p99_us"] = at(0.99);
    state.counters["p999_us"] = at(0.999);
    state.counters["max_us"] = waits_us.back();
    bench::allocations none;
    bench::report(state, static_cast<std::int64_t>(waits_us.size()), none);
}

template <class Since>
double microseconds(Since since) {
    return std::chrono::duration<double, std::micro>(clock_type::now() - since).count();
}

peal::task<> answer(peal::net::tcp_listener& listener) {
    peal::net::tcp_stream peer = co_await listener.accept();
    std::array<std::byte, 64> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}
peal::task<> ask(peal::net::address server, benchmark::State& state, std::vector<double>& waits_us) {
    peal::net::tcp_stream stream = co_await peal::net::tcp_stream::connect(server);
    std::array<std::byte, 64> message{};
    for ([[maybe_unused]] auto _ : state) {
        auto sent = clock_type::now();
        co_await stream.write_all(message);
        std::size_t got = co_await stream.read_exactly(message);
        bench::expect(got == message.size(), "sched/fairness: the echo server has ended");
        waits_us.push_back(microseconds(sent));
    }
}
template <int Others>
void echo(benchmark::State& state) {
    peal::pool pool(peal::pool_options(2));
    load busy(pool, Others, only_yields, peal::priority::normal);
    auto listener = peal::net::tcp_listener::bind("127.0.0.1:0");
    auto answering = pool.spawn(answer, std::ref(listener));
    std::vector<double> waits_us;
    pool.run(ask, listener.local_address(), std::ref(state), std::ref(waits_us));
    report(state, waits_us);
}

peal::task<> give_back(peal::channel<int>& from, peal::channel<int>& to) {
    while (auto token = co_await from.receive()) co_await to.send(*token);
}
peal::task<> play(benchmark::State& state, std::vector<double>& waits_us) {
    peal::channel<int> ping(0);
    peal::channel<int> pong(0);
    peal::scope other;
    other.spawn(give_back, std::ref(ping), std::ref(pong));
    for ([[maybe_unused]] auto _ : state) {
        auto sent = clock_type::now();
        co_await ping.send(1);
        auto token = co_await pong.receive();
        bench::expect(token == 1, "sched/fairness: the token was lost");
        waits_us.push_back(microseconds(sent));
    }
    ping.close();
    co_await other.join();
}
template <int Others>
void ping_pong(benchmark::State& state) {
    peal::pool pool(peal::pool_options(2));
    load busy(pool, Others, computes, peal::priority::normal);
    std::vector<double> waits_us;
    pool.run(play, std::ref(state), std::ref(waits_us));
    report(state, waits_us);
}

peal::task<> comes_with_high_priority(peal::pool& pool) { co_await pool.schedule(peal::priority::high); }

template <int Others>
void high(benchmark::State& state) {
    peal::pool pool(peal::pool_options(2));
    load busy(pool, Others, computes, peal::priority::low);
    std::vector<double> waits_us;
    for ([[maybe_unused]] auto _ : state) {
        auto asked = clock_type::now();
        peal::sync_wait(comes_with_high_priority(pool));
        waits_us.push_back(microseconds(asked));
    }
    report(state, waits_us);
}

}  // namespace

void bench::add_all() {
    std::int64_t count = scaled(20'000, 50);
    add("sched/fairness/echo/busy", echo<others>)->Iterations(count);
    add("sched/fairness/echo/quiet", echo<0>)->Iterations(count);
    add("sched/fairness/ping_pong/busy", ping_pong<others>)->Iterations(scaled(200, 20));  // some milliseconds each
    add("sched/fairness/ping_pong/quiet", ping_pong<0>)->Iterations(count);
    add("sched/fairness/high/busy", high<others>)->Iterations(count);
    add("sched/fairness/high/quiet", high<0>)->Iterations(count);
}
