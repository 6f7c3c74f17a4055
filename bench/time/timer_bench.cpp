// SPDX-License-Identifier: MIT

// Measures: what a timer costs that does not fire, which most do.
//   wheel: arming and disarming a timer of a worker's wheel, with 0 or 100,000 others in it, deadlines up to 60 s ahead; no task
//   million: arming a million of them, and then disarming all, in another order: a pair of the two
//   sleep_cancel: spawn a task that sleeps for an hour, let it begin, ask it to stop, await its end. Errors as values: what throwing
//     costs is not ours. Compare with task/spawn/join_one.
// Not: firing (time/sleepers), lateness (time/lateness).

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include <peal/peal.hpp>

#include "support/bench.hpp"
#include "time/wheel.hpp"

namespace {

using namespace std::chrono_literals;
using peal::rt::wheel;

void never_fires(peal::detail::timer&) noexcept {}

void arm_and_disarm(benchmark::State& state) {
    auto timers = std::make_unique<wheel>();
    auto now = wheel::time_point(1h);
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::int64_t> ahead(1'000'000, 60'000'000'000);

    std::vector<peal::detail::timer> others(static_cast<std::size_t>(state.range(0)), peal::detail::timer(never_fires));
    for (auto& other : others) bench::expect(timers->arm(other, now + std::chrono::nanoseconds(ahead(random)), now), "not armed");
    std::vector<wheel::time_point> deadlines(1024);
    for (auto& deadline : deadlines) deadline = now + std::chrono::nanoseconds(ahead(random));

    peal::detail::timer timer(never_fires);
    std::size_t next = 0;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        bool armed = timers->arm(timer, deadlines[next++ % deadlines.size()], now);
        bool disarmed = timers->disarm(timer);
        benchmark::DoNotOptimize(armed && disarmed);
    }
    bench::expect(timers->size() == others.size(), "time/timer/wheel: timers got lost");
    bench::report(state, state.iterations(), taken);
}

void arm_all_and_disarm_all(benchmark::State& state) {
    auto timers = std::make_unique<wheel>();
    auto now = wheel::time_point(1h);
    std::mt19937_64 random(1);
    std::uniform_int_distribution<std::int64_t> ahead(1'000'000, 60'000'000'000);
    std::vector<peal::detail::timer> all(static_cast<std::size_t>(state.range(0)), peal::detail::timer(never_fires));
    std::vector<wheel::time_point> deadlines(all.size());
    for (auto& deadline : deadlines) deadline = now + std::chrono::nanoseconds(ahead(random));
    std::vector<std::uint32_t> order(all.size());
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);

    bool well = true;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        for (std::size_t i = 0; i < all.size(); ++i) well &= timers->arm(all[i], deadlines[i], now);
        for (std::uint32_t i : order) well &= timers->disarm(all[i]);
    }
    bench::expect(well && timers->size() == 0, "time/timer/million: timers got lost");
    bench::report(state, state.iterations() * state.range(0), taken);
}

peal::task<> sleep_long() {
    auto slept = co_await peal::as_result(peal::sleep_for(1h));
    bench::expect(!slept && slept.error().is_canceled(), "time/timer/sleep_cancel: an hour has passed");
}

peal::task<> start_and_stop(benchmark::State& state, peal::pool& pool) {
    for ([[maybe_unused]] auto _ : state) {
        auto sleeper = pool.spawn(sleep_long);
        co_await pool.schedule();  // it runs, and arms its timer
        sleeper.request_stop();
        co_await sleeper;
    }
}

void sleep_cancel(benchmark::State& state) {
    peal::pool pool(peal::pool_options(1));
    bench::allocations taken;
    pool.run(start_and_stop, std::ref(state), std::ref(pool));
    bench::report(state, state.iterations(), taken);
}

}  // namespace

void bench::add_all() {
    add("time/timer/wheel", arm_and_disarm)->ArgName("others")->Arg(0)->Arg(scaled(100'000, 100));
    add("time/timer/million", arm_all_and_disarm_all)->ArgName("timers")->Arg(scaled(1'000'000, 1'000));
    add("time/timer/sleep_cancel", sleep_cancel);
}
