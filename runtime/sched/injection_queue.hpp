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

    /// Takes the `count` oldest tasks of `list` that have not begun, of the lowest priorities there are, or of `most` only; none of a higher one than that. Looked for among the first
    /// few. False: there are not so many, and none was taken.
    [[nodiscard]] bool take_unbegun(const detail::task_list& list, priority most, bool only_of_that, unsigned count, detail::work_list& taken) noexcept {
        if (empty()) return false;
        std::lock_guard guard(lock_);
        const unsigned lowest = only_of_that ? index_of(most) + 1 : priorities;
        auto is_one = [&list](const detail::work_item& item) {
            return item.owner != nullptr && detail::spawned_context::is_beginning(item) && item.owner->root().list() == &list;
        };
        unsigned found = 0;
        for (unsigned i = lowest; i-- > index_of(most) && found < count;) {
            unsigned looks = 0;
            for (const detail::work_item* item = items_[i].empty() ? nullptr : &items_[i].front(); item != nullptr && looks != most_looks; item = item->next, ++looks) {
                if (is_one(*item)) ++found;
            }
        }
        if (found < count) return false;
        for (unsigned i = lowest; i-- > index_of(most) && count != 0;) {
            detail::work_list before;
            for (unsigned looks = 0; looks != most_looks && count != 0 && !items_[i].empty(); ++looks) {
                detail::work_item& item = items_[i].pop_front();
                if (is_one(item)) {
                    taken.push_back(item);
                    --count;
                } else {
                    before.push_back(item);
                }
            }
            before.append(items_[i]);
            items_[i] = before;
        }
        publish();
        return true;
    }

    std::size_t size() const noexcept { return size_.load(std::memory_order_seq_cst); }  // [I1]
    bool empty() const noexcept { return size() == 0; }
    bool has_urgent() const noexcept { return urgent_.load(std::memory_order_relaxed) != 0; }  // [I2]

  private:
    static constexpr unsigned most_looks = 64;

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
