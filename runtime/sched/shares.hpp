// SPDX-License-Identifier: MIT
#pragma once

// shares: tasks in groups that get working time in proportion to their weights. What is in no share counts as one more of them ("the others").
//
// Stride scheduling (Waldspurger and Weihl, 1995) by measured time. A worker gets a turn: for about 0.1 ms it runs what is in one share, or
// what is in none; so what all workers share here is used some times in that time, and not for each item. Each share has a pass, which
// grows by the time of its turns, divided by its weight; the one that is least far gets the next turn. A turn is charged when it is given
// out, with what the last ones took, so that other workers see it at once, and corrected when it has ended. Who had nothing to do begins where
// the rest is, so that nothing is saved up.
//
// Threads: any. `lock_` guards everything but:
// ready_count_  written under the lock  [H1] seq_cst store, as [I1] of the injection queue: who publishes an item looks at the idle workers
//                                            after that, a parking worker looks here after it became one. Relaxed where it is a hint.
// Bound: at most 64 shares (each choice looks at all that have something); items lie in frames.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/thread_mutex.hpp>
#include <peal/detail/work_item.hpp>
#include <peal/task/share.hpp>

namespace peal::rt {

class share_queue : public detail::share_state {
  public:
    share_queue(scheduler* pool, unsigned weight, std::uint64_t most_pending) noexcept : share_state{pool, weight}, most_pending_(most_pending) {}

    /// Tasks of it that have been accepted and have not begun. Relaxed: what hangs on it looks again.
    std::uint64_t pending() const noexcept { return pending_.load(std::memory_order_relaxed); }
    void count_accepted() noexcept { pending_.fetch_add(1, std::memory_order_relaxed); }
    void count_begun() noexcept { pending_.fetch_sub(1, std::memory_order_relaxed); }
    /// 0: no bound.
    std::uint64_t most_pending() const noexcept { return most_pending_; }

  private:
    friend class shares;

    void charge(double nanoseconds) noexcept { pass_ += nanoseconds / weight; }

    const std::uint64_t most_pending_;
    detail::atomic<std::uint64_t> pending_{0};
    // guarded by shares::lock_
    detail::work_list items_;
    double pass_ = 0;         // nanoseconds per unit of weight: as exact as a clock for years
    double expected_ = 1000;  // of a turn, ns: what the last ones took
};

class shares {
  public:
    static constexpr std::size_t limit = 64;
    static constexpr unsigned weight_limit = 10'000;
    static constexpr unsigned weight_of_others = 100;  // of all that is in no share together

    /// Requires: a weight of 1 to weight_limit. Null if there are `limit` already. Throws std::bad_alloc.
    share_queue* make(scheduler* pool, unsigned weight, std::uint64_t most_pending = 0) {
        auto made = std::make_unique<share_queue>(pool, weight, most_pending);
        std::lock_guard guard(making_);
        if (all_.size() == limit) return nullptr;
        all_.push_back(std::move(made));
        return all_.back().get();
    }
    static share_queue* queue_of(share made) noexcept {
        return const_cast<share_queue*>(static_cast<const share_queue*>(made.state()));  // make() has made it
    }
    /// Stands for what is in no share.
    bool is_others(const share_queue& whose) const noexcept { return &whose == &others_; }

    void push(detail::work_item& item, share_queue& share) noexcept {
        std::lock_guard guard(lock_);
        if (share.items_.empty()) add_ready(share);
        share.items_.push_back(item);
    }
    /// Requires: all are in that share.
    void push_all(detail::work_list& items, share_queue& share) noexcept {
        if (items.empty()) return;
        std::lock_guard guard(lock_);
        if (share.items_.empty()) add_ready(share);
        share.items_.append(items);
    }

    enum class may_be_others : bool { no, yes };
    /// Whose turn it is; null: nobody's, as far as asked for. To be settled.
    share_queue* begin_turn(may_be_others others_too) noexcept {
        std::lock_guard guard(lock_);
        share_queue* first = others_too == may_be_others::yes ? &others_ : nullptr;
        std::size_t count = ready_count_.load(std::memory_order_relaxed);  // written under the lock only
        for (std::size_t i = 0; i < count; ++i) {
            if (first == nullptr || ready_[i]->pass_ < first->pass_) first = ready_[i];
        }
        if (first == nullptr) return nullptr;
        now_ = std::max(now_, first->pass_);
        first->charge(first->expected_);
        return first;
    }
    /// A turn that did not come from here: items were stolen.
    void begin_turn_of(share_queue& share) noexcept {
        std::lock_guard guard(lock_);
        share.charge(share.expected_);
    }
    void end_turn(share_queue& whose, std::chrono::nanoseconds length) noexcept {
        constexpr double least = 100;  // the clock may stand still
        constexpr double most = 1e8;   // a stall is not paid for until the morning
        double actual = std::clamp(static_cast<double>(length.count()), least, most);
        std::lock_guard guard(lock_);
        whose.charge(actual - whose.expected_);
        whose.expected_ += (actual - whose.expected_) / 4;
    }
    /// It was their turn somewhere, and the worker found nothing of them: nothing is saved up.
    void others_are_absent() noexcept {
        std::lock_guard guard(lock_);
        others_.pass_ = std::max(others_.pass_, now_);
    }

    /// Appends a part of what there is in `share` for one of so many workers, at most `most`.
    void pop(share_queue& share, detail::work_list& taken, std::size_t most, std::size_t workers) noexcept {
        std::lock_guard guard(lock_);
        if (share.items_.empty()) return;
        for (std::size_t left = std::min(most, share.items_.size() / workers + 1); left != 0 && !share.items_.empty(); --left) {
            taken.push_back(share.items_.pop_front());
        }
        if (share.items_.empty()) remove_ready(share);
    }

    /// Appends all there is, of all shares; charges nobody.
    void take_all(detail::work_list& taken) noexcept {
        if (empty()) return;
        std::lock_guard guard(lock_);
        while (ready_count_.load(std::memory_order_relaxed) != 0) {
            taken.append(ready_[0]->items_);
            remove_ready(*ready_[0]);
        }
    }

    /// A hint.
    bool has_ready() const noexcept { return ready_count_.load(std::memory_order_relaxed) != 0; }
    bool empty() const noexcept { return ready_count_.load(std::memory_order_seq_cst) == 0; }  // [H1]

  private:
    void add_ready(share_queue& share) noexcept {
        std::size_t count = ready_count_.load(std::memory_order_relaxed);
        share.pass_ = std::max(share.pass_, now_);
        ready_[count] = &share;
        ready_count_.store(count + 1, std::memory_order_seq_cst);  // [H1] whoever looks there waits for the lock
    }
    void remove_ready(share_queue& share) noexcept {
        std::size_t count = ready_count_.load(std::memory_order_relaxed);
        auto place = std::find(ready_, ready_ + count, &share);
        std::move(place + 1, ready_ + count, place);  // the rest keeps its order
        ready_count_.store(count - 1, std::memory_order_relaxed);  // less to see wakes nobody
    }

    alignas(64) detail::spin_lock lock_;
    share_queue* ready_[limit] = {};  // those that have items here, in the order in which they came to have some
    share_queue others_{nullptr, weight_of_others, 0};
    double now_ = 0;                  // the pass of the last one that got a turn; never goes back

    detail::thread_mutex making_;     // guards all_
    std::vector<std::unique_ptr<share_queue>> all_;

    alignas(64) detail::atomic<std::size_t> ready_count_{0};  // every worker reads it before each item
};

}  // namespace peal::rt
