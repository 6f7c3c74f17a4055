// SPDX-License-Identifier: MIT
#pragma once

namespace peal {

/// What becomes of a task that comes from outside to a pool in which as many wait for their turn as may (pool_options::max_pending).
enum class when_full : unsigned char {
    wait,    // the thread that spawns it blocks until there is room
    refuse,  // spawn() throws std::system_error(resource_unavailable_try_again)
    shed,    // the one that has waited longest among those of the lowest priority makes room, unless all have a higher one: it never runs, and ends as canceled. It is
             // looked for in the queue of the pool; what workers have taken from there already (64 at once) stays. If there is none to shed: as `refuse`
};

}  // namespace peal
