// SPDX-License-Identifier: MIT

// Models of frame memory: blocks that are freed by another thread than the one that allocated them, and the word of uses of a descriptor.
// The sources are included, because what is explored has no name outside of them.

#include <malloc.h>

#include <task/frame_memory.cpp>
#include <task/frame_return.cpp>

#include "heap.hpp"
#include "runner.hpp"

namespace peal::rt {

void* allocate_pages(std::size_t bytes) noexcept { return model::heap::allocate(bytes, bytes); }
void free_pages(void* pages, std::size_t) noexcept { model::heap::release(pages); }

}  // namespace peal::rt

namespace {

using model::settings;
using cache = peal::detail::frame_cache;

constexpr std::size_t the_class = 1;  // 64 bytes

// Chunks of 64 KiB are made and freed in every execution: keep them from the kernel.
[[maybe_unused]] const bool chunks_stay = mallopt(M_MMAP_THRESHOLD, 1 << 28) == 1 && mallopt(M_TRIM_THRESHOLD, 1 << 28) == 1;

/// Made by the first execution that makes a chunk, otherwise, and kept.
[[maybe_unused]] const bool registry_is_made = (peal::detail::the_frame_registry(), true);

void end(cache& ended) {
    for (peal::detail::frame_chunk* each = ended.newest; each != nullptr;) {
        peal::detail::frame_chunk* older = each->older;
        peal::rt::free_pages(each, peal::detail::frame_chunk::bytes);
        each = older;
    }
}

/// What a thread has written into a block must be over before the next owner writes.
void use(void* block, int value) {
    auto* first = static_cast<long*>(block) + 1;  // behind the link of the free list
    *first = value;
}

MODEL("frame memory: freed by two others while the owner allocates", settings().preempt(3).stale(2).at_most(24'000).at_random(12'000)) {
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
            second.send_off();
        },
        [&] {
            use(b, 4);
            third.release(b, the_class);
            third.send_off();
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
    end(own);
}

MODEL("frame memory: a block goes to and fro", settings().preempt(3).stale(2)) {
    cache own, other;
    void* block = own.allocate(the_class);
    use(block, 1);
    model::parallel(
        [&] {
            use(block, 2);
            other.release(block, the_class);
            other.send_off();
        },
        [&] {
            void* next = own.allocate(the_class);  // another one, or the same when it is back
            use(next, 3);
            own.release(next, the_class);
            next = own.allocate(the_class);
            use(next, 4);
        });
    end(own);
}

MODEL("frame memory: blocks of two owners leave one after the other", settings().preempt(2).stale(2)) {
    cache own, second, other;
    void* blocks[] = {own.allocate(the_class), own.allocate(the_class), second.allocate(the_class)};
    for (void* each : blocks) use(each, 1);
    void* again = nullptr;
    model::parallel(
        [&] {
            other.release(blocks[0], the_class);
            other.release(blocks[1], the_class);
            other.release(blocks[2], the_class);  // the two leave
            other.send_off();
        },
        [&] { use(again = own.allocate(the_class), 2); });
    int found = again == blocks[0] || again == blocks[1] ? 1 : 0;
    for (int i = 0; i < 3; ++i) {
        void* next = own.allocate(the_class);
        model::check(next != again && next != blocks[2], "its own blocks, each once");
        found += next == blocks[0] || next == blocks[1];
    }
    model::check(found == 2, "both have come home");
    model::check(second.allocate(the_class) == blocks[2], "and so has the other one's");
    end(own);
    end(second);
}

// ---- memory that goes back to the system -------------------------------------------------------------------------------------------

/// Small chunks would need another layout; of the largest blocks a chunk holds 31.
constexpr std::size_t large_class = peal::detail::frame_lists::class_count - 1;
constexpr int blocks_of_a_chunk = static_cast<int>((peal::detail::frame_chunk::bytes - sizeof(peal::detail::frame_chunk)) / 2048);

/// What was allocated is there once.
struct blocks {
    cache own, other;
    void* all[blocks_of_a_chunk] = {};

    blocks() {
        for (void*& each : all) use(each = own.allocate(large_class), 1);
    }
    /// By a thread that is not the owner.
    void release(int first, int last) {
        for (int i = first; i < last; ++i) other.release(all[i], large_class);
        other.send_off();
    }
    /// False: it was told to stop at the first question.
    bool go_on(bool until_the_end = true) {
        peal::detail::search looks(own, [](void* answer) { return *static_cast<bool*>(answer); }, &until_the_end);
        return looks.run_through_remote();
    }
    void check_each_once(void* first, int expected_of_old_chunk) {
        int found = 0;
        for (int i = 0; i < blocks_of_a_chunk; ++i) {
            void* next = own.allocate(large_class);
            use(next, 6);
            model::check(next != first, "nothing is handed out twice");
            for (void* each : all) found += next == each;
        }
        for (void* each : all) found += first == each;
        model::check(found == expected_of_old_chunk, "nothing is lost");
    }
};

// Of a cache with one chunk nothing goes back: that there is another one is only said.
void pretend_many(cache& holder) { holder.chunks.store(100, std::memory_order_relaxed); }

MODEL("frame memory: given back while the owner allocates", settings().preempt(2).stale(1).at_most(12'000).at_random(6'000)) {
    blocks b;
    pretend_many(b.own);
    b.release(0, blocks_of_a_chunk);
    void* taken = nullptr;
    model::parallel([&] { use(taken = b.own.allocate(large_class), 5); }, [&] { static_cast<void>(b.go_on()); });
    bool is_old = false;
    for (void* each : b.all) is_old = is_old || each == taken;
    bool was_returned = b.own.returned.load(std::memory_order_relaxed) == 1;
    model::check(!was_returned || !is_old, "no block of a chunk that went back");
    if (!was_returned) b.check_each_once(taken, blocks_of_a_chunk);
    end(b.own);
}

MODEL("frame memory: a search that is told to stop while the owner allocates", settings().preempt(2).stale(1).at_most(12'000).at_random(6'000)) {
    blocks b;
    b.release(0, blocks_of_a_chunk - 4);
    void* taken = nullptr;
    model::parallel([&] { use(taken = b.own.allocate(large_class), 5); },
                    [&] {
                        b.release(blocks_of_a_chunk - 4, blocks_of_a_chunk);
                        static_cast<void>(b.go_on(false));
                    });
    b.check_each_once(taken, blocks_of_a_chunk);
    end(b.own);
}

MODEL("frame memory: sorted while the owner allocates twice", settings().preempt(2).stale(1).at_most(12'000).at_random(6'000)) {
    blocks b;
    b.release(0, blocks_of_a_chunk);
    void* taken = nullptr;
    model::parallel(
        [&] {
            use(taken = b.own.allocate(large_class), 5);
            b.own.release(taken, large_class);
            use(taken = b.own.allocate(large_class), 5);
        },
        [&] { static_cast<void>(b.go_on()); });
    b.check_each_once(taken, blocks_of_a_chunk);
    end(b.own);
}

MODEL("frame memory: given back while others still free", settings().preempt(2).stale(1).at_most(12'000).at_random(6'000)) {
    blocks b;
    pretend_many(b.own);
    b.release(0, blocks_of_a_chunk - 2);
    model::parallel([&] { b.release(blocks_of_a_chunk - 2, blocks_of_a_chunk); }, [&] { static_cast<void>(b.go_on()); });
    bool was_returned = b.own.returned.load(std::memory_order_relaxed) == 1;
    void* first = b.own.allocate(large_class);
    if (!was_returned) b.check_each_once(first, blocks_of_a_chunk);
    end(b.own);
}

MODEL("frame memory: what another has not got to the end of", settings().preempt(2).stale(1).at_most(12'000).at_random(6'000)) {
    // Two chains that were taken from the remote list, one after the other.
    blocks b;
    b.release(0, 3);
    b.own.put_back.store(b.own.remote.take_chain(), std::memory_order_relaxed);
    b.release(3, blocks_of_a_chunk);
    void* taken = nullptr;
    model::parallel([&] { use(taken = b.own.allocate(large_class), 5); }, [&] { static_cast<void>(b.go_on()); });
    b.check_each_once(taken, blocks_of_a_chunk);
    end(b.own);
}

}  // namespace
