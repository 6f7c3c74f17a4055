// SPDX-License-Identifier: MIT
#pragma once

// fork_queue: what a worker has forked and not begun, newest last. The newest are the owner's alone: to fork one and to take it back
// costs loads and stores. The oldest lie in a public part, from which other workers take one at a time; whenever the owner comes by and
// finds it empty, it moves half of what it has there, and all of it while others are idle. After the split deque of Dinan et al. and of
// van Dijk and van de Pol ("Lace", 2014); the difference is that both ends of the public part lie in one word, so that the owner needs no
// fence to take some of it back.
//
//     slots_   ... | taken ... split | ... head |       public: [taken, split)   private: [split, head)
//
// field    written by      order
// public_  owner, thieves  [K1] version, split and taken in one word. publish: seq_cst CAS, because a look at the idle workers
//                               follows (sched/README.md): thieves see the slots and what is forked; counts the version up, too:
//                               positions come again after 65536 thefts, and a thief may have slept so long. steal: acq_rel CAS: one taker.
//                               take back: acq_rel CAS, counts the version up: a thief that read a slot before fails.
// slots_   owner           relaxed: published by public_, valid for a thief if its CAS succeeds. A slot is written again only when
//                               `taken` has passed it.
// head_, split_            owner only; split_ is what public_ says
//
// Bound: `capacity` records; what is forked beyond that is run by the owner in order.

#include <array>
#include <cstdint>

#include <peal/detail/atomic.hpp>
#include <peal/detail/config.hpp>

namespace peal::detail {

struct work_item;

/// Something forked. Lies in the frame or on the stack of whoever forked it, who stays until it has ended.
class fork_record {
  public:
    /// What a worker does that came by it otherwise than by take_back(). Gives an item to execute, or null if all is done.
    using begin_function = work_item* (*)(fork_record&) noexcept;
    enum class kind : std::uintptr_t {
        task,  // a coroutine
        call,  // a function: it may be run by whoever waits for another one
    };

    fork_record(begin_function begin, kind kind) noexcept : begin_(begin), kind_(kind) {}
    fork_record(const fork_record&) = delete;
    fork_record& operator=(const fork_record&) = delete;

    work_item* begin() noexcept { return begin_(*this); }

  private:
    friend class fork_queue;
    begin_function begin_;
    kind kind_;
};

class fork_queue {
  public:
    static constexpr std::uint32_t capacity = is_explored ? 16 : 1024;

    /// Owner only. False if it is full.
    [[nodiscard]] bool push(fork_record& record) noexcept {
        std::uint64_t seen = public_.load(std::memory_order_relaxed);  // only an older `taken` can be seen, and that is the safe side
        auto in_use = static_cast<std::uint16_t>(head_ - taken_of(seen));
        if (in_use >= capacity) [[unlikely]] return false;
        slots_[head_ % capacity].store(slot_of(record), std::memory_order_relaxed);
        ++head_;
        if (taken_of(seen) == static_cast<std::uint16_t>(split_) || others_are_idle()) publish();
        return true;
    }

    /// Before the first push: not zero while others have nothing to do. A hint: then all is public.
    void watch(const atomic<std::uint64_t>& idle) noexcept { idle_ = &idle; }

    /// Owner only. True if `record` is the newest here; then it is taken off.
    [[nodiscard]] bool take_back(fork_record& record) noexcept {
        if (head_ == split_) [[unlikely]] return take_back_public(slot_of(record));
        if (slots_[(head_ - 1) % capacity].load(std::memory_order_relaxed) != slot_of(record)) return false;
        --head_;
        if (head_ != split_ && others_are_idle()) [[unlikely]] publish();
        return true;
    }

    /// Owner only. The newest; null if there is none, or if it is not of that kind.
    PEAL_EXPORT fork_record* pop() noexcept;
    PEAL_EXPORT fork_record* pop_task() noexcept;

    /// Any thread. The oldest that is public, null if there is none or another thief was faster.
    enum class wanted : bool { any, call };
    PEAL_EXPORT fork_record* steal(wanted which) noexcept;

    /// Any thread; a hint but for the parking protocol.
    bool has_public() const noexcept {
        std::uint64_t seen = public_.load(std::memory_order_seq_cst);  // [K1]
        return taken_of(seen) != split_of(seen);
    }
    /// Owner only.
    bool empty() const noexcept { return head_ == split_ && !has_public(); }
    /// Owner only. Others have taken all that they could: there may be more of them.
    bool is_drained() const noexcept {
        return taken_of(public_.load(std::memory_order_relaxed)) == static_cast<std::uint16_t>(split_);  // a hint
    }

  private:
    static constexpr std::uintptr_t call_bit = 1;
    static std::uintptr_t slot_of(fork_record& record) noexcept {
        return reinterpret_cast<std::uintptr_t>(&record) | static_cast<std::uintptr_t>(record.kind_);
    }
    static fork_record* record_of(std::uintptr_t slot) noexcept { return reinterpret_cast<fork_record*>(slot & ~call_bit); }

    static std::uint16_t taken_of(std::uint64_t word) noexcept { return static_cast<std::uint16_t>(word); }
    static std::uint16_t split_of(std::uint64_t word) noexcept { return static_cast<std::uint16_t>(word >> 16); }
    static std::uint64_t version_of(std::uint64_t word) noexcept { return word >> 32; }
    static std::uint64_t pack(std::uint64_t version, std::uint32_t split, std::uint32_t taken) noexcept {
        return version << 32 | std::uint64_t{split & 0xffffu} << 16 | (taken & 0xffffu);
    }

    bool others_are_idle() const noexcept { return idle_ != nullptr && idle_->load(std::memory_order_relaxed) != 0; }
    /// Something is private, and nothing is public or others are idle.
    PEAL_EXPORT void publish() noexcept;
    PEAL_EXPORT bool take_back_public(std::uintptr_t slot) noexcept;

    alignas(64) atomic<std::uint64_t> public_{0};
    alignas(64) std::uint32_t head_ = 0;
    std::uint32_t split_ = 0;
    const atomic<std::uint64_t>* idle_ = nullptr;
    std::array<atomic<std::uintptr_t>, capacity> slots_{};
};

}  // namespace peal::detail
