// SPDX-License-Identifier: MIT

#include <peal/detail/fork_queue.hpp>

#include <peal/detail/this_thread.hpp>

#include "scheduler.hpp"

namespace peal::detail {

void fork_queue::publish() noexcept {
    split_ = others_are_idle() ? head_ : split_ + (head_ - split_ + 1) / 2;
    std::uint64_t seen = public_.load(std::memory_order_relaxed);  // the CAS decides: thieves may be at it
    while (!public_.compare_exchange_weak(seen, pack(version_of(seen) + 1, split_, taken_of(seen)), std::memory_order_seq_cst,
                                          std::memory_order_relaxed)) {  // [K1]
    }
    if (this_thread.worker != nullptr) this_thread.worker->scheduler().wake_one();  // null: a queue by itself, in tests
}

bool fork_queue::take_back_public(std::uintptr_t slot) noexcept {
    std::uint64_t seen = public_.load(std::memory_order_relaxed);  // the CAS decides
    for (;;) {
        auto left = static_cast<std::uint16_t>(split_ - taken_of(seen));
        if (left == 0) return false;
        if (slot != 0 && slots_[(split_ - 1) % capacity].load(std::memory_order_relaxed) != slot) return false;
        std::uint32_t keep = left / 2u;
        std::uint32_t split = split_ - (left - keep);
        if (public_.compare_exchange_weak(seen, pack(version_of(seen) + 1, split, taken_of(seen)), std::memory_order_acq_rel,
                                          std::memory_order_relaxed)) {  // [K1]
            split_ = split;
            --head_;
            return true;
        }
    }
}

fork_record* fork_queue::pop() noexcept {
    if (head_ == split_) {
        if (!take_back_public(0)) return nullptr;
    } else {
        --head_;
        if (head_ != split_ && (is_drained() || others_are_idle())) publish();
    }
    return record_of(slots_[head_ % capacity].load(std::memory_order_relaxed));
}

fork_record* fork_queue::pop_task() noexcept {
    if (empty() || (slots_[(head_ - 1) % capacity].load(std::memory_order_relaxed) & call_bit) != 0) return nullptr;
    return pop();
}

fork_record* fork_queue::steal(wanted which) noexcept {
    std::uint64_t seen = public_.load(std::memory_order_acquire);  // [K1]
    for (;;) {
        std::uint16_t taken = taken_of(seen);
        if (taken == split_of(seen)) return nullptr;
        std::uintptr_t slot = slots_[taken % capacity].load(std::memory_order_relaxed);
        if (which == wanted::call && (slot & call_bit) == 0) return nullptr;
        if (public_.compare_exchange_weak(seen, pack(version_of(seen), split_of(seen), taken + 1u), std::memory_order_acq_rel,
                                          std::memory_order_acquire)) {  // [K1]
            return record_of(slot);
        }
    }
}

}  // namespace peal::detail
