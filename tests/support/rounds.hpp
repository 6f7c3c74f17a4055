// SPDX-License-Identifier: MIT
#pragma once

// rounds: the same little scene again and again. In simulations, where a seed chooses the order; and on a real pool, where a stop and
// what was waited for, or an end and a destruction, meet at every possible moment.

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>

#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/yield.hpp>

#include "catch.hpp"
#include "stopper.hpp"
#include "verdict.hpp"

namespace support {

/// Runs `fn(pool)` in simulations with one and with four workers, several seeds each.
template <class Function>
void in_simulations(Function fn, std::uint64_t seeds = 20) {
    for (unsigned workers : {1u, 4u}) {
        for (std::uint64_t seed = 0; seed < seeds; ++seed) {
            peal::simulation sim(seed, workers);
            sim.pool().run(fn, sim.pool());
        }
    }
}

/// Runs `fn(verdict)` on no worker, in a simulation, and on pools, and looks at the verdict.
template <class Function>
void everywhere(Function fn) {
    verdict found;
    fn(found);
    peal::simulation sim(1);
    sim.pool().run(fn, std::ref(found));
    for (unsigned workers : {1u, 2u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        pool.run(fn, std::ref(found));
    }
    CHECK(found.text() == "");
}

/// Cheap random numbers of one test.
class lots {
  public:
    explicit lots(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::uint32_t below(std::uint32_t bound) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::uint32_t>(state_ >> 33) % bound;
    }

  private:
    std::uint64_t state_;
};

/// How the waits of a race ended.
class race_result {
  public:
    race_result() {}
    int served = 0;
    int canceled = 0;
    std::string complaints;
};

/// Each round: `before()`; a task begins `wait()`, which gives whether it got what it waited for; a thread asks it to stop; at about the
/// same time `give()`. When the task has ended, `after(got, verdict)`, plain or a coroutine, looks whether
/// anything was lost.
template <class Before, class Wait, class Give, class After>
race_result race_with_stop(int rounds, Before before, Wait wait, Give give, After after) {
    race_result seen;
    verdict found;
    stopper stops;
    auto scene = [&]() -> peal::task<> {
        lots random(1);
        // On a busy machine the thread that stops may not run for a while: more rounds, until both ends have been seen.
        for (int i = 0; i < rounds || (i < 20 * rounds && (seen.served == 0 || seen.canceled == 0)); ++i) {
            before();
            auto waiting = peal::spawn(std::ref(wait));
            stops.stop_after(std::chrono::nanoseconds(random.below(15'000)), waiting.stop_handle());
            co_await peal::yield();
            spin_for(std::chrono::nanoseconds(random.below(60'000)));
            give();
            bool got = co_await waiting;
            if (got) {
                ++seen.served;
            } else {
                ++seen.canceled;
            }
            if constexpr (std::is_void_v<decltype(after(got, found))>) {
                after(got, found);
            } else {
                co_await after(got, found);
            }
        }
    };
    peal::pool pool(peal::pool_options(3));
    pool.run(std::ref(scene));
    seen.complaints = found.text();
    return seen;
}

/// Each round, on a real pool: `scene()`, a task in whose frame something lies that another task still uses when it ends.
template <class Scene>
void many_times(int rounds, Scene scene) {
    auto all = [&]() -> peal::task<> {
        for (int i = 0; i < rounds; ++i) co_await scene();
    };
    peal::pool pool(peal::pool_options(3));
    pool.run(std::ref(all));
}

}  // namespace support
