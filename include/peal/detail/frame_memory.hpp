// SPDX-License-Identifier: MIT
#pragma once

// Memory for coroutine frames and spawned tasks: size-class free lists per thread, see runtime/task/frame_memory.cpp.

#include <cstddef>
#include <cstdint>

#include <peal/detail/atomic.hpp>
#include <peal/detail/config.hpp>

namespace peal::detail {

// AddressSanitizer, and the explorer of tests/model, are told of each block that is handed out or comes back: in frame_memory.cpp.
#ifdef PEAL_ASAN
inline constexpr bool every_free_block_is_watched = true;
#else
inline constexpr bool every_free_block_is_watched = is_explored;
#endif

/// Any thread. Throws std::bad_alloc when the system has no memory.
[[nodiscard]] PEAL_EXPORT void* allocate_frame(std::size_t size_bytes);

/// Any thread, also another one than the allocating one: the frame then goes home by the owner's remote list, with some others.
PEAL_EXPORT void free_frame(void* frame, std::size_t size_bytes) noexcept;
/// Those that wait for others go home now. For a thread that does not free any more for a while; one that ends does it by itself.
PEAL_EXPORT void send_off_frames() noexcept;

/// Frames allocated and not yet freed, over all threads. Exact when no thread is allocating; for leak checks.
PEAL_EXPORT std::int64_t live_frames() noexcept;

/// Blocks of memory taken from the system for frames so far, over all threads; does not grow in a steady state.
PEAL_EXPORT std::uint64_t frame_system_allocations() noexcept;

/// Memory that is held for frames, whether they use it or not, but for those larger than frame_lists::largest.
PEAL_EXPORT std::int64_t frame_bytes_held() noexcept;

/// More than a few MiB. Costs a load.
PEAL_EXPORT bool holds_much_for_frames() noexcept;
/// A burst has left memory that frames do not use.
PEAL_EXPORT bool has_spare_frames() noexcept;

/// Gives that back to the system, as far as whole chunks are free. `may_go_on` is asked every few microseconds, and must
/// not make or end frames. Gives the bytes that went back.
PEAL_EXPORT std::size_t return_spare_frames(bool (*may_go_on)(void* context), void* context) noexcept;

// ---- the fast path, inline: a block that this thread has freed before ---------------------------------------------------------

struct free_block {
    free_block* next;
};

/// The owner's part of a thread's cache.
struct frame_lists {
    static constexpr std::size_t small_step = 32;  // classes 32, 64 .. 512
    static constexpr std::size_t small_largest = 512;
    static constexpr std::size_t large_step = 128;  // classes 640, 768 .. 2048
    static constexpr std::size_t largest = 2048;    // more comes from operator new
    static constexpr std::size_t small_classes = small_largest / small_step;
    static constexpr std::size_t class_count = small_classes + (largest - small_largest) / large_step;

    static constexpr std::size_t class_of(std::size_t bytes) noexcept {
        return bytes <= small_largest ? (bytes + small_step - 1) / small_step - 1
                                      : small_classes + (bytes - small_largest + large_step - 1) / large_step - 1;
    }
    static constexpr std::size_t bytes_of(std::size_t size_class) noexcept {
        return size_class < small_classes ? (size_class + 1) * small_step : small_largest + (size_class - small_classes + 1) * large_step;
    }

    /// Null if there is none.
    free_block* take(std::size_t size_class) noexcept {
        free_block* taken = free[size_class];
        if (taken != nullptr) free[size_class] = taken->next;
        return taken;
    }
    void put(void* freed, std::size_t size_class) noexcept {
        auto* block = static_cast<free_block*>(freed);
        block->next = free[size_class];
        free[size_class] = block;
    }
    void count(std::int64_t amount) noexcept {
        live.store(live.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);  // statistics; one writer
    }

    free_block* free[class_count] = {};
    alignas(64) atomic<std::int64_t> live{0};  // allocated by this thread minus freed by it: only the sum over all threads means something
};

/// What blocks are cut from: aligned to its size, so that the way from a block to its owner is a mask.
struct alignas(64) frame_chunk {
    static constexpr std::size_t bytes = 64 * 1024;

    frame_lists* owner;
    std::uint32_t size_class;

    // Free blocks that hang here and not on the owner's list: frame_return.cpp.
    std::uint32_t sorted_count = 0;
    free_block* sorted = nullptr;
    frame_chunk* next_sorted = nullptr;
    frame_chunk* previous_sorted = nullptr;

    // Of the same owner: leak checkers find all chunks by this chain, not through free blocks, which are poisoned.
    frame_chunk* older = nullptr;
    frame_chunk* newer = nullptr;
};
inline frame_chunk& chunk_of(void* block) noexcept {
    return *reinterpret_cast<frame_chunk*>(reinterpret_cast<std::uintptr_t>(block) & ~(std::uintptr_t{frame_chunk::bytes} - 1));
}

/// Null before the thread's first frame, and when the thread ends.
PEAL_EXPORT extern constinit thread_local frame_lists* this_frames __attribute__((tls_model("initial-exec")));

/// Base of whatever lives in frame memory.
struct in_frame_memory {
    static void* operator new(std::size_t size_bytes) {
        if constexpr (!every_free_block_is_watched) {
            if (frame_lists* mine = this_frames; mine != nullptr && size_bytes <= frame_lists::largest) [[likely]] {
                if (void* taken = mine->take(frame_lists::class_of(size_bytes))) [[likely]] {
                    mine->count(1);
                    return taken;
                }
            }
        }
        return allocate_frame(size_bytes);
    }
    static void operator delete(void* memory, std::size_t size_bytes) noexcept {
        if constexpr (!every_free_block_is_watched) {
            if (frame_lists* mine = this_frames; mine != nullptr && size_bytes <= frame_lists::largest) [[likely]] {
                if (memory != nullptr && chunk_of(memory).owner == mine) [[likely]] {
                    mine->put(memory, frame_lists::class_of(size_bytes));
                    mine->count(-1);
                    return;
                }
            }
        }
        free_frame(memory, size_bytes);
    }
};

}  // namespace peal::detail
