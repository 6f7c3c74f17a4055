// SPDX-License-Identifier: MIT

// Frames from per-thread free lists, one per size class.
//
// A cache belongs to one thread at a time. It cuts blocks from chunks of 64 KiB, aligned to their size, so that the chunk of a
// block, and with it the owner, is found by masking the address. A block freed by its owner goes onto the owner's list; one freed
// elsewhere goes onto the owner's remote list, and home when the owner runs out. When a thread ends, its cache waits for the next
// thread that needs one: blocks in use stay valid and find their way home all the same.
//
// Bound: chunks are kept for reuse, so memory stays at the high-water mark of frames alive at the same time.
// Larger blocks than frame_lists::largest come from operator new.
//
// remote_      written by any thread (push), owner (take)   see mpsc_stack.hpp [M1]
// counters     written by the owner                         relaxed: statistics, read exactly only when nothing allocates

#include <peal/detail/frame_memory.hpp>

#include <cstdlib>
#include <mutex>
#include <new>

#include <peal/detail/atomic.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "../base/mpsc_stack.hpp"
#include "../base/sanitizer.hpp"

namespace peal::detail {
namespace {

struct cache : frame_lists {
    // owner only
    struct fresh_part {
        std::byte* begin = nullptr;  // never used part of the newest chunk
        std::byte* end = nullptr;
    };
    fresh_part fresh[class_count];
    frame_chunk* newest = nullptr;

    // shared
    rt::mpsc_stack<free_block, &free_block::next> remote;
    detail::atomic<std::int64_t> chunks{0};

    // guarded by registry::mutex
    cache* next_registered = nullptr;
    cache* next_idle = nullptr;

    void* allocate(std::size_t size_class) {
        count(1);
        if (void* reused = reuse(size_class)) return reused;
        for (free_block* returned = remote.take_all(); returned != nullptr;) {
            free_block* next = returned->next;
            keep(returned, chunk_of(returned).size_class);
            returned = next;
        }
        if (void* reused = reuse(size_class)) return reused;
        fresh_part& from = fresh[size_class];
        std::size_t bytes = bytes_of(size_class);
        if (from.begin == nullptr || from.begin + bytes > from.end) {
            void* memory = std::aligned_alloc(frame_chunk::bytes, frame_chunk::bytes);
            if (memory == nullptr) {
                count(-1);
                throw std::bad_alloc();
            }
            chunks.store(chunks.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // statistics; one writer
            newest = ::new (memory) frame_chunk{this, size_class, newest};
            from.begin = static_cast<std::byte*>(memory) + sizeof(frame_chunk);
            from.end = static_cast<std::byte*>(memory) + frame_chunk::bytes;
        }
        void* cut = from.begin;
        from.begin += bytes;
        return cut;
    }

    void release(void* memory, std::size_t size_class) noexcept {
        count(-1);
        frame_chunk& home = chunk_of(memory);
        if (home.owner == this) {
            keep(memory, size_class);
        } else {
            static_cast<cache*>(home.owner)->remote.push(*static_cast<free_block*>(memory));
        }
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
};

/// All caches there are. Never destroyed: frames are freed by destructors of statics, too.
struct registry {
    detail::thread_mutex mutex;
    cache* all = nullptr;
    cache* idle = nullptr;   // of threads that have ended
    cache* late = nullptr;   // for threads whose own cache is gone already; used under the mutex
    detail::atomic<std::int64_t> large_live{0};
    detail::atomic<std::int64_t> large_total{0};

    cache* make() {
        auto* made = new cache;
        made->next_registered = all;
        all = made;
        return made;
    }
};

registry& the_registry() noexcept {
    static auto* instance = new registry;
    return *instance;
}

constinit thread_local bool thread_is_ending = false;

struct give_back_at_thread_end {
    ~give_back_at_thread_end() {
        registry& caches = the_registry();
        std::lock_guard guard(caches.mutex);
        if (this_frames != nullptr) {
            auto* mine = static_cast<cache*>(this_frames);
            mine->next_idle = caches.idle;
            caches.idle = mine;
        }
        this_frames = nullptr;
        thread_is_ending = true;
    }
};

void acquire_cache() {
    registry& caches = the_registry();
    {
        std::lock_guard guard(caches.mutex);
        if (caches.idle != nullptr) {
            this_frames = caches.idle;
            caches.idle = caches.idle->next_idle;
        } else {
            this_frames = caches.make();
        }
    }
    static thread_local give_back_at_thread_end guard;
    static_cast<void>(guard);
}

/// A destructor of a thread-local object touches frames after this thread has given its cache back.
template <class Use>
auto with_late_cache(Use use) {
    registry& caches = the_registry();
    std::lock_guard guard(caches.mutex);
    if (caches.late == nullptr) caches.late = caches.make();
    return use(*caches.late);
}

}  // namespace

constinit thread_local frame_lists* this_frames = nullptr;

void* allocate_frame(std::size_t size_bytes) {
    if (size_bytes > frame_lists::largest) [[unlikely]] {
        void* memory = ::operator new(size_bytes);
        the_registry().large_live.fetch_add(1, std::memory_order_relaxed);   // statistics
        the_registry().large_total.fetch_add(1, std::memory_order_relaxed);  // statistics
        return memory;
    }
    std::size_t size_class = frame_lists::class_of(size_bytes);
    if (this_frames == nullptr) [[unlikely]] {
        if (thread_is_ending) {
            return with_late_cache([size_class](cache& late) { return late.allocate(size_class); });
        }
        acquire_cache();
    }
    return static_cast<cache*>(this_frames)->allocate(size_class);
}

void free_frame(void* frame, std::size_t size_bytes) noexcept {
    if (frame == nullptr) return;
    if (size_bytes > frame_lists::largest) [[unlikely]] {
        the_registry().large_live.fetch_sub(1, std::memory_order_relaxed);  // statistics
        ::operator delete(frame, size_bytes);
        return;
    }
    std::size_t size_class = frame_lists::class_of(size_bytes);
    if (this_frames == nullptr) [[unlikely]] {
        if (thread_is_ending) {
            with_late_cache([&](cache& late) { late.release(frame, size_class); });
            return;
        }
        acquire_cache();
    }
    static_cast<cache*>(this_frames)->release(frame, size_class);
}

std::int64_t live_frames() noexcept {
    registry& caches = the_registry();
    std::lock_guard guard(caches.mutex);
    std::int64_t sum = caches.large_live.load(std::memory_order_relaxed);  // statistics
    for (cache* each = caches.all; each != nullptr; each = each->next_registered) {
        sum += each->live.load(std::memory_order_relaxed);  // statistics
    }
    return sum;
}

std::uint64_t frame_system_allocations() noexcept {
    registry& caches = the_registry();
    std::lock_guard guard(caches.mutex);
    std::int64_t sum = caches.large_total.load(std::memory_order_relaxed);  // statistics
    for (cache* each = caches.all; each != nullptr; each = each->next_registered) {
        sum += each->chunks.load(std::memory_order_relaxed);  // statistics
    }
    return static_cast<std::uint64_t>(sum);
}

}  // namespace peal::detail
