// SPDX-License-Identifier: MIT
#pragma once

// idle: which workers sleep, how many look for work, and whom to wake. The protocol: sched/README.md.
//
// counts_   written under `mutex_` (park, unpark) or by CAS (search)
//           [W1] all seq_cst: low half searching, high half parked. A producer publishes work and then reads it; a worker
//                changes it and then looks for work. One of the two sees the other.
// sleepers_ guarded by `mutex_`

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include <peal/detail/atomic.hpp>
#include <peal/detail/thread_mutex.hpp>

namespace peal::rt {

class idle {
  public:
    explicit idle(unsigned workers, unsigned spares = 0) : workers_(workers) { sleepers_.reserve(workers + spares); }

    /// At most half of the workers search at a time.
    [[nodiscard]] bool try_start_search() noexcept {
        std::uint64_t counts = counts_.load(std::memory_order_seq_cst);  // [W1]
        do {
            if (2 * searching_of(counts) >= workers_) return false;
        } while (!counts_.compare_exchange_weak(counts, counts + 1, std::memory_order_seq_cst));  // [W1]
        return true;
    }

    enum class last_searcher : bool { no, yes };
    /// The caller found work. If it was the last to search, it must look for more after this, and wake another for it.
    last_searcher stop_search() noexcept {
        return searching_of(counts_.fetch_sub(1, std::memory_order_seq_cst)) == 1 ? last_searcher::yes : last_searcher::no;  // [W1]
    }

    /// The caller is about to sleep. It must look for work once more after this.
    void enter_parked(unsigned index, bool was_searching) noexcept {
        std::lock_guard guard(mutex_);
        sleepers_.push_back(index);
        counts_.fetch_add(one_parked - (was_searching ? 1 : 0), std::memory_order_seq_cst);  // [W1]
    }

    /// For who waits for what workers do before they park: after this it sees what one did that was in enter_parked() before, and one that comes there later sees what
    /// the caller has done.
    void meet_parking() noexcept { counts_.fetch_add(0, std::memory_order_seq_cst); }

    enum class woken_as : bool { itself, searcher };
    /// The caller is awake again. `searcher`: a producer picked it, and counts on it to look for work.
    woken_as leave_parked(unsigned index) noexcept {
        std::lock_guard guard(mutex_);
        for (auto& sleeper : sleepers_) {
            if (sleeper != index) continue;
            sleeper = sleepers_.back();
            sleepers_.pop_back();
            counts_.fetch_sub(one_parked, std::memory_order_seq_cst);  // [W1]
            return woken_as::itself;
        }
        return woken_as::searcher;  // pick_sleeper() has counted
    }

    /// After work was published: the worker to wake, none if somebody searches already or nobody sleeps. It counts as searching.
    std::optional<unsigned> pick_sleeper() noexcept {
        if (!worth_waking(counts_.load(std::memory_order_seq_cst))) return std::nullopt;  // [W1]
        std::lock_guard guard(mutex_);
        if (!worth_waking(counts_.load(std::memory_order_seq_cst)) || sleepers_.empty()) return std::nullopt;  // [W1]
        unsigned picked = sleepers_.back();
        sleepers_.pop_back();
        counts_.fetch_add(1 - one_parked, std::memory_order_seq_cst);  // [W1]
        return picked;
    }

    /// Not zero while somebody sleeps or searches.
    const detail::atomic<std::uint64_t>& counts() const noexcept { return counts_; }

    unsigned searching() const noexcept { return searching_of(counts_.load(std::memory_order_relaxed)); }  // a hint

    bool all_parked() const noexcept {
        return parked_of(counts_.load(std::memory_order_seq_cst)) == workers_;  // [W1]
    }

  private:
    static constexpr std::uint64_t one_parked = std::uint64_t{1} << 32;
    static std::uint32_t searching_of(std::uint64_t counts) noexcept { return static_cast<std::uint32_t>(counts); }
    static std::uint32_t parked_of(std::uint64_t counts) noexcept { return static_cast<std::uint32_t>(counts >> 32); }
    static bool worth_waking(std::uint64_t counts) noexcept { return searching_of(counts) == 0 && parked_of(counts) != 0; }

    const unsigned workers_;
    alignas(64) detail::atomic<std::uint64_t> counts_{0};  // every push looks at it
    detail::thread_mutex mutex_;
    std::vector<unsigned> sleepers_;
};

}  // namespace peal::rt
