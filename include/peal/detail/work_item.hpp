// SPDX-License-Identifier: MIT
#pragma once

// work_item: what a run queue holds. It lies in the frame of the coroutine that it resumes (as a base of the awaitable or of
// the context), so queueing never allocates. An item is in at most one queue at a time; `next` belongs to that queue.

#include <coroutine>
#include <utility>
#include <cstddef>

namespace peal {
class context;
}

namespace peal::detail {

struct work_item {
    work_item* next = nullptr;          // link of the queue that holds the item
    std::coroutine_handle<> handle;     // resumed once per entry into a queue
    context* owner = nullptr;           // the task it belongs to; `this_task` while it runs
};

/// A chain of items by their `next` links, first in first out. Not thread-safe: a local variable or guarded by its owner.
class work_list {
  public:
    bool empty() const noexcept { return head_ == nullptr; }
    std::size_t size() const noexcept { return size_; }

    void push_back(work_item& item) noexcept {
        item.next = nullptr;
        if (head_ == nullptr) {
            head_ = &item;
        } else {
            tail_->next = &item;
        }
        tail_ = &item;
        ++size_;
    }

    /// Requires: not empty.
    work_item& pop_front() noexcept {
        work_item& item = *head_;
        head_ = item.next;
        --size_;
        return item;
    }

    /// Requires: not empty.
    const work_item& front() const noexcept { return *head_; }

    /// Moves all of `other` to the end.
    void append(work_list& other) noexcept {
        if (other.empty()) return;
        (head_ == nullptr ? head_ : tail_->next) = other.head_;
        tail_ = other.tail_;
        size_ += std::exchange(other.size_, 0);
        other.head_ = nullptr;
    }

  private:
    work_item* head_ = nullptr;
    work_item* tail_ = nullptr;
    std::size_t size_ = 0;
};

}  // namespace peal::detail
