// SPDX-License-Identifier: MIT
#pragma once

// The explorer: runs a small program of a few threads again and again, each time with other schedules and other permitted stale values,
// until all of them were tried (within bounds) or one breaks a promise. How to use it, and what it covers: README.md.
//
// Threads are fibers on one thread of the system. Each visible operation (atomic access, lock, wait) is a scheduling point. What another
// thread has written is kept in a history per location; a load chooses among the stores that the thread may still see, by views as in the
// view-based semantics of C11 without load buffering (Kang et al., "A promising semantics for relaxed-memory concurrency", 2017, without
// promises; Lahav et al., "Repairing sequential consistency in C/C++11", 2017). choose() is the only source of nondeterminism, so a list of its
// answers replays an execution.

#include <atomic>  // for std::memory_order
#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <string>

namespace model {

/// Bounds of the search. Depth first: all executions within the first three; if they are more than `executions`, the rest of the time is
/// spent at random: half by uniform choices, half by priority change points (Burckhardt et al., "A randomized scheduler with probabilistic
/// guarantees of finding bugs", 2010), without the first three bounds.
class settings {
  public:
    unsigned preemptions = 2;        // switches away from a thread that could go on
    unsigned stale_reads = 2;        // loads that see another than the newest store
    unsigned spurious_failures = 1;  // of compare_exchange_weak
    std::uint64_t executions = 200'000;
    std::uint64_t random_executions = 40'000;
    unsigned steps = 3'000;          // of one execution; more: "it does not end"
    unsigned patience = 300;         // steps that a thread makes while others could; then one of them goes on

    settings& preempt(unsigned bound) { return preemptions = bound, *this; }
    settings& stale(unsigned bound) { return stale_reads = bound, *this; }
    settings& spurious(unsigned bound) { return spurious_failures = bound, *this; }
    settings& at_most(std::uint64_t bound) { return executions = bound, *this; }
    settings& at_random(std::uint64_t bound) { return random_executions = bound, *this; }
};

struct outcome {
    bool failed = false;
    bool complete = false;           // depth first, to the end
    std::uint64_t executions = 0;
    std::string what;                // kind of the failure
    std::string report;              // with the trace and the choice list
};

/// Explores. `body` runs once per execution, on thread 0; it makes what it needs anew each time.
outcome run(const settings& bounds, const std::function<void()>& body);
/// One execution, by the choice list of a report; with its trace.
outcome replay(const settings& bounds, const std::function<void()>& body, const std::string& list);
/// True inside a body. Outside, atomics are plain; in each execution, statics begin with what they held outside.
inline bool is_running = false;

// ---- inside a body ---------------------------------------------------------------------------------------------------------------

/// Runs the functions as threads, and returns when all have ended. They begin after what the caller did, and all they did
/// happens before the return.
void parallel(std::function<void()> first, std::function<void()> second, std::function<void()> third = nullptr,
              std::function<void()> fourth = nullptr);
/// One more thread, which the body does not wait for (but the execution does).
void begin_thread(std::function<void()> function);
/// What must hold in every execution.
void check(bool holds, const char* what, std::source_location where = std::source_location::current());
/// An answer below `count`, each of which is tried: for faults and inputs.
unsigned choose(unsigned count);
/// The number of the calling thread: 0 for the body, then in the order of parallel().
unsigned thread_index() noexcept;
/// Every fiber gets a copy of this thread-local variable of its own, which begins with what it holds when registered. Before run().
void keep_per_thread(void* variable, std::size_t bytes);

// ---- what the substitutes are made of (substitutes.hpp) --------------------------------------------------------------------------

/// Where an operation was written; printed in traces.
using place = std::source_location;

/// The explorer's side of an atomic, a mutex, an event: its life, and its number in the current execution.
class object {
  public:
    constexpr object() noexcept {
        if (!std::is_constant_evaluated()) born();
    }
    object(const object&) = delete;
    object& operator=(const object&) = delete;
    ~object() { died(); }

    mutable std::uint32_t execution = 0;   // in which `number` is valid
    mutable std::uint32_t number = 0;
    std::uint32_t born_in = 0;             // execution, and moment of the thread that made it
    std::uint32_t born_at = 0;
    std::uint8_t born_by = 0;
    mutable bool is_dead = false;

  private:
    void born() noexcept;
    void died() noexcept;
};

using word = std::uint64_t;
word load(const object& from, word initial, std::memory_order order, const place& where);
void store(const object& to, word initial, word value, std::memory_order order, const place& where);
using change_function = word (*)(word before, word argument);
word exchange(const object& at, word initial, change_function change, word argument, std::memory_order order, const char* name,
              const place& where);
bool compare_exchange(const object& at, word initial, word& expected, word desired, std::memory_order success, std::memory_order failure,
                      bool is_weak, const place& where);
void fence(std::memory_order order, const place& where = place::current());
void spin(const place& where = place::current());

void read_plain(const object& from, const place& where);
void write_plain(const object& to, const place& where);

void lock(const object& mutex, const place& where);
void unlock(const object& mutex, const place& where);
void raise(const object& event, const place& where);
/// Waits until it is raised, and lowers it. False: time has passed instead.
bool await(const object& event, bool with_limit, const place& where);
/// A condition's wait: gives the mutex up meanwhile. False: time has passed instead.
bool wait(const object& condition, const object& mutex, bool with_limit, const place& where);
void notify(const object& condition, bool all, const place& where);

/// Who runs now, and how much of what each thread did happens before now: for data races of plain accesses (accesses.cpp).
struct moment {
    unsigned thread;
    const std::uint32_t* happened;
    std::uint32_t execution;
};
inline moment present{};
/// Such a variable is no memory that threads share.
bool is_kept_per_thread(const void* address) noexcept;

/// Ends the execution: this one breaks a promise.
[[noreturn]] void fail(const char* kind, const std::string& text);

}  // namespace model
