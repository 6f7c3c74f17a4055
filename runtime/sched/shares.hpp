// SPDX-License-Identifier: MIT
#pragma once

// shares: tasks in groups that get working time in proportion to their weights. What is in no share counts as one more of them.
//
// Stride scheduling (Waldspurger and Weihl, 1995) by measured time: each share has a pass, which grows by the time that its items take, divided by its weight; the
// one that is least far goes next. An item is charged what such items took lately when it is given out, so that other workers see it at once, and the
// rest when it has ended. Who had nothing to do begins where the others are, so that nothing is saved up.
//
// Threads: any. `lock_` guards everything but:
// ready_count_  written under the lock  [H1] seq_cst store, as [I1] of the injection queue: who publishes an item looks at the idle workers
//                                            after that, a parking worker looks here after it became one. Relaxed where it is a hint.
// Bound: at most 64 shares (each pick looks at all that have something); items lie in frames.

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
    share_queue(scheduler* pool, unsigned weight) noexcept : share_state{pool, weight} {}

  private:
    friend class shares;

    void charge(double nanoseconds) noexcept { pass_ += nanoseconds / weight; }

    // guarded by shares::lock_
    detail::work_list items_;
    double pass_ = 0;           // nanoseconds per unit of weight: as exact as a clock for years
    double expected_ = 1000;    // of one item, ns: what the last ones took
};

class shares {
  public:
    static constexpr std::size_t limit = 64;
    static constexpr unsigned weight_limit = 10'000;
    static constexpr unsigned weight_of_others = 100;  // of all that is in no share together

    /// Requires: a weight of 1 to weight_limit. Null if there are `limit` already. Throws std::bad_alloc.
    share_queue* make(scheduler* pool, unsigned weight) {
        auto made = std::make_unique<share_queue>(pool, weight);
        std::lock_guard guard(making_);
        if (all_.size() == limit) return nullptr;
        all_.push_back(std::move(made));
        return all_.back().get();
    }

    static share_queue* queue_of(share made) noexcept {
        return const_cast<share_queue*>(static_cast<const share_queue*>(made.state()));  // make() has made it
    }

    void push(detail::work_item& item, share_queue& share) noexcept {
        std::lock_guard guard(lock_);
        if (share.items_.empty()) {
            share.pass_ = std::max(share.pass_, now_);
            ready_[ready_count_.load(std::memory_order_relaxed)] = &share;  // written under the lock only
            share.items_.push_back(item);
            publish(1);
            return;
        }
        share.items_.push_back(item);
    }

    /// Whose turn it is, and what it runs: null if it is that of what is in no share.
    struct turn {
        detail::work_item* item = nullptr;
        share_queue* whose = nullptr;  // null: nobody's, there was nothing
    };
    /// `others_wait`: something that is in no share waits for the caller.
    turn take(bool others_wait) noexcept {
        std::lock_guard guard(lock_);
        turn next;
        if (others_wait) {
            others_.pass_ = std::max(others_.pass_, now_);
            next.whose = &others_;
        }
        std::size_t count = ready_count_.load(std::memory_order_relaxed);
        std::size_t place = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (next.whose != nullptr && next.whose->pass_ <= ready_[i]->pass_) continue;
            next.whose = ready_[i];
            place = i;
        }
        if (next.whose == nullptr) return next;
        now_ = std::max(now_, next.whose->pass_);
        next.whose->charge(next.whose->expected_);
        if (next.whose == &others_) return next;
        next.item = &next.whose->items_.pop_front();
        if (next.whose->items_.empty()) remove(place);
        return next;
    }

    /// What `take` has given out took so long.
    void settle(share_queue& whose, std::chrono::nanoseconds elapsed) noexcept {
        constexpr double least = 100;   // the clock may stand still
        constexpr double most = 1e8;    // a stall is not paid for until the morning
        double actual = std::clamp(static_cast<double>(elapsed.count()), least, most);
        std::lock_guard guard(lock_);
        whose.charge(actual - whose.expected_);
        whose.expected_ += (actual - whose.expected_) / 4;
    }

    /// Appends all there is, of all shares; charges nobody.
    void take_all(detail::work_list& taken) noexcept {
        if (empty()) return;
        std::lock_guard guard(lock_);
        while (ready_count_.load(std::memory_order_relaxed) != 0) {
            taken.append(ready_[0]->items_);
            remove(0);
        }
    }

    /// A hint.
    bool has_ready() const noexcept { return ready_count_.load(std::memory_order_relaxed) != 0; }
    bool empty() const noexcept { return ready_count_.load(std::memory_order_seq_cst) == 0; }  // [H1]

  private:
    void publish(std::size_t more) noexcept {
        ready_count_.store(ready_count_.load(std::memory_order_relaxed) + more, std::memory_order_seq_cst);  // [H1]
    }
    void remove(std::size_t place) noexcept {
        std::size_t last = ready_count_.load(std::memory_order_relaxed) - 1;
        std::move(ready_ + place + 1, ready_ + last + 1, ready_ + place);  // the others keep their order
        ready_count_.store(last, std::memory_order_seq_cst);               // [H1]
    }

    detail::spin_lock lock_;
    share_queue* ready_[limit] = {};  // those that have items, in the order in which they came to have some
    share_queue others_{nullptr, weight_of_others};
    double now_ = 0;                  // the pass of the last one that had its turn; never goes back

    detail::thread_mutex making_;     // guards all_
    std::vector<std::unique_ptr<share_queue>> all_;

    alignas(64) detail::atomic<std::size_t> ready_count_{0};  // every worker reads it before each item
};

}  // namespace peal::rt
