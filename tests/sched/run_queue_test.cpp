// SPDX-License-Identifier: MIT

#include "sched/run_queue.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using peal::rt::run_queue;
using namespace std::chrono_literals;

/// Says who pushed it, and as which.
struct numbered final : peal::detail::work_item {
    std::uint32_t number = 0;
    std::atomic<std::uint32_t> taken{0};
};

std::uint32_t number_of(peal::detail::work_item* item) { return static_cast<numbered*>(item)->number; }

std::vector<numbered> items_of(std::size_t count) {
    std::vector<numbered> items(count);
    for (std::size_t i = 0; i < count; ++i) items[i].number = static_cast<std::uint32_t>(i);
    return items;
}

// The positions of a queue run up to 2^32 and begin again; pushing so often would take a minute. An explicit instantiation may name
// private members: so a queue can be made that stands just before that, and one from which a thief has claimed but not copied yet.
template <auto Head, auto Tail, auto Slots>
struct opens_run_queue {
    friend std::atomic<std::uint64_t>& head_of(run_queue& queue) { return queue.*Head; }
    friend std::atomic<std::uint32_t>& tail_of(run_queue& queue) { return queue.*Tail; }
    friend std::array<std::atomic<peal::detail::work_item*>, run_queue::capacity>& slots_of(run_queue& queue) { return queue.*Slots; }
};
std::atomic<std::uint64_t>& head_of(run_queue& queue);
std::atomic<std::uint32_t>& tail_of(run_queue& queue);
std::array<std::atomic<peal::detail::work_item*>, run_queue::capacity>& slots_of(run_queue& queue);
template struct opens_run_queue<&run_queue::head_, &run_queue::tail_, &run_queue::slots_>;

void set_positions(run_queue& queue, std::uint32_t position) {
    head_of(queue).store(std::uint64_t{position} << 32 | position);
    tail_of(queue).store(position);
}
/// The first step of a thief.
void claim(run_queue& queue, std::uint32_t count) {
    std::uint64_t head = head_of(queue).load();
    head_of(queue).store(head >> 32 << 32 | static_cast<std::uint32_t>(head + count));
}
/// Its last.
void give_free(run_queue& queue) {
    std::uint64_t real = static_cast<std::uint32_t>(head_of(queue).load());
    head_of(queue).store(real << 32 | real);
}
peal::detail::work_item* slot_of(run_queue& queue, std::uint32_t position) {
    return slots_of(queue)[position % run_queue::capacity].load();
}

constexpr std::uint32_t before_wrap = ~std::uint32_t{0} - 100;

/// Where the positions of a tested queue begin.
const std::vector<std::uint32_t> beginnings{0, 200, before_wrap};

std::unique_ptr<run_queue> queue_at(std::uint32_t position) {
    auto queue = std::make_unique<run_queue>();
    set_positions(*queue, position);
    return queue;
}

}  // namespace

TEST_CASE("run_queue: its owner takes several at once, the oldest first, and leaves a thief what it has claimed") {
    for (std::uint32_t position : beginnings) {
        auto items = items_of(run_queue::capacity);
        auto queue = queue_at(position);
        peal::detail::work_list taken;
        queue->pop(taken, 5);
        CHECK(taken.empty());

        for (auto& item : items) CHECK(queue->try_push(item));
        queue->pop(taken, 0);
        CHECK(taken.empty());
        claim(*queue, 3);
        queue->pop(taken, 4);
        CHECK(taken.size() == 4);
        for (std::uint32_t number = 3; number < 7; ++number) CHECK(number_of(&taken.pop_front()) == number);
        CHECK(number_of(slot_of(*queue, position)) == 0);
        CHECK_FALSE(queue->try_push(items[0]));  // the thief reads there
        give_free(*queue);
        CHECK(queue->try_push(items[0]));
        CHECK(queue->size() == run_queue::capacity - 6);

        queue->pop(taken, ~std::uint32_t{0});
        CHECK(taken.size() == run_queue::capacity - 6);
        CHECK(queue->size() == 0);
        CHECK(number_of(&taken.pop_front()) == 7);
        queue->pop(taken, 1);
        CHECK(taken.size() == run_queue::capacity - 7);
    }
}

TEST_CASE("run_queue: first in, first out for its owner, over the end of the ring and of the positions") {
    for (std::uint32_t position : beginnings) {
        auto queue = queue_at(position);
        auto items = items_of(1000);
        CHECK(queue->try_pop() == nullptr);
        std::uint32_t next = 0;
        for (std::uint32_t i = 0; i < items.size(); ++i) {
            REQUIRE(queue->try_push(items[i]));
            if (i % 3 != 0) {  // it grows slowly, up to a third of what was pushed
                REQUIRE(number_of(queue->try_pop()) == next);
                ++next;
            }
            REQUIRE(queue->size() == i + 1 - next);
            if (queue->size() > 200) {
                while (queue->size() != 0) {
                    REQUIRE(number_of(queue->try_pop()) == next);
                    ++next;
                }
            }
        }
        while (auto* item = queue->try_pop()) REQUIRE(number_of(item) == next++);
        CHECK(next == items.size());
    }
}

TEST_CASE("run_queue: holds 256 items, refuses the next, and takes it when one has left") {
    for (std::uint32_t position : beginnings) {
        auto queue = queue_at(position);
        auto items = items_of(run_queue::capacity + 1);
        for (std::uint32_t i = 0; i < run_queue::capacity; ++i) REQUIRE(queue->try_push(items[i]));
        CHECK(queue->size() == run_queue::capacity);
        CHECK_FALSE(queue->try_push(items.back()));
        CHECK(queue->size() == run_queue::capacity);
        CHECK(number_of(queue->try_pop()) == 0);
        CHECK(queue->try_push(items.back()));
        for (std::uint32_t i = 1; i <= run_queue::capacity; ++i) REQUIRE(number_of(queue->try_pop()) == i);
        CHECK(queue->try_pop() == nullptr);
    }
}

TEST_CASE("run_queue: a thief takes the older half, rounded up, and keeps all but one for later") {
    for (std::uint32_t position : beginnings) {
        for (std::uint32_t thief_position : beginnings) {
            for (std::uint32_t count : {0u, 1u, 2u, 3u, 4u, 7u, 100u, 255u, 256u}) {
                auto queue = queue_at(position);
                auto into = queue_at(thief_position);
                auto items = items_of(count);
                for (auto& item : items) REQUIRE(queue->try_push(item));
                std::uint32_t half = (count + 1) / 2;
                auto* first = queue->steal_half(*into);
                if (count == 0) {
                    CHECK(first == nullptr);
                    CHECK(into->size() == 0);
                    continue;
                }
                REQUIRE(first != nullptr);
                REQUIRE(queue->size() == count - half);
                REQUIRE(into->size() == half - 1);
                std::vector<std::uint32_t> stolen{number_of(first)};
                while (auto* item = into->try_pop()) stolen.push_back(number_of(item));
                std::sort(stolen.begin(), stolen.end());
                for (std::uint32_t i = 0; i < half; ++i) REQUIRE(stolen[i] == i);  // the older half, all of it
                for (std::uint32_t i = half; i < count; ++i) REQUIRE(number_of(queue->try_pop()) == i);
                REQUIRE(queue->try_pop() == nullptr);
                numbered another;
                REQUIRE(queue->try_push(another));  // the slots are free again
            }
        }
    }
}

TEST_CASE("run_queue: a worker that steals leaves alone what another thief still reads in its own queue") {
    constexpr std::uint32_t full = run_queue::capacity;
    for (std::uint32_t position : beginnings) {
        for (std::uint32_t count : {2u, 100u, 127u, 128u, 129u, 130u, 200u, 255u, 256u}) {
            auto own = queue_at(position);
            auto items = items_of(count);
            for (auto& item : items) REQUIRE(own->try_push(item));
            std::uint32_t claimed = count - count / 2;
            claim(*own, claimed);  // here the thief was interrupted; the owner goes on
            for (std::uint32_t i = claimed; i < count; ++i) REQUIRE(number_of(own->try_pop()) == i);
            REQUIRE(own->try_pop() == nullptr);
            REQUIRE(own->size() == 0);

            auto victim = queue_at(200);
            auto others = items_of(full);
            for (auto& item : others) REQUIRE(victim->try_push(item));
            auto* first = victim->steal_half(*own);
            for (std::uint32_t i = 0; i < claimed; ++i) REQUIRE(slot_of(*own, position + i) == &items[i]);
            if (first == nullptr) {
                REQUIRE(count > full / 2);  // else there was room
                REQUIRE(victim->size() == full);
            }
            give_free(*own);
            if (first == nullptr) first = victim->steal_half(*own);
            REQUIRE(first == &others[full / 2 - 1]);
            for (std::uint32_t i = 0; i + 1 < full / 2; ++i) REQUIRE(own->try_pop() == &others[i]);
            REQUIRE(own->try_pop() == nullptr);
            REQUIRE(victim->size() == full / 2);
        }
    }
}

// ---- threads ----------------------------------------------------------------------------------------------------------------------

namespace {

/// What one thread took, and what was wrong with that.
struct haul {
    std::uint64_t count = 0;
    std::uint64_t repeated = 0;
    std::uint64_t disordered = 0;
};

void take(numbered& item, haul& mine) {
    ++mine.count;
    if (item.taken.fetch_add(1, std::memory_order_relaxed) != 0) ++mine.repeated;
}

/// One steal: what it gives is older than everything that this thief steals later, and its order is kept.
bool steal_once(run_queue& from, run_queue& own, std::int64_t& newest, haul& mine) {
    auto* last = static_cast<numbered*>(from.steal_half(own));
    if (last == nullptr) return false;
    std::int64_t before = newest;
    while (auto* item = static_cast<numbered*>(own.try_pop())) {
        if (item->number <= before) ++mine.disordered;
        before = item->number;
        take(*item, mine);
    }
    if (last->number <= before) ++mine.disordered;
    newest = last->number;
    take(*last, mine);
    return true;
}

}  // namespace

TEST_CASE("run_queue: owner against three thieves: every item is taken once, in the order of pushing by each taker") {
    for (std::uint32_t position : {0u, before_wrap}) {
        auto queue = queue_at(position);
        constexpr std::size_t batch = 1 << 16;
        haul owner;
        std::vector<haul> hauls(3);
        std::uint64_t pushed = 0;
        auto items = items_of(batch);
        auto end = std::chrono::steady_clock::now() + 500ms;
        do {
            for (auto& item : items) item.taken.store(0, std::memory_order_relaxed);
            std::atomic<bool> over{false};
            std::vector<std::thread> thieves;
            for (haul& mine : hauls) {
                thieves.emplace_back([&queue, &mine, &over] {
                    run_queue own;
                    std::int64_t newest = -1;
                    while (!over.load(std::memory_order_acquire)) {
                        if (!steal_once(*queue, own, newest, mine)) std::this_thread::yield();
                    }
                });
            }
            std::int64_t newest = -1;
            auto pop = [&] {
                auto* item = static_cast<numbered*>(queue->try_pop());
                if (item == nullptr) return false;
                if (item->number <= newest) ++owner.disordered;
                newest = item->number;
                take(*item, owner);
                return true;
            };
            std::uint32_t random = 1;
            for (auto& item : items) {
                while (!queue->try_push(item)) pop();
                random = random * 1664525u + 1013904223u;
                if (random >> 30 == 0) pop();                   // so that it is mostly short, and often empty
                if (random >> 20 == 0) while (pop()) {}         // and now and then drained against the thieves
            }
            while (pop()) {
            }
            over.store(true, std::memory_order_release);
            for (auto& thief : thieves) thief.join();
            pushed += batch;
        } while (std::chrono::steady_clock::now() < end);
        haul all = owner;
        for (const haul& each : hauls) {
            all.count += each.count;
            all.repeated += each.repeated;
            all.disordered += each.disordered;
        }
        CHECK(all.count == pushed);
        CHECK(all.repeated == 0);
        CHECK(all.disordered == 0);
        CHECK(queue->size() == 0);
    }
}

TEST_CASE("run_queue: four workers that steal from each other lose and repeat nothing") {
    constexpr std::size_t per_worker = 30'000;
    constexpr unsigned workers = 4;
    std::vector<std::unique_ptr<run_queue>> queues;
    for (unsigned i = 0; i < workers; ++i) queues.push_back(queue_at(i % 2 == 0 ? 0 : before_wrap));
    std::vector<std::vector<numbered>> items;
    for (unsigned i = 0; i < workers; ++i) items.push_back(items_of(per_worker));
    std::vector<haul> hauls(workers);
    std::atomic<std::uint64_t> taken{0};
    std::vector<std::thread> threads;
    for (unsigned me = 0; me < workers; ++me) {
        threads.emplace_back([&, me] {
            run_queue& own = *queues[me];
            haul& mine = hauls[me];
            std::uint32_t random = me + 1;
            std::size_t next = 0;
            std::uint64_t seen = 0;
            auto have = [&](peal::detail::work_item* item) {
                take(static_cast<numbered&>(*item), mine);
                if (mine.count - seen == 64) taken.fetch_add(64), seen = mine.count;
            };
            for (;;) {
                random = random * 1664525u + 1013904223u;
                for (std::uint32_t burst = random >> 26; burst != 0 && next < per_worker && own.try_push(items[me][next]); --burst) ++next;
                for (std::uint32_t burst = random >> 27 & 15; burst != 0; --burst) {
                    if (auto* item = own.try_pop()) have(item);
                }
                if (own.size() != 0) continue;
                if (auto* item = queues[(me + 1 + (random >> 16) % (workers - 1)) % workers]->steal_half(own)) {
                    have(item);
                } else if (next == per_worker) {
                    if (mine.count != seen) taken.fetch_add(mine.count - seen), seen = mine.count;
                    if (taken.load() == per_worker * workers) return;
                    std::this_thread::yield();
                }
            }
        });
    }
    for (auto& thread : threads) thread.join();
    std::uint64_t count = 0;
    std::uint64_t repeated = 0;
    for (const haul& each : hauls) {
        count += each.count;
        repeated += each.repeated;
    }
    CHECK(count == per_worker * workers);
    CHECK(repeated == 0);
}
