// SPDX-License-Identifier: MIT
#pragma once

namespace peal {

/// What becomes of a task that comes from outside to a pool in which as many wait for their turn as may (pool_options::max_pending).
enum class when_full : unsigned char {
    wait,    // the thread that spawns it blocks until there is room
    refuse,  // spawn() throws std::system_error(resource_unavailable_try_again)
    shed,    // of those that came from outside, too, and are in no share(), the one that has waited longest among those of the lowest priority makes room, unless all have a
             // higher one: it never runs, ends as canceled, and what it was given is destroyed by the thread that spawns the other. It is looked for in the queue of the
             // pool; what workers have taken from there already (64 at once) stays. If there is none that makes room: as `refuse`
};

}  // namespace peal
