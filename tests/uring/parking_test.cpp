// SPDX-License-Identifier: MIT

// A hundred thousand wakes from outside, at every moment of falling asleep (P3). A lost one is a task that never runs.

#include <peal/pool/pool.hpp>

#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/stopper.hpp"

using namespace std::chrono_literals;

namespace {

constexpr long wakes = support::is_sanitized ? 20'000 : 100'000;

/// Waits without sleeping, so that the next wake comes when the workers are about to sleep. False if nothing comes for long.
bool reaches(const std::atomic<long>& counter, long goal) {
    auto deadline = std::chrono::steady_clock::now() + 20s;  // a guard against a hang
    while (counter.load() < goal) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::yield();
    }
    return true;
}

peal::task<> arrive(peal::pool& pool, std::atomic<long>& arrived) {
    co_await pool.schedule();
    ++arrived;
}

peal::task<> arrive_on(peal::pool& pool, unsigned worker, std::atomic<long>& arrived) {
    co_await pool.schedule_on(worker);
    ++arrived;
}

}  // namespace

TEST_CASE("parking: wakes from a foreign thread while workers sleep, or are about to") {
    unsigned workers = GENERATE(1u, 3u);
    peal::pool pool{peal::pool_options(workers)};
    std::mt19937_64 random(workers);
    std::atomic<long> arrived{0};
    for (long sent = 0; sent < wakes / 2;) {
        long together = 1 + static_cast<long>(random() % 3);
        for (long i = 0; i < together; ++i, ++sent) {
            if (random() % 2 == 0) {
                pool.spawn(arrive, pool, std::ref(arrived)).detach();
            } else {
                pool.spawn(arrive_on, pool, static_cast<unsigned>(random() % workers), std::ref(arrived)).detach();
            }
        }
        REQUIRE(reaches(arrived, sent));
        // The worker that ran it is on its way to sleep: meet it everywhere there.
        if (random() % 4 != 0) support::spin_for(std::chrono::nanoseconds(random() % 20'000));
    }
    CHECK(pool.shutdown(20s, 0s).drained);
}
