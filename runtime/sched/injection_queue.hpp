// SPDX-License-Identifier: MIT
#pragma once

// injection_queue: work from outside the pool, and what does not fit into a run queue. First in first out in each priority.
//
// Threads: any. `lock_` guards the list.
// size_   written under the lock   [I1] seq_cst store: a push is followed by a look at the idle workers, and a parking worker
//                                        looks here after it became one (sched/README.md). One of the two sees the other.
// urgent_ written under the lock   [I2] relaxed: how many of them have high priority; looked at again and again
// Bound: the items lie in frames; as many as tasks.

#include <mutex>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/work_item.hpp>

#include "priorities.hpp"

namespace peal::rt {

class injection_queue {
  public:
    void push(detail::work_item& item) noexcept {
        std::lock_guard guard(lock_);
        list_of(item).push_back(item);
        publish();
    }
    /// Requires: all of one priority.
    void push_all(detail::work_list& items) noexcept {
        if (items.empty()) return;
        std::lock_guard guard(lock_);
        list_of(items.front()).append(items);
        publish();
    }

    /// Appends up to `most` items of each priority to `taken`, the urgent ones first: a worker's own queues see to it that none starves.
    void pop(detail::work_list& taken, std::size_t most) noexcept {
        if (empty()) return;
        std::lock_guard guard(lock_);
        for (detail::work_list& list : items_) {
            for (std::size_t left = most; left != 0 && !list.empty(); --left) taken.push_back(list.pop_front());
        }
        publish();
    }

    /// The oldest task of `list` that has not begun, of the lowest priority of which there is one, or of `most` only; none of a higher priority than that. Null: there is none among
    /// the first few.
    detail::spawned_context* take_unbegun(const detail::task_list& list, priority most, bool only_of_that) noexcept {
        if (empty()) return nullptr;
        std::lock_guard guard(lock_);
        for (unsigned i = only_of_that ? index_of(most) + 1 : priorities; i-- > index_of(most);) {
            detail::work_list before;
            for (unsigned looks = 0; looks != 64 && !items_[i].empty(); ++looks) {
                detail::work_item& item = items_[i].pop_front();
                if (item.owner == nullptr || !detail::spawned_context::is_beginning(item) || item.owner->root().list() != &list) {
                    before.push_back(item);
                    continue;
                }
                before.append(items_[i]);
                items_[i] = before;
                publish();
                return static_cast<detail::spawned_context*>(&item);
            }
            before.append(items_[i]);
            items_[i] = before;
        }
        return nullptr;
    }

    std::size_t size() const noexcept { return size_.load(std::memory_order_seq_cst); }  // [I1]
    bool empty() const noexcept { return size() == 0; }
    bool has_urgent() const noexcept { return urgent_.load(std::memory_order_relaxed) != 0; }  // [I2]

  private:
    detail::work_list& list_of(const detail::work_item& item) noexcept { return items_[index_of(priority_of(item))]; }
    void publish() noexcept {
        urgent_.store(items_[0].size(), std::memory_order_relaxed);                                     // [I2]
        size_.store(items_[0].size() + items_[1].size() + items_[2].size(), std::memory_order_seq_cst);  // [I1]
    }

    alignas(64) detail::spin_lock lock_;
    detail::work_list items_[priorities];
    detail::atomic<std::size_t> size_{0};
    alignas(64) detail::atomic<std::size_t> urgent_{0};  // every worker reads it before each item, and seldom anybody writes
};

}  // namespace peal::rt
