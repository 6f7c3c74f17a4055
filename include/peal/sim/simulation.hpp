// SPDX-License-Identifier: MIT
#pragma once

// simulation: a pool without threads, kernel or clock, for tests that must come out the same every time.

#include <chrono>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>

namespace peal {

/// Runs tasks of a simulated pool on the calling thread. Each step takes a task that is ready, chosen by the seed; when none is, the
/// next completion or timer, and the clock jumps to it. The scheduler, the timers and the life of operations are those of a real
/// pool; only the driver is another.
///
///     peal::simulation sim(42);
///     sim.pool().run(my_test);        // returns when the task has ended; throws peal::simulation_deadlock if nothing can go on
///
/// What it has of the outside: sleep, streams made by stream_pair(). Any other operation ends with ENOSYS. resolve() and directory
/// walks run on real threads and are not reproducible.
///
/// Threads: one.
class PEAL_EXPORT simulation {
  public:
    explicit simulation(std::uint64_t seed, unsigned workers = 2);
    /// A pool with these options, as far as a pool without threads has use for them: name, bounds, what becomes of failures. 0 workers are two.
    simulation(std::uint64_t seed, pool_options options);
    simulation(const simulation&) = delete;
    simulation& operator=(const simulation&) = delete;
    ~simulation();

    peal::pool& pool() noexcept;
    /// Virtual time since the simulation began.
    std::chrono::nanoseconds elapsed() const noexcept;
    /// Changes with every step taken: equal for equal seeds and programs.
    std::uint64_t trace_hash() const noexcept;

    /// Two ends of a connection; what is written to one is read from the other, after a delay and in pieces that the seed chooses.
    /// Use and destroy them inside tasks of this simulation.
    std::pair<net::tcp_stream, net::tcp_stream> stream_pair();

  private:
    class state;
    std::unique_ptr<state> state_;
};

/// Nothing is ready, no timer runs and no completion is due, but a task has not ended.
class PEAL_EXPORT simulation_deadlock : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
    ~simulation_deadlock() override;
};

}  // namespace peal
