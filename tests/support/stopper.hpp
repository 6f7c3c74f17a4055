// SPDX-License-Identifier: MIT
#pragma once

// stopper: a thread that asks tasks to stop, a random moment after it was told to; and stops that come from a worker. For cancellation
// that races with completion.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/context.hpp>

namespace support {

/// Busy for a while: shorter than any sleep can be.
inline void spin_for(std::chrono::nanoseconds time) {
    auto end = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < end) {
    }
}

class stopper {
  public:
    stopper() : thread_([this] { run(); }) {}
    stopper(const stopper&) = delete;
    stopper& operator=(const stopper&) = delete;
    ~stopper() {
        {
            std::lock_guard guard(mutex_);
            ending_ = true;
        }
        changed_.notify_one();
        thread_.join();
    }

    /// Any thread.
    void stop_after(std::chrono::nanoseconds delay, peal::stop_handle task) {
        {
            std::lock_guard guard(mutex_);
            orders_.emplace_back(delay, std::move(task));
        }
        changed_.notify_one();
    }

  private:
    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return ending_ || !orders_.empty(); });
            if (orders_.empty()) return;
            auto [delay, task] = std::move(orders_.front());
            orders_.pop_front();
            lock.unlock();
            spin_for(delay);
            task.request_stop();
            lock.lock();
        }
    }

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::pair<std::chrono::nanoseconds, peal::stop_handle>> orders_;
    bool ending_ = false;
    std::thread thread_;
};

/// Asks `task` to stop after so many turns of the queue. For stops that come from a worker.
inline peal::task<> stop_after_turns(peal::stop_handle task, unsigned turns, peal::pool& pool) {
    for (unsigned i = 0; i < turns; ++i) co_await pool.schedule();
    task.request_stop();
}

/// A stop at about the time when something ends that takes up to `turns` turns of the queue: by the thread outside, or by a worker.
inline void stop_soon(peal::pool& pool, stopper& outside, std::uint64_t random, unsigned turns, peal::stop_handle task) {
    if (random % 2 == 0) {
        outside.stop_after(std::chrono::nanoseconds(random / 2 % 10'000), task);
    } else {
        pool.spawn(stop_after_turns, task, static_cast<unsigned>(random / 2 % turns), std::ref(pool)).detach();
    }
}

}  // namespace support
