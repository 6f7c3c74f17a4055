// SPDX-License-Identifier: MIT

// More comes than a pool can do, from four threads, under each policy: memory stays where it is, who was refused knows it, and nothing that was accepted is lost.
// PEAL_STRESS_SECONDS=60 makes it longer; then it says what it has seen, too.

#include <peal/pool/pool.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/task/yield.hpp>

#include "support/catch.hpp"
#include "support/stress.hpp"

using namespace std::chrono_literals;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr std::size_t bound = 10'000;
constexpr unsigned threads = 4;

bool is_long() { return std::getenv("PEAL_STRESS_SECONDS") != nullptr; }
std::chrono::milliseconds how_long() {
    return is_long() ? support::stress_time() : 500ms;
}

long resident_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.starts_with("VmRSS:")) return std::atol(line.c_str() + 6);
    }
    return 0;
}

struct flood {
    std::atomic<std::uint64_t> begun{0}, ended{0}, accepted{0}, refused{0};
};

peal::task<> work(std::atomic<std::uint64_t>& begun, std::atomic<std::uint64_t>& ended) {
    begun.fetch_add(1, std::memory_order_relaxed);
    co_await peal::yield();
    for (auto until = clock_type::now() + 20us; clock_type::now() < until;) {
    }
    ended.fetch_add(1, std::memory_order_relaxed);
}

void flood_with(peal::when_full policy, const char* name) {
    peal::pool_options options(2);
    options.max_pending = bound;
    options.when_full = policy;
    peal::pool pool(options);
    flood seen;
    const auto until = clock_type::now() + how_long();
    std::atomic<std::uint64_t> most{0};
    std::vector<std::thread> flooding;
    for (unsigned i = 0; i < threads; ++i) {
        flooding.emplace_back([&, i] {
            constexpr peal::priority urgencies[] = {peal::priority::normal, peal::priority::low, peal::priority::normal, peal::priority::high};
            while (clock_type::now() < until) {
                try {
                    pool.spawn(peal::spawn_options("flood", urgencies[i]), work, std::ref(seen.begun), std::ref(seen.ended)).detach();
                    seen.accepted.fetch_add(1, std::memory_order_relaxed);
                } catch (const std::system_error& failure) {
                    if (failure.code() != std::errc::resource_unavailable_try_again) throw;
                    seen.refused.fetch_add(1, std::memory_order_relaxed);
                }
            }
        });
    }
    long first = 0;
    long last = 0;
    for (auto next = clock_type::now(); clock_type::now() < until; next += how_long() / 10) {
        std::this_thread::sleep_until(next);
        const auto now = pool.metrics().pending;
        most = std::max<std::uint64_t>(most, now[0] + now[1] + now[2]);
        last = resident_kib();
        if (first == 0 && clock_type::now() > until - how_long() * 8 / 10) first = last;
    }
    for (auto& each : flooding) each.join();
    pool.shutdown(60s, 60s);
    const auto counts = pool.counts();
    const auto metrics = pool.metrics();
    CHECK(counts.live == 0);
    CHECK(counts.accepted == seen.accepted);
    CHECK(metrics.refused_total == seen.refused);
    CHECK(counts.canceled == metrics.shed_total);
    CHECK(counts.completed == seen.ended);
    CHECK(seen.begun == seen.ended);
    CHECK(counts.accepted == counts.completed + counts.canceled);
    CHECK(most <= bound + threads);
    CHECK(most >= bound / 2);  // it was full
    if (policy == peal::when_full::wait) CHECK(seen.refused == 0);
    if (policy == peal::when_full::refuse) CHECK(seen.refused > 0);
    if (policy == peal::when_full::shed) CHECK(metrics.shed_total > 0);
    if (is_long()) {
        std::printf("%s: %llu accepted, %llu completed, %llu refused, %llu shed; at most %llu waited; resident %ld KiB after a fifth of the time, %ld at the end\n", name,
                    static_cast<unsigned long long>(counts.accepted), static_cast<unsigned long long>(counts.completed),
                    static_cast<unsigned long long>(metrics.refused_total), static_cast<unsigned long long>(metrics.shed_total),
                    static_cast<unsigned long long>(most.load()), first, last);
    }
}

}  // namespace

TEST_CASE("flood: threads wait") { flood_with(peal::when_full::wait, "wait"); }
TEST_CASE("flood: threads are refused") { flood_with(peal::when_full::refuse, "refuse"); }
TEST_CASE("flood: what waits longest makes room") { flood_with(peal::when_full::shed, "shed"); }
