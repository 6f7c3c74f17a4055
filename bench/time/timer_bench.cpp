// SPDX-License-Identifier: MIT

// Measures: what a timer costs that does not fire, which most do.
//   wheel: arming and disarming a timer of a worker's wheel, with 0 or 100,000 others in it, deadlines up to 60 s ahead; no task
//   sleep_cancel: spawn a task that sleeps for an hour, let it begin, ask it to stop, await its end. Errors as values: what throwing
//     costs is not ours. Compare with task/spawn/join_one.
// Not: firing (time/sleepers), lateness.

#include <chrono>
#include <functional>
#include <memory>
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
    add("time/timer/sleep_cancel", sleep_cancel);
}
