// SPDX-License-Identifier: MIT
#pragma once

// blocking_threads: a few threads for calls that block in the kernel and have no ring operation (getaddrinfo, readdir), and for
// operations that the ring could not perform. Threads are made on demand and end after a while without work.
//
// Threads: every member from any thread. Bound: `thread_limit` threads; the queue holds jobs of tasks, as many as these.

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>

namespace peal::rt {

/// Lies in the frame of whoever waits for it.
struct blocking_job {
    using run_function = void (*)(blocking_job&) noexcept;
    explicit blocking_job(run_function run) noexcept : run(run) {}
    run_function run;
    blocking_job* next = nullptr;
};

class blocking_threads {
  public:
    static constexpr unsigned thread_limit = 8;  // guess, not measured: enough for name lookups and directory walks

    explicit blocking_threads(std::string name) : name_(std::move(name)) {}
    blocking_threads(const blocking_threads&) = delete;
    blocking_threads& operator=(const blocking_threads&) = delete;
    ~blocking_threads() { finish(); }

    /// Waits for the jobs that were given and ends the threads. Idempotent.
    void finish() noexcept;

    /// Runs `job` on one of the threads; on the calling thread if the system refuses to make the first one.
    void run(blocking_job& job) noexcept;

    /// A job waits or runs. Once it is false, whoever waited for a job given before has been woken.
    bool is_busy() const noexcept;

  private:
    void thread_main() noexcept;
    bool start_thread() noexcept;

    const std::string name_;
    mutable std::mutex mutex_;  // guards everything below
    std::condition_variable work_or_end_;
    std::condition_variable thread_ended_;
    blocking_job* first_ = nullptr;
    blocking_job* last_ = nullptr;
    unsigned threads_ = 0;
    unsigned idle_ = 0;
    std::size_t queued_ = 0;
    bool ending_ = false;
};

}  // namespace peal::rt
