// SPDX-License-Identifier: MIT
#pragma once

// The memory of one execution: what each thread may still see of each location.
//
// seen       per location, the oldest store that a thread may read (its place in the history)
// happened   per thread, how much of what it did happens before now: for data races and lifetimes
// A view is both. A thread has one; a release store gives a copy of it to those who acquire that store.
// Histories are only appended to, in the order of execution: that is the modification order. (So a store that comes later in the execution but
// earlier in the modification order is not explored: the litmus test 2+2W shows the difference.)

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "explorer.hpp"

namespace model {

inline constexpr unsigned most_threads = 5;
inline constexpr unsigned most_objects = 768;

class view {
  public:
    std::uint32_t happened[most_threads];

    void clear() noexcept {
        std::memset(happened, 0, sizeof happened);
        size_ = 0;
    }
    std::uint16_t seen(unsigned at) const noexcept { return at < size_ ? seen_[at] : 0; }
    void see(unsigned at, std::uint16_t store) noexcept {
        grow(at + 1);
        if (seen_[at] < store) seen_[at] = store;
    }
    void join(const view& other) noexcept {
        for (unsigned i = 0; i < most_threads; ++i) happened[i] = std::max(happened[i], other.happened[i]);
        join_seen(other);
    }
    void join_seen(const view& other) noexcept {
        grow(other.size_);
        for (unsigned i = 0; i < other.size_; ++i) seen_[i] = std::max(seen_[i], other.seen_[i]);
    }
    view() noexcept { clear(); }
    view(const view& other) noexcept { *this = other; }
    view& operator=(const view& other) noexcept {
        std::memcpy(happened, other.happened, sizeof happened);
        size_ = other.size_;
        std::memcpy(seen_, other.seen_, size_ * sizeof(std::uint16_t));
        return *this;
    }

  private:
    void grow(unsigned size) noexcept {
        if (size <= size_) return;
        std::memset(seen_ + size_, 0, (size - size_) * sizeof(std::uint16_t));
        size_ = size;
    }
    unsigned size_;                       // the rest is zero
    std::uint16_t seen_[most_objects];
};

/// One store of a history.
struct message {
    word value;
    view* released;        // what an acquire of it gives; null: nothing
    message* older;
    std::uint16_t index;   // in the history, from 0
};

/// Things of one execution, given back all at once.
template <class T>
class arena {
  public:
    T& make() {
        if (used_ == blocks_.size() * block_size) blocks_.push_back(std::make_unique<T[]>(block_size));
        std::size_t at = used_++;
        return blocks_[at / block_size][at % block_size];
    }
    void clear() noexcept { used_ = 0; }

  private:
    static constexpr std::size_t block_size = 64;
    std::vector<std::unique_ptr<T[]>> blocks_;
    std::size_t used_ = 0;
};

/// The explorer's record of an object in this execution.
struct record {
    const object* whose;
    message* newest;                        // atomics
    view* released;                         // mutexes, events, conditions: what the next one who comes acquires; null: nothing
    bool is_taken;                          // a mutex is held, an event is raised
    std::uint8_t written_by;                // plain variables: the last write, the last read of each thread
    std::uint32_t written_at;
    std::uint32_t read_at[most_threads];
    std::uint32_t used_at[most_threads];    // the last use of each thread, for the destructor
};

}  // namespace model
