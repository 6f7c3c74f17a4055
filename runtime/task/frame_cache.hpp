// SPDX-License-Identifier: MIT
#pragma once

// frame_cache: the frame memory of one thread, and the list of all of them. How it works: frame_memory.cpp, and how memory goes back to
// the system: frame_return.cpp.

#include <peal/detail/atomic.hpp>
#include <peal/detail/frame_memory.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "../base/mpsc_stack.hpp"
#include "../base/sanitizer.hpp"

namespace peal::detail {

struct frame_cache : frame_lists {
    // ---- the owner's ------------------------------------------------------------------------------------------------------
    struct fresh_part {
        std::byte* begin = nullptr;  // never used part of the newest chunk
        std::byte* end = nullptr;
    };
    fresh_part fresh[class_count];
    // Freed here, on their way to another cache: a chain, so that its owner's list is not taken from it for each block.
    struct parcel {
        static constexpr unsigned most = 16;
        frame_cache* to = nullptr;
        free_block* newest = nullptr;
        free_block* oldest = nullptr;
        unsigned blocks = 0;
    };
    parcel leaving;

    // ---- shared: the table in frame_memory.cpp ----------------------------------------------------------------------------
    rt::mpsc_stack<free_block, &free_block::next> remote;
    detail::atomic<free_block*> put_back{nullptr};
    detail::spin_lock chunks_lock;             // guards the next two, and the links and sorted blocks of the chunks
    frame_chunk* newest = nullptr;
    frame_chunk* with_sorted[class_count] = {};
    detail::atomic<bool> has_sorted{false};    // perhaps
    detail::atomic<std::int64_t> chunks{0};
    detail::atomic<std::int64_t> returned{0};  // of these
    struct last_search {
        detail::atomic<std::int64_t> live{0};    // frames of all threads then
        detail::atomic<std::int64_t> chunks{0};  // made until then
    };
    last_search of_owner;                      // through all lists
    last_search of_others;                     // through what others have freed

    frame_cache* next_registered = nullptr;    // fixed when others see this
    frame_cache* next_idle = nullptr;          // guarded by frame_registry::mutex

    void* allocate(std::size_t size_class);
    void release(void* memory, std::size_t size_class) noexcept;
    void send_off() noexcept;

    // Requires: chunks_lock is held.
    void hang(free_block& block, frame_chunk& chunk) noexcept;
    void remove_chunk(frame_chunk& chunk) noexcept;

    /// Chunks that it has.
    std::int64_t held() const noexcept {
        return chunks.load(std::memory_order_relaxed) - returned.load(std::memory_order_relaxed);  // statistics
    }

  private:
    void* reuse(std::size_t size_class) noexcept {
        if (free[size_class] != nullptr) rt::unpoison(free[size_class], bytes_of(size_class));  // before its link is read
        return take(size_class);
    }
    void keep(void* freed, std::size_t size_class) noexcept {
        put(freed, size_class);
        rt::poison(freed, bytes_of(size_class));
    }
    void keep_all(free_block* chain) noexcept;
    void* take_sorted(std::size_t size_class) noexcept;
    void unlist_sorted(frame_chunk& chunk) noexcept;
    void make_chunk(std::size_t size_class);
};

/// All caches there are. Never destroyed: frames are freed by destructors of statics, too.
struct frame_registry {
    detail::thread_mutex mutex;                     // guards idle, late, and who is added to all
    detail::atomic<frame_cache*> all{nullptr};
    frame_cache* idle = nullptr;                    // of threads that have ended
    frame_cache* late = nullptr;                    // for threads whose own cache is gone already; used under the mutex
    detail::atomic<std::int64_t> large_live{0};
    detail::atomic<std::int64_t> large_total{0};
    detail::atomic<std::int64_t> held{0};           // chunks of all caches

    detail::spin_lock returning;                    // one at a time gives memory back

    /// Requires: the mutex is held.
    frame_cache* make() {
        auto* made = new frame_cache;
        made->next_registered = all.load(std::memory_order_relaxed);  // written under the mutex only
        all.store(made, std::memory_order_release);                   // [A1]
        return made;
    }

    /// Any thread. A cache that is nobody's, for a while or for a new thread.
    bool take_idle(frame_cache& cache) noexcept;
    void give_idle(frame_cache& cache) noexcept;

    template <class Function>
    void for_each(Function function) noexcept {
        for (frame_cache* each = all.load(std::memory_order_acquire); each != nullptr; each = each->next_registered) function(*each);  // [A1]
    }

    /// Frames that come from caches and are alive. Exact when no thread allocates.
    std::int64_t live() noexcept {
        std::int64_t sum = 0;
        for_each([&sum](frame_cache& each) { sum += each.live.load(std::memory_order_relaxed); });  // statistics
        return sum;
    }
};

frame_registry& the_frame_registry() noexcept;

}  // namespace peal::detail
