// SPDX-License-Identifier: MIT

// Models of frame memory: blocks that are freed by another thread than the one that allocated them, and the word of uses of a descriptor.
// The sources are included, because what is explored has no name outside of them.

#include <malloc.h>

#include <task/frame_memory.cpp>

#include "runner.hpp"

namespace {

using model::settings;
using peal::detail::cache;

constexpr std::size_t the_class = 1;  // 64 bytes

// Chunks of 64 KiB are made and freed in every execution: keep them from the kernel.
[[maybe_unused]] const bool chunks_stay = mallopt(M_MMAP_THRESHOLD, 1 << 28) == 1 && mallopt(M_TRIM_THRESHOLD, 1 << 28) == 1;

/// What a thread has written into a block must be over before the next owner writes.
void use(void* block, int value) {
    auto* first = static_cast<long*>(block) + 1;  // behind the link of the free list
    *first = value;
}

MODEL("frame memory: freed by two others while the owner allocates", settings().preempt(3).stale(2)) {
    cache own, second, third;
    void* a = own.allocate(the_class);
    void* b = own.allocate(the_class);
    use(a, 1);
    use(b, 2);
    void* again[2] = {};
    model::parallel(
        [&] {
            use(a, 3);
            second.release(a, the_class);
        },
        [&] {
            use(b, 4);
            third.release(b, the_class);
        },
        [&] {
            for (void*& each : again) {
                each = own.allocate(the_class);
                use(each, 5);
            }
        });
    model::check(again[0] != again[1], "two blocks");
    std::int64_t live = own.live.load(std::memory_order_relaxed) + second.live.load(std::memory_order_relaxed) + third.live.load(std::memory_order_relaxed);
    model::check(live == 2 + 2 - 2, "the sum over all caches");
    std::size_t free_blocks = 0;
    for (void* rest = own.allocate(the_class); free_blocks < 8; rest = own.allocate(the_class)) {
        ++free_blocks;
        model::check(rest != again[0] && rest != again[1], "nothing is handed out twice");
    }
    std::free(own.newest);
}

MODEL("frame memory: a block goes to and fro", settings().preempt(3).stale(2)) {
    cache own, other;
    void* block = own.allocate(the_class);
    use(block, 1);
    model::parallel(
        [&] {
            use(block, 2);
            other.release(block, the_class);
        },
        [&] {
            void* next = own.allocate(the_class);  // another one, or the same when it is back
            use(next, 3);
            own.release(next, the_class);
            next = own.allocate(the_class);
            use(next, 4);
        });
    std::free(own.newest);
}

}  // namespace
