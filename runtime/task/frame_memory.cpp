// SPDX-License-Identifier: MIT

// Frames from per-thread free lists, one per size class.
//
// A cache belongs to one thread at a time. It cuts blocks from chunks of 64 KiB, aligned to their size, so that the chunk of a
// block, and with it the owner, is found by masking the address. A block freed by its owner goes onto the owner's list; one freed
// elsewhere goes onto the owner's remote list, and home when the owner runs out. When a thread ends, its cache waits for the next
// thread that needs one: blocks in use stay valid and find their way home all the same.
//
// Bound: chunks are kept for reuse, so memory stays at the high-water mark of frames alive at the same time.
// Larger blocks than `largest_block` come from operator new.
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

constexpr std::size_t chunk_bytes = 64 * 1024;
constexpr std::size_t small_step = 32;       // classes 32, 64 .. 512
constexpr std::size_t small_largest = 512;
constexpr std::size_t large_step = 128;      // classes 640, 768 .. 2048
constexpr std::size_t largest_block = 2048;
constexpr std::size_t small_classes = small_largest / small_step;
constexpr std::size_t class_count = small_classes + (largest_block - small_largest) / large_step;

std::size_t class_of(std::size_t bytes) noexcept {
    return bytes <= small_largest ? (bytes + small_step - 1) / small_step - 1
                                  : small_classes + (bytes - small_largest + large_step - 1) / large_step - 1;
}
std::size_t bytes_of(std::size_t size_class) noexcept {
    return size_class < small_classes ? (size_class + 1) * small_step
                                      : small_largest + (size_class - small_classes + 1) * large_step;
}

struct block {
    block* next;
};

struct cache;

struct alignas(64) chunk {
    cache* owner;
    std::size_t size_class;
    chunk* older;  // of the same owner: leak checkers find all chunks by this chain, not through free blocks, which are poisoned
};

chunk& chunk_of(void* memory) noexcept {
    return *reinterpret_cast<chunk*>(reinterpret_cast<std::uintptr_t>(memory) & ~(std::uintptr_t{chunk_bytes} - 1));
}

void add(detail::atomic<std::int64_t>& counter, std::int64_t amount) noexcept {
    counter.store(counter.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);  // one writer
}

struct cache {
    // owner only
    struct list {
        block* free = nullptr;
        std::byte* fresh = nullptr;  // never used part of the newest chunk
        std::byte* fresh_end = nullptr;
    };
    list lists[class_count];
    chunk* newest = nullptr;

    // shared
    rt::mpsc_stack<block, &block::next> remote;
    detail::atomic<std::int64_t> live{0};     // allocated here minus freed here: only the sum over all caches means something
    detail::atomic<std::int64_t> chunks{0};

    // guarded by registry::mutex
    cache* next_registered = nullptr;
    cache* next_idle = nullptr;

    void* allocate(std::size_t size_class) {
        list& from = lists[size_class];
        add(live, 1);
        if (block* reused = from.free) {
            rt::unpoison(reused, bytes_of(size_class));
            from.free = reused->next;
            return reused;
        }
        return allocate_slow(size_class);
    }

    void* allocate_slow(std::size_t size_class) {
        for (block* returned = remote.take_all(); returned != nullptr;) {
            block* next = returned->next;
            keep(returned, chunk_of(returned).size_class);
            returned = next;
        }
        list& from = lists[size_class];
        std::size_t bytes = bytes_of(size_class);
        if (block* reused = from.free) {
            rt::unpoison(reused, bytes);
            from.free = reused->next;
            return reused;
        }
        if (from.fresh == nullptr || from.fresh + bytes > from.fresh_end) {
            void* memory = std::aligned_alloc(chunk_bytes, chunk_bytes);
            if (memory == nullptr) {
                add(live, -1);
                throw std::bad_alloc();
            }
            add(chunks, 1);
            newest = ::new (memory) chunk{this, size_class, newest};
            from.fresh = static_cast<std::byte*>(memory) + sizeof(chunk);
            from.fresh_end = static_cast<std::byte*>(memory) + chunk_bytes;
        }
        void* cut = from.fresh;
        from.fresh += bytes;
        return cut;
    }

    void keep(block* freed, std::size_t size_class) noexcept {
        freed->next = lists[size_class].free;
        lists[size_class].free = freed;
        rt::poison(freed, bytes_of(size_class));
    }

    void free(void* memory, std::size_t size_class) noexcept {
        add(live, -1);
        auto* freed = static_cast<block*>(memory);
        chunk& home = chunk_of(memory);
        if (home.owner == this) {
            keep(freed, size_class);
        } else {
            home.owner->remote.push(*freed);
        }
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

constinit thread_local cache* this_cache __attribute__((tls_model("initial-exec"))) = nullptr;
constinit thread_local bool thread_is_ending = false;

struct give_back_at_thread_end {
    ~give_back_at_thread_end() {
        registry& caches = the_registry();
        std::lock_guard guard(caches.mutex);
        if (this_cache != nullptr) {
            this_cache->next_idle = caches.idle;
            caches.idle = this_cache;
        }
        this_cache = nullptr;
        thread_is_ending = true;
    }
};

void acquire_cache() {
    registry& caches = the_registry();
    {
        std::lock_guard guard(caches.mutex);
        if (caches.idle != nullptr) {
            this_cache = caches.idle;
            caches.idle = this_cache->next_idle;
        } else {
            this_cache = caches.make();
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

void* allocate_frame(std::size_t size_bytes) {
    if (size_bytes > largest_block) [[unlikely]] {
        void* memory = ::operator new(size_bytes);
        the_registry().large_live.fetch_add(1, std::memory_order_relaxed);   // statistics
        the_registry().large_total.fetch_add(1, std::memory_order_relaxed);  // statistics
        return memory;
    }
    std::size_t size_class = class_of(size_bytes);
    if (this_cache == nullptr) [[unlikely]] {
        if (thread_is_ending) {
            return with_late_cache([size_class](cache& late) { return late.allocate(size_class); });
        }
        acquire_cache();
    }
    return this_cache->allocate(size_class);
}

void free_frame(void* frame, std::size_t size_bytes) noexcept {
    if (frame == nullptr) return;
    if (size_bytes > largest_block) [[unlikely]] {
        the_registry().large_live.fetch_sub(1, std::memory_order_relaxed);  // statistics
        ::operator delete(frame, size_bytes);
        return;
    }
    std::size_t size_class = class_of(size_bytes);
    if (this_cache == nullptr) [[unlikely]] {
        if (thread_is_ending) {
            with_late_cache([&](cache& late) { late.free(frame, size_class); });
            return;
        }
        acquire_cache();
    }
    this_cache->free(frame, size_class);
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
