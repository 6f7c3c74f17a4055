// SPDX-License-Identifier: MIT

#include "blocking_threads.hpp"

#include <pthread.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <mutex>

#include "../base/signals_blocked.hpp"
#include "../base/thread.hpp"

namespace peal::rt {

namespace {
constexpr auto idle_time = std::chrono::seconds(10);  // then a thread without work ends
}

void blocking_threads::finish() noexcept {
    std::unique_lock lock(mutex_);
    ending_ = true;
    work_or_end_.notify_all();
    thread_ended_.wait(lock, [this] { return threads_ == 0; });
}

bool blocking_threads::try_run(blocking_job& job) noexcept {
    std::unique_lock lock(mutex_);
    if (queued_ >= idle_ && threads_ < limit_ && !start_thread() && threads_ == 0) return false;
    job.next = nullptr;
    job.previous = last_;
    job.is_queued = true;
    (first_ == nullptr ? first_ : last_->next) = &job;
    last_ = &job;
    ++queued_;
    work_or_end_.notify_one();
    return true;
}

bool blocking_threads::remove(blocking_job& job) noexcept {
    std::lock_guard guard(mutex_);
    if (!job.is_queued) return false;
    unlink(job);
    return true;
}

void blocking_threads::unlink(blocking_job& job) noexcept {
    job.is_queued = false;
    (job.previous == nullptr ? first_ : job.previous->next) = job.next;
    (job.next == nullptr ? last_ : job.next->previous) = job.previous;
    --queued_;
}

bool blocking_threads::is_busy() const noexcept {
    std::lock_guard guard(mutex_);
    return queued_ != 0 || threads_ != idle_;
}

bool blocking_threads::start_thread() noexcept {
    signals_blocked for_thread;
    ++threads_;
    try {
        detail::begin_detached_thread([this] { thread_main(); });
    } catch (...) {  // std::system_error, or no memory
        --threads_;
        return false;
    }
    return true;
}

void blocking_threads::thread_main() noexcept {
    static_cast<void>(cpus_.apply_to_this_thread());  // refused: they are not allowed any more; then it stays where it is
    char name[16];
    std::snprintf(name, sizeof name, "%s", name_.c_str());
    pthread_setname_np(pthread_self(), name);
    std::unique_lock lock(mutex_);
    for (;;) {
        if (first_ != nullptr) {
            blocking_job& job = *first_;
            unlink(job);
            lock.unlock();
            job.run(job);
            lock.lock();
            continue;
        }
        if (ending_) break;
        ++idle_;
        bool woken = work_or_end_.wait_for(lock, idle_time, [this] { return first_ != nullptr || ending_; });
        --idle_;
        if (!woken) break;
    }
    --threads_;
    thread_ended_.notify_all();  // under the lock: the destructor goes on only after we have let go of it
}

}  // namespace peal::rt
