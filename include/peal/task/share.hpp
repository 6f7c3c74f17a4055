// SPDX-License-Identifier: MIT
#pragma once

// share: a group of tasks that gets its part of a pool's workers.

#include <peal/detail/config.hpp>

namespace peal {

namespace rt {
class scheduler;
class shares;
}  // namespace rt

namespace detail {

/// What anybody may know of a group. Fixed when it is made.
struct share_state {
    rt::scheduler* pool;
    unsigned weight;
};

}  // namespace detail

/// Tasks that together get a part of their pool's working time, in proportion to a weight, while others want it, too.
///
///     peal::share indexing = pool.make_share(25);          // against 100 of all tasks that are in no share
///     pool.spawn(peal::spawn_options("index", indexing), index_all, std::ref(files));
///
/// A task is in the share of its spawn_options, else in that of the task that spawns it; spawn_options("name", peal::share()) puts it in none. What a
/// share does not use, the others get: it saves nothing up.
///
/// Measured:  the time that workers spend on it. They take turns of about 0.1 ms; a stretch from one await to the next that is longer makes a longer
///            turn, of which no more than 0.1 s counts. A share waits for the turns of others: with a weight of 1 beside 100, for a hundred
///            of them on each worker. So its part is right over some hundred turns, and not from one to the next.
/// Priority:  shares rank with what has normal priority; within a share tasks run first come, first served, whatever their priority is.
/// Not in it: stretches after schedule_on(), children of fork_join() or join() that another worker takes, and a task on another pool than its share's.
/// Costs:     a few tens of nanoseconds at each await, for all tasks while something is in a share.
/// Threads:   any. Lifetime: its pool's; a value to copy and keep.
class share {
  public:
    /// No share.
    constexpr share() noexcept = default;
    unsigned weight() const noexcept { return state_ != nullptr ? state_->weight : 0; }
    explicit operator bool() const noexcept { return state_ != nullptr; }
    friend bool operator==(const share&, const share&) = default;

    /// For the scheduler.
    const detail::share_state* state() const noexcept { return state_; }
    explicit share(const detail::share_state& state) noexcept : state_(&state) {}

  private:
    const detail::share_state* state_ = nullptr;
};

}  // namespace peal
