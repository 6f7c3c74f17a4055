// SPDX-License-Identifier: MIT

// Frames from per-thread free lists, one per size class.
//
// A cache belongs to one thread at a time. It cuts blocks from chunks of 64 KiB, aligned to their size, so that the chunk of a
// block, and with it the owner, is found by masking the address. A block freed by its owner goes onto the owner's list; one freed
// elsewhere goes onto the owner's remote list, with some others, and home when the owner runs out. When a thread ends, its cache waits for the next
// thread that needs one: blocks in use stay valid and find their way home all the same.
//
// Bound: chunks are kept for reuse, until an idle worker gives back what a burst has left (frame_return.cpp).
// Larger blocks than frame_lists::largest come from operator new.
//
// all           written under the registry's mutex            [A1] release store: who walks the list sees each cache whole
// remote        written by any thread (push); taken by the    see mpsc_stack.hpp [M1]
//               owner, or by who gives memory back
// put_back      written by who gives memory back, and taken   [A2] release store / acquire exchange: what was taken from the remote list and
//               by the owner                                       not looked at any more, with what its former users wrote there
// has_sorted    written under chunks_lock                    [A4] relaxed: the owner looks before it makes a chunk, under the lock
// counters      chunks, live: the owner. returned, searches:  relaxed: statistics, read exactly only when nothing allocates
//               who gives back. held: both

#include <algorithm>
#include <iterator>
#include <mutex>
#include <new>
#include <utility>

#include "../base/memory_faults.hpp"
#include "../base/pages.hpp"
#include "frame_cache.hpp"

namespace peal::detail {

void* frame_cache::allocate(std::size_t size_class) {
    count(1);
    if (void* reused = reuse(size_class)) return reused;
    keep_all(remote.take_all());
    if (put_back.load(std::memory_order_relaxed) != nullptr) keep_all(put_back.exchange(nullptr, std::memory_order_acquire));  // [A2]
    if (void* reused = reuse(size_class)) return reused;
    if (has_sorted.load(std::memory_order_relaxed)) {  // [A4]
        if (void* reused = take_sorted(size_class)) return reused;
    }
    fresh_part& from = fresh[size_class];
    std::size_t bytes = bytes_of(size_class);
    if (from.begin == nullptr || from.begin + bytes > from.end) make_chunk(size_class);
    void* cut = from.begin;
    from.begin += bytes;
    return cut;
}

void frame_cache::keep_all(free_block* chain) noexcept {
    while (chain != nullptr) {
        free_block* next = chain->next;
        keep(chain, chunk_of(chain).size_class);
        chain = next;
    }
}

/// All that hang at one chunk.
void* frame_cache::take_sorted(std::size_t size_class) noexcept {
    {
        std::lock_guard guard(chunks_lock);
        frame_chunk* chunk = with_sorted[size_class];
        if (chunk == nullptr) {
            bool any = std::any_of(std::begin(with_sorted), std::end(with_sorted), [](frame_chunk* each) { return each != nullptr; });
            has_sorted.store(any, std::memory_order_relaxed);  // [A4]
            return nullptr;
        }
        free[size_class] = std::exchange(chunk->sorted, nullptr);
        chunk->sorted_count = 0;
        unlist_sorted(*chunk);
    }
    return reuse(size_class);
}

void frame_cache::hang(free_block& block, frame_chunk& chunk) noexcept {
    if (chunk.sorted == nullptr) {
        frame_chunk*& first = with_sorted[chunk.size_class];
        chunk.next_sorted = first;
        chunk.previous_sorted = nullptr;
        if (first != nullptr) first->previous_sorted = &chunk;
        first = &chunk;
        has_sorted.store(true, std::memory_order_relaxed);  // [A4]
    }
    block.next = std::exchange(chunk.sorted, &block);
    ++chunk.sorted_count;
}

void frame_cache::unlist_sorted(frame_chunk& chunk) noexcept {
    (chunk.previous_sorted == nullptr ? with_sorted[chunk.size_class] : chunk.previous_sorted->next_sorted) = chunk.next_sorted;
    if (chunk.next_sorted != nullptr) chunk.next_sorted->previous_sorted = chunk.previous_sorted;
}

void frame_cache::remove_chunk(frame_chunk& chunk) noexcept {
    unlist_sorted(chunk);
    (chunk.newer == nullptr ? newest : chunk.newer->older) = chunk.older;
    if (chunk.older != nullptr) chunk.older->newer = chunk.newer;
    returned.store(returned.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // statistics; written under the lock
}

void frame_cache::make_chunk(std::size_t size_class) {
    void* memory = rt::allocate_pages(frame_chunk::bytes);
    if (memory == nullptr) {
        count(-1);
        throw std::bad_alloc();
    }
    auto* made = ::new (memory) frame_chunk{this, static_cast<std::uint32_t>(size_class)};
    {
        std::lock_guard guard(chunks_lock);
        made->older = newest;
        if (newest != nullptr) newest->newer = made;
        newest = made;
    }
    fresh[size_class].begin = static_cast<std::byte*>(memory) + sizeof(frame_chunk);
    fresh[size_class].end = static_cast<std::byte*>(memory) + frame_chunk::bytes;
    the_frame_registry().held.fetch_add(1, std::memory_order_relaxed);  // statistics
    chunks.store(chunks.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);  // statistics; one writer
}

void frame_cache::release(void* memory, std::size_t size_class) noexcept {
    count(-1);
    frame_chunk& home = chunk_of(memory);
    if (home.owner == this) {
        keep(memory, size_class);
    } else {
        auto* to = static_cast<frame_cache*>(home.owner);
        auto* block = static_cast<free_block*>(memory);
        if (leaving.to != to) {
            send_off();
            leaving = {to, nullptr, block, 0};
        }
        block->next = std::exchange(leaving.newest, block);
        if (++leaving.blocks == parcel::most) send_off();
    }
}

void frame_cache::send_off() noexcept {
    if (leaving.to == nullptr) return;
    leaving.to->remote.push_chain(*leaving.newest, *leaving.oldest);
    leaving = {};
}

bool frame_registry::take_idle(frame_cache& cache) noexcept {
    std::lock_guard guard(mutex);
    for (frame_cache** link = &idle; *link != nullptr; link = &(*link)->next_idle) {
        if (*link != &cache) continue;
        *link = cache.next_idle;
        return true;
    }
    return false;
}

void frame_registry::give_idle(frame_cache& cache) noexcept {
    std::lock_guard guard(mutex);
    cache.next_idle = idle;
    idle = &cache;
}

frame_registry& the_frame_registry() noexcept {
    // Without memory of its own: whoever asks first may be one who only frees, and must not fail.
    alignas(frame_registry) static std::byte memory[sizeof(frame_registry)];
    static frame_registry& made = *::new (memory) frame_registry;
    return made;
}

namespace {
constinit thread_local bool thread_is_ending = false;

struct give_back_at_thread_end {
    ~give_back_at_thread_end() {
        frame_registry& caches = the_frame_registry();
        std::lock_guard guard(caches.mutex);
        if (this_frames != nullptr) {
            auto* mine = static_cast<frame_cache*>(this_frames);
            mine->send_off();
            mine->of_others.chunks.store(-1, std::memory_order_relaxed);  // statistics: others may search its free lists now
            mine->next_idle = caches.idle;
            caches.idle = mine;
        }
        this_frames = nullptr;
        thread_is_ending = true;
    }
};

void acquire_cache() {
    frame_registry& caches = the_frame_registry();
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

/// A destructor of a thread-local object touches frames after this thread has given its cache back; or a test wants to be asked for each frame.
bool has_no_cache() noexcept { return thread_is_ending || rt::the_memory_fault != nullptr; }

template <class Use>
auto with_late_cache(Use use) {
    frame_registry& caches = the_frame_registry();
    std::lock_guard guard(caches.mutex);
    if (caches.late == nullptr) caches.late = caches.make();
    return use(*caches.late);
}

}  // namespace

constinit thread_local frame_lists* this_frames = nullptr;

void* allocate_frame(std::size_t size_bytes) {
    if (size_bytes > frame_lists::largest) [[unlikely]] {
        void* memory = ::operator new(size_bytes);
        the_frame_registry().large_live.fetch_add(1, std::memory_order_relaxed);   // statistics
        the_frame_registry().large_total.fetch_add(1, std::memory_order_relaxed);  // statistics
        return memory;
    }
    if (rt::memory_is_refused()) [[unlikely]] throw std::bad_alloc();
    std::size_t size_class = frame_lists::class_of(size_bytes);
    if (this_frames == nullptr) [[unlikely]] {
        if (has_no_cache()) {
            return with_late_cache([size_class](frame_cache& late) { return late.allocate(size_class); });
        }
        acquire_cache();
    }
    return static_cast<frame_cache*>(this_frames)->allocate(size_class);
}

void free_frame(void* frame, std::size_t size_bytes) noexcept {
    if (frame == nullptr) return;
    if (size_bytes > frame_lists::largest) [[unlikely]] {
        the_frame_registry().large_live.fetch_sub(1, std::memory_order_relaxed);  // statistics
        ::operator delete(frame, size_bytes);
        return;
    }
    std::size_t size_class = frame_lists::class_of(size_bytes);
    if (this_frames == nullptr) [[unlikely]] {
        if (has_no_cache()) {
            with_late_cache([&](frame_cache& late) {
                late.release(frame, size_class);
                late.send_off();
            });
            return;
        }
        try {
            acquire_cache();
        } catch (const std::bad_alloc&) {
            // No memory for a cache of this thread: the frame goes home at once.
            auto* block = static_cast<free_block*>(frame);
            static_cast<frame_cache*>(chunk_of(frame).owner)->remote.push_chain(*block, *block);
            the_frame_registry().large_live.fetch_sub(1, std::memory_order_relaxed);  // statistics: only the sum of all counts means something
            return;
        }
    }
    static_cast<frame_cache*>(this_frames)->release(frame, size_class);
}

void send_off_frames() noexcept {
    if (this_frames != nullptr) static_cast<frame_cache*>(this_frames)->send_off();
}

std::int64_t live_frames() noexcept {
    frame_registry& caches = the_frame_registry();
    return caches.live() + caches.large_live.load(std::memory_order_relaxed);  // statistics
}

std::uint64_t frame_system_allocations() noexcept {
    frame_registry& caches = the_frame_registry();
    std::int64_t sum = caches.large_total.load(std::memory_order_relaxed);                             // statistics
    caches.for_each([&sum](frame_cache& each) { sum += each.chunks.load(std::memory_order_relaxed); });  // statistics
    return static_cast<std::uint64_t>(sum);
}

}  // namespace peal::detail
