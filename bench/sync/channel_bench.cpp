// SPDX-License-Identifier: MIT

// Measures: items through a channel, per item; two workers.
//   senders and receivers: 1:1 and 4:4.   capacity: 0 (each send waits for its receive), 1024, and unbounded (capacity:-1)
// Beside it: bench/compare/channels.go, the same with Go's channels (GOMAXPROCS=2 go run bench/compare/channels.go).
// Not: select, cancellation, threads of the program.

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

}  // namespace

void bench::add_all() {
    add("sync/channel", channel)
        ->ArgNames({"each_side", "capacity"})
        ->ArgsProduct({{1, 4}, {0, 1024, -1}})
        ->Unit(benchmark::kMillisecond);
}
