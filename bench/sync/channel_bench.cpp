// SPDX-License-Identifier: MIT

// Measures: items through a channel, per item; two workers unless said.
//   senders and receivers: 1:1 and 4:4.   capacity: 0 (each send waits for its receive), 1024, and unbounded (capacity:-1)
//   ring: tasks in a ring, each with a channel to the next, and one token that goes round: only one of them can run at a time. Per step
// Beside it: compare/.
// Not: select, cancellation, threads of the program.

#include <deque>
#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

peal::task<> send(peal::channel<std::int64_t>& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) co_await to.send(i);
}
peal::task<> send(peal::unbounded_channel<std::int64_t>& to, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) {
        to.send(i);
        if (i % 256 == 255) co_await peal::yield();  // as a producer that does something else, too
    }
}
template <class Channel>
peal::task<> receive(Channel& from, std::int64_t& sum) {
    while (auto item = co_await from.receive()) sum += *item;
}

template <class Channel>
peal::task<> pass_all(Channel& items, int each_side, std::int64_t count, std::int64_t& sum) {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(each_side));
    peal::scope receivers;
    for (std::int64_t& each : sums) receivers.spawn(receive<Channel>, std::ref(items), std::ref(each));
    {
        peal::scope senders;
        for (int i = 0; i < each_side; ++i) {
            senders.spawn([](Channel& to, std::int64_t times) { return send(to, times); }, std::ref(items), count / each_side);
        }
        co_await senders.join();
    }
    items.close();
    co_await receivers.join();
    for (std::int64_t each : sums) sum += each;
}

void channel(benchmark::State& state) {
    peal::pool pool(peal::pool_options(2));
    auto each_side = static_cast<int>(state.range(0));
    std::int64_t count = bench::scaled(400'000, 400);
    std::int64_t each = count / each_side;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        std::int64_t sum = 0;
        if (state.range(1) < 0) {
            peal::unbounded_channel<std::int64_t> items;
            pool.run(pass_all<peal::unbounded_channel<std::int64_t>>, std::ref(items), each_side, count, std::ref(sum));
        } else {
            peal::channel<std::int64_t> items(static_cast<std::size_t>(state.range(1)));
            pool.run(pass_all<peal::channel<std::int64_t>>, std::ref(items), each_side, count, std::ref(sum));
        }
        bench::expect(sum == each_side * (each * (each - 1) / 2), "sync/channel: wrong sum");
    }
    bench::report(state, state.iterations() * count, taken);
}

peal::task<> pass_on(peal::channel<std::int64_t>& from, peal::channel<std::int64_t>& to, std::int64_t rounds) {
    for (; rounds != 0; --rounds) {
        auto token = co_await from.receive();
        co_await to.send(*token + 1);
    }
}

peal::task<> go_round(std::size_t tasks, std::int64_t rounds) {
    std::deque<peal::channel<std::int64_t>> channels;
    for (std::size_t i = 0; i < tasks; ++i) channels.emplace_back(1);
    peal::scope passing;
    for (std::size_t i = 0; i < tasks; ++i) {
        passing.spawn(pass_on, std::ref(channels[i]), std::ref(channels[(i + 1) % tasks]), rounds);
    }
    co_await channels.front().send(0);
    co_await passing.join();
    auto steps = co_await channels.front().receive();
    bench::expect(*steps == rounds * static_cast<std::int64_t>(tasks), "sync/channel: the token was lost");
}

void ring(benchmark::State& state) {
    peal::pool pool(peal::pool_options(static_cast<unsigned>(state.range(0))));
    std::int64_t tasks = state.range(1);
    std::int64_t rounds = bench::scaled(100'000, 100) / tasks;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) pool.run(go_round, static_cast<std::size_t>(tasks), rounds);
    bench::report(state, state.iterations() * tasks * rounds, taken);
}

}  // namespace

void bench::add_all() {
    add("sync/channel", channel)
        ->ArgNames({"each_side", "capacity"})
        ->ArgsProduct({{1, 4}, {0, 1024, -1}})
        ->Unit(benchmark::kMillisecond);
    add("sync/channel/ring", ring)
        ->ArgNames({"workers", "tasks"})
        ->Args({1, 2})
        ->Args({1, 100})
        ->Args({2, 100})
        ->Unit(benchmark::kMillisecond);
}
