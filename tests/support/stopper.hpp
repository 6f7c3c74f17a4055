// SPDX-License-Identifier: MIT
#pragma once

// stopper: a thread that asks tasks to stop, a random moment after it was told to. For cancellation that races with completion.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

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

}  // namespace support
