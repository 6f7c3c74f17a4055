// SPDX-License-Identifier: MIT
#pragma once

// blocking_threads: threads for calls that block in the kernel and have no ring operation (getaddrinfo, readdir), for operations that the
// ring could not perform, and for what users hand to peal::blocking(). Threads are made on demand and end after a while without work.
// blocking_pool: those of a pool, in classes, so that name servers that do not answer keep nobody from the files.
//
// Threads: every member from any thread. Bound: `limit` threads; the queue holds jobs of tasks, as many as these.

#include <cstddef>
#include <mutex>
#include <string>

#include <peal/detail/thread_mutex.hpp>

#include "../base/affinity.hpp"

namespace peal::rt {

/// Lies in the frame of whoever waits for it.
struct blocking_job {
    using run_function = void (*)(blocking_job&) noexcept;
    explicit blocking_job(run_function run) noexcept : run(run) {}
    run_function run;
    blocking_job* next = nullptr;      // guarded by the mutex of the threads, as are these two
    blocking_job* previous = nullptr;
    bool is_queued = false;
};

class blocking_threads {
  public:
    /// Threads are called `name`, cut to 15 characters by the system. They run where the calling thread may run, and not only where the one
    /// does that has work for them first: a worker may be pinned. Requires: limit > 0.
    blocking_threads(std::string name, unsigned limit)
        : name_(std::move(name)), limit_(limit), cpus_(affinity::of_this_thread()) {}
    blocking_threads(const blocking_threads&) = delete;
    blocking_threads& operator=(const blocking_threads&) = delete;
    ~blocking_threads() { finish(); }

    /// Waits for the jobs that were given and ends the threads. Idempotent.
    void finish() noexcept;

    /// Runs `job` on one of the threads; on the calling thread if the system refuses to make the first one.
    void run(blocking_job& job) noexcept {
        if (!try_run(job)) job.run(job);
    }
    /// Runs `job` on one of the threads. False, and nothing done, if the system refuses to make the first one.
    [[nodiscard]] bool try_run(blocking_job& job) noexcept;
    /// Takes it back. False if it runs or has run.
    [[nodiscard]] bool remove(blocking_job& job) noexcept;

    /// Threads, and jobs that wait for one, now.
    struct load {
        unsigned threads = 0;
        std::size_t queued = 0;
    };
    load now() const noexcept {
        std::lock_guard guard(mutex_);
        return {threads_, queued_};
    }

    /// A job waits or runs. Once it is false, whoever waited for a job given before has been woken.
    bool is_busy() const noexcept;

  private:
    void thread_main() noexcept;
    bool start_thread() noexcept;
    void unlink(blocking_job& job) noexcept;

    const std::string name_;
    const unsigned limit_;
    const affinity cpus_;
    mutable detail::thread_mutex mutex_;  // guards everything below
    detail::thread_condition work_or_end_;
    detail::thread_condition thread_ended_;
    blocking_job* first_ = nullptr;
    blocking_job* last_ = nullptr;
    unsigned threads_ = 0;
    unsigned idle_ = 0;
    std::size_t queued_ = 0;
    bool ending_ = false;
};

class blocking_pool {
  public:
    blocking_pool(const std::string& pool, unsigned calls_limit)
        : names(pool + "/names", 4), files(pool + "/files", 8), calls(pool + "/calls", calls_limit) {}

    blocking_threads names;  // 4 and 8: guesses, not measured
    blocking_threads files;
    blocking_threads calls;  // peal::blocking()

    void finish() noexcept {
        names.finish();
        files.finish();
        calls.finish();
    }
    bool is_busy() const noexcept { return names.is_busy() || files.is_busy() || calls.is_busy(); }
};

}  // namespace peal::rt
