// SPDX-License-Identifier: MIT
#pragma once

// metrics: what a pool and its workers have done so far, and what they do now. A snapshot that stops nobody: its numbers are read one after the other, so
// two of them may differ by what happened in between.

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <peal/detail/config.hpp>
#include <peal/histogram.hpp>
#include <peal/pool/counts.hpp>

namespace peal {

/// Of one worker. What ends in _total counts from the start of the pool.
class worker_metrics {
  public:
    worker_metrics() noexcept {}
    enum class state : unsigned char {
        running,  // runs tasks, or looks for some
        parked,   // sleeps until there is something
        held_up,  // has not come back from a task for a while: others stand in
        resting,  // the spare worker, while it is not needed
    };

    unsigned index = 0;
    bool is_spare = false;
    state now = state::running;
    std::string driver;  // "uring", "epoll"

    std::uint64_t items_total = 0;          // resumed coroutines: tasks that begin, completions, hops; what one hands its thread to is not counted again
    std::chrono::nanoseconds busy{0};       // running items, looking at the outside
    std::chrono::nanoseconds searched{0};   // looking on for work before it sleeps
    std::chrono::nanoseconds parked{0};     // asleep. All three: until it looked at the clock last, so without the sleep or the item that it is in
    std::uint64_t parks_total = 0;
    std::uint64_t polls_total = 0;          // looks at the outside while it runs
    std::uint64_t wakes_sent_total = 0;     // sleepers that it has woken for work
    std::uint64_t wakes_received_total = 0; // wakes for work that ended its sleep
    std::uint64_t wakes_in_vain_total = 0;  // of these, after which it slept again without having run anything
    std::uint64_t steals_tried_total = 0;
    std::uint64_t steals_won_total = 0;
    std::uint64_t lifo_hits_total = 0;      // items that ran at once where they were woken
    std::uint64_t overflows_total = 0;      // times its queue was full, and half of it went to all workers
    std::uint64_t held_up_total = 0;        // times it has been
    std::uint64_t rounds_for_others_total = 0;  // times it stood in for another
    std::uint64_t queued = 0;               // now: in its queues
    std::uint64_t timers = 0;               // now: armed

    std::uint64_t operations_begun_total = 0;
    std::uint64_t operations_ended_total = 0;
    std::uint64_t operations_elsewhere_total = 0;  // of these, by a blocking thread
    std::uint64_t enters_total = 0;         // system calls for its ring, or its epoll
    std::uint64_t full_total = 0;           // times the kernel had more completions than the ring's queue holds. None is lost
    std::uint64_t buffers_lent = 0;         // now: hold what has come, for receive() and net::receiver, 4 KiB each
    std::uint64_t buffers_refused_total = 0;  // times a receiver found all of them lent, and waited
};

class pool_metrics {
  public:
    pool_metrics() noexcept {}
    std::string name;
    pool_counts tasks;
    std::array<std::uint64_t, 3> pending{}; // now: tasks that have not begun, by peal::priority
    histogram wait_time;                    // of tasks: from when they were spawned until they began. One in 64, in each worker; the first one is among them
    histogram task_time;                    // of the same tasks: from then until they ended, whatever they awaited
    histogram run_time;                     // of items: how long one kept its worker. One after every eighth look at the outside, and one after every sleep
    std::uint64_t at_the_door = 0;          // now: threads and tasks that wait for room, or for drained()
    std::uint64_t refused_total = 0;        // tasks, for want of room (pool_options::max_pending)
    std::uint64_t shed_total = 0;           // tasks, for others; they are counted as canceled, too
    std::uint64_t waiting_outside = 0;      // now: items that any worker may take, brought from outside or overflowed
    unsigned held_up = 0;                   // now: workers
    std::uint64_t blocking_threads = 0;     // now: for calls that block, names and files
    std::uint64_t blocking_queued = 0;      // now: calls that wait for one
    std::int64_t frames = 0;                // now, of the whole program, as the next: coroutine frames and what else lies in their memory
    std::int64_t frame_bytes = 0;           // now: what is held for frames, used or not
    std::vector<worker_metrics> workers;    // size(), and the spare one if it has served
};

/// As the text that Prometheus reads (exposition format 0.0.4). Names begin with "peal_", the pool is a label, and so are the workers. Those of all pools of a
/// program go into one text: the format wants each name once, and so pools in one text must have different names (pool_options::name).
PEAL_EXPORT std::string prometheus_text(const pool_metrics& metrics);
PEAL_EXPORT std::string prometheus_text(std::span<const pool_metrics> pools);

}  // namespace peal
