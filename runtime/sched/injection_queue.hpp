// SPDX-License-Identifier: MIT
#pragma once

// injection_queue: work from outside the pool, and what does not fit into a run queue. First in first out.
//
// Threads: any. `mutex_` guards the list.
// size_   written under the mutex   [I1] seq_cst store: a push is followed by a look at the idle workers, and a parking worker
//                                        looks here after it became one (sched/README.md). One of the two sees the other.
// Bound: the items lie in frames; as many as tasks.

#include <mutex>

#include <peal/detail/atomic.hpp>
#include <peal/detail/thread_mutex.hpp>
#include <peal/detail/work_item.hpp>

namespace peal::rt {

class injection_queue {
  public:
    void push(detail::work_item& item) noexcept {
        std::lock_guard guard(mutex_);
        items_.push_back(item);
        size_.store(items_.size(), std::memory_order_seq_cst);  // [I1]
    }
    void push_all(detail::work_list& items) noexcept {
        std::lock_guard guard(mutex_);
        items_.append(items);
        size_.store(items_.size(), std::memory_order_seq_cst);  // [I1]
    }

    /// Appends up to `most` items to `taken`.
    void pop(detail::work_list& taken, std::size_t most) noexcept {
        if (empty()) return;
        std::lock_guard guard(mutex_);
        for (; most != 0 && !items_.empty(); --most) taken.push_back(items_.pop_front());
        size_.store(items_.size(), std::memory_order_seq_cst);  // [I1]
    }

    std::size_t size() const noexcept { return size_.load(std::memory_order_seq_cst); }  // [I1]
    bool empty() const noexcept { return size() == 0; }

  private:
    detail::thread_mutex mutex_;
    detail::work_list items_;
    detail::atomic<std::size_t> size_{0};
};

}  // namespace peal::rt
