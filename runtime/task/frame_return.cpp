// SPDX-License-Identifier: MIT

// Memory of frames that goes back to the system after a burst.
//
// The rule: a cache may have spare memory when it has more than a handful of chunks and either half of the frames that were alive when it was last
// searched are gone, or it has made chunks since then and the frames that are alive would not fill half of what all caches have. A worker
// that is about to sleep looks; when spare memory has been there for a second, it searches (sched/worker.cpp).
//
// The search takes free blocks from their lists and hangs each at its chunk; a chunk that has all of its blocks goes back. It may be told to stop
// after any block and goes on from there the next time: what hangs at a chunk is there for the owner, before it makes a new one.
//
// Whose lists: those of the caller's own cache, those of threads that have ended, and, of any other cache, what was freed for it by
// other threads (a thread that spawns a million tasks and then waits, a worker that sleeps). Nobody but their owner touches the free lists of a
// live thread: what a worker has freed itself stays while it sleeps.

#include <mutex>
#include <utility>

#include "../base/pages.hpp"
#include "frame_cache.hpp"

namespace peal::detail {

namespace {

constexpr std::int64_t always_kept = 16;            // chunks of a cache: 1 MiB
constexpr std::int64_t much = 64;                   // chunks of all caches, 4 MiB: workers do not look up for less
constexpr unsigned blocks_between_questions = is_explored ? 2 : 256;  // some microseconds: each block may be a cache miss
constexpr unsigned blocks_between_breaths = is_explored ? 2 : 16;     // the owner may wait for the lock

constexpr std::int64_t usual_frame = 256;           // bytes, guess: of larger ones a search may be in vain

bool has_spare(const frame_cache& cache, const frame_cache::last_search& last, std::int64_t live, std::int64_t held) noexcept {
    if (cache.held() <= always_kept) return false;
    if (cache.chunks.load(std::memory_order_relaxed) == last.chunks.load(std::memory_order_relaxed)) {  // statistics, as the next one
        return live < last.live.load(std::memory_order_relaxed) / 2;
    }
    return live * usual_frame < held * static_cast<std::int64_t>(frame_chunk::bytes) / 2;
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
                                      : cache_.put_back.exchange(nullptr, std::memory_order_relaxed);  // of a search before: under `returning`
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

bool holds_much_for_frames() noexcept {
    return the_frame_registry().held.load(std::memory_order_relaxed) > much;  // statistics
}

bool has_spare_frames() noexcept {
    if (!holds_much_for_frames()) return false;
    frame_registry& caches = the_frame_registry();
    auto* mine = static_cast<frame_cache*>(this_frames);
    std::int64_t live = caches.live();
    std::int64_t held = caches.held.load(std::memory_order_relaxed);  // statistics
    bool found = false;
    caches.for_each([&](frame_cache& each) { found = found || has_spare(each, &each == mine ? each.of_owner : each.of_others, live, held); });
    return found;
}

std::size_t return_spare_frames(bool (*may_go_on)(void* context), void* context) noexcept {
    frame_registry& caches = the_frame_registry();
    send_off_frames();
    if (!caches.returning.try_lock()) return 0;
    std::lock_guard one_at_a_time(caches.returning, std::adopt_lock);
    std::int64_t live = caches.live();
    std::int64_t held = caches.held.load(std::memory_order_relaxed);  // statistics
    std::size_t returned = 0;
    bool goes_on = true;
    auto* mine = static_cast<frame_cache*>(this_frames);
    caches.for_each([&](frame_cache& each) {
        bool is_ours = &each == mine;
        if (!goes_on || !has_spare(each, is_ours ? each.of_owner : each.of_others, live, held)) return;
        bool is_nobodys = !is_ours && caches.take_idle(each);  // a thread that begins meanwhile takes another one
        std::int64_t chunks = each.chunks.load(std::memory_order_relaxed);  // statistics, as the next ones
        search looks(each, may_go_on, context);
        goes_on = looks.run_through_remote() && (!(is_ours || is_nobodys) || looks.run_through_own());
        returned += looks.chunks_returned();
        auto is_done = [&](frame_cache::last_search& search) {
            search.live.store(live, std::memory_order_relaxed);
            search.chunks.store(chunks, std::memory_order_relaxed);
        };
        if (goes_on) is_done(each.of_others);
        if (goes_on && (is_ours || is_nobodys)) is_done(each.of_owner);
        if (is_nobodys) caches.give_idle(each);
    });
    caches.held.fetch_sub(static_cast<std::int64_t>(returned), std::memory_order_relaxed);  // statistics
    return returned * frame_chunk::bytes;
}

std::int64_t frame_bytes_held() noexcept {
    return the_frame_registry().held.load(std::memory_order_relaxed) * static_cast<std::int64_t>(frame_chunk::bytes);  // statistics
}

}  // namespace peal::detail
