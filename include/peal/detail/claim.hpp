// SPDX-License-Identifier: MIT
#pragma once

// claim: how select() takes one thing and loses none. Its alternatives are branches that run at the same time; whoever is about to give
// one of them something (an item of a channel, room in a channel) takes the claim of that alternative first, and gives nothing if
// another alternative of the same select has been served. What happens below an alternative inherits its claim by its context.
//
// state_ of a group   0: free | 1: being decided, for a few instructions | else the claim that won, for good
//                     [X1] release store by who decides, acquire by who finds it decided: that one sees what was done before. The CAS
//                     to 1 could be relaxed: it keeps others out, and whoever tried before has left nothing behind. Both ends of a channel
//                     may belong to selects: then both groups are locked in the order of their addresses. No other lock is taken
//                     meanwhile, so nobody waits in a circle.

#include <cstdint>
#include <functional>
#include <utility>

#include <peal/detail/atomic.hpp>

namespace peal::detail {

class claim_group;

class claim {
  public:
    void belong_to(claim_group& group) noexcept { group_ = &group; }
    /// True: this alternative is or becomes the one. Any thread.
    [[nodiscard]] bool try_take() noexcept;

  private:
    friend class claim_group;
    friend bool try_take_both(claim* a, claim* b) noexcept;
    claim_group* group_ = nullptr;
};

class claim_group {
  public:
    /// Null: not decided yet.
    claim* winner() const noexcept {
        std::uintptr_t seen = state_.load(std::memory_order_acquire);  // [X1]
        return seen <= deciding ? nullptr : reinterpret_cast<claim*>(seen);
    }
    bool is_decided() const noexcept { return winner() != nullptr; }

  private:
    friend class claim;
    friend bool try_take_both(claim* a, claim* b) noexcept;

    static constexpr std::uintptr_t free = 0;
    static constexpr std::uintptr_t deciding = 1;

    enum class entered : unsigned char { locked, is_mine, lost };
    entered enter(const claim& by) noexcept {
        for (;;) {
            std::uintptr_t seen = free;
            if (state_.compare_exchange_weak(seen, deciding, std::memory_order_acquire, std::memory_order_acquire)) {  // [X1]
                return entered::locked;
            }
            if (seen > deciding) return seen == reinterpret_cast<std::uintptr_t>(&by) ? entered::is_mine : entered::lost;
            if (seen == deciding) spin_hint();
        }
    }
    void leave(std::uintptr_t state) noexcept { state_.store(state, std::memory_order_release); }  // [X1]

    detail::atomic<std::uintptr_t> state_{free};
};

inline bool claim::try_take() noexcept {
    switch (group_->enter(*this)) {
        case claim_group::entered::is_mine: return true;
        case claim_group::entered::lost: return false;
        case claim_group::entered::locked: break;
    }
    group_->leave(reinterpret_cast<std::uintptr_t>(this));
    return true;
}

/// The claims of a giver and a taker; null for those that belong to no select. All or nothing.
[[nodiscard]] inline bool try_take_both(claim* a, claim* b) noexcept {
    if (a == nullptr || b == nullptr) {
        claim* one = a != nullptr ? a : b;
        return one == nullptr || one->try_take();
    }
    if (a->group_ == b->group_) return false;  // the two alternatives of one select do not serve each other
    if (std::less<claim_group*>()(b->group_, a->group_)) std::swap(a, b);
    claim_group::entered first = a->group_->enter(*a);
    if (first == claim_group::entered::lost) return false;
    claim_group::entered second = b->group_->enter(*b);
    bool both = second != claim_group::entered::lost;
    if (second == claim_group::entered::locked) b->group_->leave(reinterpret_cast<std::uintptr_t>(b));
    if (first == claim_group::entered::locked) a->group_->leave(both ? reinterpret_cast<std::uintptr_t>(a) : claim_group::free);
    return both;
}

}  // namespace peal::detail
