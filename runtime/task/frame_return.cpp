// SPDX-License-Identifier: MIT

// Memory of frames that goes back to the system after a burst.
//
// The rule: a cache has spare memory when it has more than a handful of chunks, and less than half as many frames are alive as there were at
// the peak: when it last made a chunk, or when this was last done. A worker that is about to sleep looks; when spare memory has been
// there for a second, it searches (sched/worker.cpp).
//
// The search takes free blocks from their lists and hangs each at its chunk; a chunk that has all of its blocks goes back. It may be told to stop
// after any block and goes on from there the next time: what hangs at a chunk is there for the owner, before it makes a new one.
//
// Whose lists: those of the caller's own cache, those of threads that have ended, and, of other threads that are no workers, what was freed
// for them by others (a thread that spawns a million tasks and then waits). Nobody but their owner touches the free lists of a live thread.

#include <mutex>
#include <utility>

#include "../base/pages.hpp"
#include "frame_cache.hpp"

namespace peal::detail {

namespace {

constexpr std::int64_t always_kept = 16;            // chunks of a cache: 1 MiB
constexpr unsigned blocks_between_questions = 256;  // some microseconds: each block may be a cache miss
constexpr unsigned blocks_between_breaths = 16;     // the owner may wait for the lock

bool has_spare(const frame_cache& cache, std::int64_t live) noexcept {
    return cache.held() > always_kept && live < cache.peak.load(std::memory_order_relaxed) / 2;  // statistics
}

std::uint32_t blocks_in(std::size_t size_class) noexcept {
    return static_cast<std::uint32_t>((frame_chunk::bytes - sizeof(frame_chunk)) / frame_lists::bytes_of(size_class));
}

/// One search through one cache. Requires: the registry's lock `returning` is held.
class search {
  public:
    search(frame_cache& cache, bool (*may_go_on)(void*), void* context) noexcept
        : cache_(cache), may_go_on_(may_go_on), context_(context) {}

    /// What other threads have freed. False if it was told to stop.
    bool run_through_remote() noexcept {
        for (bool newer : {false, true}) {
            free_block* chain = newer ? cache_.remote.take_chain()
                                      : cache_.put_back.exchange(nullptr, std::memory_order_acquire);  // [A2]
            bool finished = sort(chain);
            if (chain != nullptr) cache_.put_back.store(chain, std::memory_order_release);  // [A2] empty, until we fill it
            if (!finished) return false;
        }
        return true;
    }
    /// What the owner has freed. Requires: called by the owner, or there is none.
    bool run_through_own() noexcept {
        for (free_block*& list : cache_.free) {
            if (!sort(list)) return false;
        }
        return true;
    }
    std::size_t chunks_returned() const noexcept { return returned_; }

  private:
    bool sort(free_block*& list) noexcept {
        while (list != nullptr) {
            frame_chunk* whole = nullptr;
            {
                std::lock_guard guard(cache_.chunks_lock);
                for (unsigned i = 0; i < blocks_between_breaths && list != nullptr && whole == nullptr; ++i) {
                    rt::unpoison(list, sizeof *list);  // and left so: who takes the block does the same with all of it
                    free_block* block = std::exchange(list, list->next);
                    frame_chunk& chunk = chunk_of(block);
                    cache_.hang(*block, chunk);
                    ++steps_;
                    if (chunk.sorted_count != blocks_in(chunk.size_class) || cache_.held() <= always_kept) continue;
                    cache_.remove_chunk(chunk);
                    whole = &chunk;
                }
            }
            if (whole != nullptr) {
                rt::free_pages(whole, frame_chunk::bytes);
                ++returned_;
            }
            if (steps_ >= blocks_between_questions || whole != nullptr) {
                steps_ = 0;
                if (!may_go_on_(context_)) return list == nullptr;
            }
        }
        return true;
    }

    frame_cache& cache_;
    bool (*const may_go_on_)(void*);
    void* const context_;
    std::size_t returned_ = 0;
    unsigned steps_ = 0;
};

}  // namespace

void look_after_own_frames() noexcept {
    auto* mine = static_cast<frame_cache*>(this_frames);
    if (mine != nullptr) mine->looks_after_itself.store(true, std::memory_order_relaxed);  // [A3]
}

bool has_spare_frames() noexcept {
    frame_registry& caches = the_frame_registry();
    auto* mine = static_cast<frame_cache*>(this_frames);
    if (caches.held.load(std::memory_order_relaxed) <= always_kept) return false;  // statistics
    std::int64_t live = caches.live();
    bool found = false;
    caches.for_each([&](frame_cache& each) {
        bool is_others = &each != mine && each.looks_after_itself.load(std::memory_order_relaxed);  // [A3]
        found = found || (!is_others && has_spare(each, live));
    });
    return found;
}

std::size_t return_spare_frames(bool (*may_go_on)(void* context), void* context) noexcept {
    frame_registry& caches = the_frame_registry();
    if (!caches.returning.try_lock()) return 0;
    std::lock_guard one_at_a_time(caches.returning, std::adopt_lock);
    std::int64_t live = caches.live();
    std::size_t returned = 0;
    bool goes_on = true;
    auto look_into = [&](frame_cache& cache, bool is_ours) {
        if (!goes_on || !has_spare(cache, live)) return;
        search looks(cache, may_go_on, context);
        goes_on = looks.run_through_remote() && (!is_ours || looks.run_through_own());
        returned += looks.chunks_returned();
        if (goes_on) cache.peak.store(live, std::memory_order_relaxed);  // statistics
    };

    auto* mine = static_cast<frame_cache*>(this_frames);
    if (mine != nullptr) look_into(*mine, true);

    // Those of threads that have ended are nobody's: a thread that begins meanwhile makes one of its own.
    frame_cache* left_behind;
    {
        std::lock_guard guard(caches.mutex);
        left_behind = std::exchange(caches.idle, nullptr);
    }
    frame_cache* last = nullptr;
    for (frame_cache* each = left_behind; each != nullptr; each = each->next_idle) {
        look_into(*each, true);
        last = each;
    }
    if (last != nullptr) {
        std::lock_guard guard(caches.mutex);
        last->next_idle = caches.idle;
        caches.idle = left_behind;
    }

    caches.for_each([&](frame_cache& each) {
        if (&each != mine && !each.looks_after_itself.load(std::memory_order_relaxed)) look_into(each, false);  // [A3]
    });
    caches.held.fetch_sub(static_cast<std::int64_t>(returned), std::memory_order_relaxed);  // statistics
    return returned * frame_chunk::bytes;
}

std::int64_t frame_bytes_held() noexcept {
    return the_frame_registry().held.load(std::memory_order_relaxed) * static_cast<std::int64_t>(frame_chunk::bytes);  // statistics
}

}  // namespace peal::detail
