// SPDX-License-Identifier: MIT

// Measures: what a timeout costs around something that ends in time. Pairs, to be compared with each other:
//   event/bare, event/timeout: an operation that is suspended once: two tasks wake each other in turns
//   yield/bare, yield/timeout: something that cannot be stopped, in a branch of its own, once through the worker's queue
//   task/bare, task/timeout: a task that is ready at once
// Not: timeouts that fire.

#include <chrono>
#include <functional>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

using namespace std::chrono_literals;

[[gnu::noinline]] peal::task<std::int64_t> ready(std::int64_t value) { co_return value; }

peal::task<> answers(peal::auto_reset_event& request, peal::auto_reset_event& answer) {
    for (;;) {
        co_await request.wait();
        answer.set();
    }
}
peal::task<> asks(benchmark::State& state) {
    peal::auto_reset_event request, answer;
    peal::scope other;
    other.spawn(answers, std::ref(request), std::ref(answer));
    for ([[maybe_unused]] auto _ : state) {
        request.set();
        co_await answer.wait();
    }
}
peal::task<> asks_in_time(benchmark::State& state) {
    peal::auto_reset_event request, answer;
    peal::scope other;
    other.spawn(answers, std::ref(request), std::ref(answer));
    for ([[maybe_unused]] auto _ : state) {
        request.set();
        co_await peal::timeout(1s, answer.wait());
    }
}

peal::task<> yields(benchmark::State& state) {
    for ([[maybe_unused]] auto _ : state) co_await peal::yield();
}
peal::task<> yields_in_time(benchmark::State& state) {
    for ([[maybe_unused]] auto _ : state) co_await peal::timeout(1s, peal::yield());
}
peal::task<> awaits(benchmark::State& state) {
    std::int64_t sum = 0;
    for ([[maybe_unused]] auto _ : state) sum += co_await ready(1);
    bench::expect(sum == state.iterations(), "combine/timeout: wrong sum");
}
peal::task<> awaits_in_time(benchmark::State& state) {
    std::int64_t sum = 0;
    for ([[maybe_unused]] auto _ : state) sum += co_await peal::timeout(1s, ready(1));
    bench::expect(sum == state.iterations(), "combine/timeout: wrong sum");
}

template <peal::task<> (*Body)(benchmark::State&)>
void run(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(Body, std::ref(state));
    bench::report(state, state.iterations(), taken);
}

}  // namespace

void bench::add_all() {
    add("combine/timeout/event/bare", run<asks>);
    add("combine/timeout/event/timeout", run<asks_in_time>);
    add("combine/timeout/yield/bare", run<yields>);
    add("combine/timeout/yield/timeout", run<yields_in_time>);
    add("combine/timeout/task/bare", run<awaits>);
    add("combine/timeout/task/timeout", run<awaits_in_time>);
}
