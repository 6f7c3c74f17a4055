// SPDX-License-Identifier: MIT

// Standalone Asio's thread_pool and coroutines under the contract of contract.hpp (written for 1.22, the version of Debian 12). Settings
// in its favour: the concrete executor type instead of any_io_executor, errors as values.
// Left out: computations, for which it has nothing; when_all of as many as are known at run time only (1.22 waits for a fixed number);
// unbounded channels.

#define ASIO_STANDALONE
#ifndef ASIO_HAS_CO_AWAIT
#define ASIO_HAS_CO_AWAIT 1  // 1.22 looks for the coroutines TS under Clang and misses those of C++20
#endif
#include <asio.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/concurrent_channel.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/experimental/parallel_group.hpp>

#include <atomic>
#include <optional>
#include <tuple>
#include <utility>

#include "compare/contract.hpp"

namespace {

using compare::measured;
using compare::timed;

using executor = asio::thread_pool::executor_type;
template <class T = void>
using task = asio::awaitable<T, executor>;
constexpr asio::use_awaitable_t<executor> awaiting{};
constexpr asio::experimental::as_tuple_t<asio::use_awaitable_t<executor>> awaiting_tuple{};

/// How many have not ended; the thread that measures sleeps until none is left.
class countdown {
  public:
    explicit countdown(std::int64_t count) : left_(count) {}
    void count_down() noexcept {
        if (left_.fetch_sub(1, std::memory_order_acq_rel) == 1) left_.notify_one();  // the last one pairs with the load below
    }
    void wait() const noexcept {
        while (std::int64_t now = left_.load(std::memory_order_acquire)) left_.wait(now);
    }

  private:
    std::atomic<std::int64_t> left_;
};

// ---- hop, spawn, when_all ---------------------------------------------------------------------------------------------------

task<> hop(std::int64_t times, countdown& running) {
    for (; times != 0; --times) co_await asio::post(awaiting);
    running.count_down();
}
template <std::int64_t Tasks>
measured hops(unsigned threads) {
    std::optional<countdown> running;  // outlives the pool: the last task touches it after it reached zero
    asio::thread_pool pool(threads);
    return timed(compare::hops(), [&] {
        running.emplace(Tasks);
        for (std::int64_t i = 0; i < Tasks; ++i) asio::co_spawn(pool, hop(compare::hops() / Tasks, *running), asio::detached);
        running->wait();
    });
}

task<> end(countdown& running) {
    running.count_down();
    co_return;
}
void spawn_all(const executor& on, countdown& running) {
    for (std::int64_t i = 0; i < compare::spawns(); ++i) asio::co_spawn(on, end(running), asio::detached);
}
measured spawn_foreign(unsigned threads) {
    std::optional<countdown> running;  // as above
    asio::thread_pool pool(threads);
    return timed(compare::spawns(), [&] {
        running.emplace(compare::spawns());
        spawn_all(pool.get_executor(), *running);
        running->wait();
    });
}
measured spawn_inside(unsigned threads) {
    std::optional<countdown> running;  // as above
    asio::thread_pool pool(threads);
    return timed(compare::spawns(), [&] {
        running.emplace(compare::spawns() + 1);
        auto spawning = [on = pool.get_executor(), &running] {
            spawn_all(on, *running);
            running->count_down();
        };
        asio::post(pool, spawning);
        running->wait();
    });
}

task<std::int64_t> one() { co_return 1; }

template <std::size_t... Index>
task<std::int64_t> sum_of_children(executor on, std::index_sequence<Index...>) {
    auto child = [&on](std::size_t) { return asio::co_spawn(on, one(), asio::experimental::deferred); };
    auto group = asio::experimental::make_parallel_group(child(Index)...);
    auto given = co_await group.async_wait(asio::experimental::wait_for_all(), awaiting);
    co_return (std::get<2 + 2 * Index>(given) + ...);  // after the order: an exception and a value for each
}
task<> sum_up(executor on, std::int64_t& sum, countdown& running) {
    for (std::int64_t done = 0; done < compare::children(); done += 10) {
        sum += co_await sum_of_children(on, std::make_index_sequence<10>());
    }
    running.count_down();
}
measured when_all_10(unsigned threads) {
    std::optional<countdown> running;  // as above
    asio::thread_pool pool(threads);
    return timed(compare::children(), [&] {
        running.emplace(1);
        std::int64_t sum = 0;
        asio::co_spawn(pool, sum_up(pool.get_executor(), sum, *running), asio::detached);
        running->wait();
        bench::expect(sum == compare::children(), "when_all: wrong sum");
    });
}

// ---- channels ---------------------------------------------------------------------------------------------------------------

using channel_type = asio::experimental::concurrent_channel<executor, void(asio::error_code, std::int64_t)>;

task<> send(channel_type& to, std::int64_t count, countdown& running) {
    for (std::int64_t i = 0; i < count; ++i) co_await to.async_send(asio::error_code(), i, awaiting_tuple);
    running.count_down();
}
task<> receive(channel_type& from, std::int64_t count, countdown& running) {
    for (; count != 0; --count) {
        auto [error, item] = co_await from.async_receive(awaiting_tuple);
        bench::expect(!error, "channel: receive failed");
    }
    running.count_down();
}
template <int EachSide, std::size_t Capacity>
measured channel(unsigned threads) {
    std::optional<countdown> running;  // as above
    asio::thread_pool pool(threads);
    return timed(compare::items(), [&] {
        running.emplace(2 * EachSide);
        channel_type through(pool.get_executor(), Capacity);
        for (int i = 0; i < EachSide; ++i) {
            asio::co_spawn(pool, receive(through, compare::items() / EachSide, *running), asio::detached);
            asio::co_spawn(pool, send(through, compare::items() / EachSide, *running), asio::detached);
        }
        running->wait();
    });
}

// ---- round trip, herd -------------------------------------------------------------------------------------------------------

void ask(asio::thread_pool& pool) {
    auto answer = [] { return 2; };
    bench::expect(asio::post(pool, asio::use_future(answer)).get() == 2, "round_trip: wrong answer");
}
measured round_trip(unsigned threads) {
    asio::thread_pool pool(threads);
    return timed(compare::trips(), [&pool] {
        for (std::int64_t i = 0; i < compare::trips(); ++i) ask(pool);
    });
}
measured round_trip_cold(unsigned threads) {
    asio::thread_pool pool(threads);
    return compare::after_quiet([&pool] { ask(pool); });
}

/// Nobody sends by `start`: closing it wakes all who wait to receive.
task<> wait(channel_type& start, countdown& asleep, countdown& running) {
    asleep.count_down();
    co_await start.async_receive(awaiting_tuple);
    running.count_down();
}
measured herd(unsigned threads) {
    std::optional<countdown> asleep, running;  // as above
    asio::thread_pool pool(threads);
    return compare::woken([&] {
        channel_type start(pool.get_executor());
        asleep.emplace(compare::sleepers());
        running.emplace(compare::sleepers());
        for (std::int64_t i = 0; i < compare::sleepers(); ++i) asio::co_spawn(pool, wait(start, *asleep, *running), asio::detached);
        asleep->wait();
        auto woken = compare::steady::now();
        start.close();
        running->wait();
        return compare::nanoseconds_since(woken);
    });
}

constexpr compare::workload all[] = {
    {"hop_1", hops<1>},
    {"hop_64", hops<64>},
    {"spawn_inside", spawn_inside},
    {"spawn_foreign", spawn_foreign},
    {"when_all_10", when_all_10},
    {"channel_1_1", channel<1, 1024>},
    {"channel_4_4", channel<4, 1024>},
    {"rendezvous_1_1", channel<1, 0>},
    {"rendezvous_4_4", channel<4, 0>},
    {"round_trip", round_trip},
    {"round_trip_cold", round_trip_cold},
    {"herd", herd},
};

}  // namespace

std::span<const compare::workload> compare::workloads() { return all; }
std::string compare::version() { return "Asio " + std::to_string(ASIO_VERSION / 100000) + "." + std::to_string(ASIO_VERSION / 100 % 1000); }
