// SPDX-License-Identifier: MIT

#include <peal/detail/frame_memory.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>

#include "support/catch.hpp"

namespace {

using namespace peal::detail;

struct piece {
    void* memory;
    std::size_t bytes;
};

/// Sizes around every border of a size class, and larger than the largest.
std::vector<std::size_t> interesting_sizes() {
    std::vector<std::size_t> sizes{1, 8, 5000, 100'000};
    for (std::size_t border = 32; border <= 2048; border += 32) {
        for (std::size_t bytes : {border - 1, border, border + 1}) sizes.push_back(bytes);
    }
    return sizes;
}

void free_all(std::vector<piece>& pieces) {
    for (piece& each : pieces) free_frame(each.memory, each.bytes);
    pieces.clear();
}

}  // namespace

TEST_CASE("frame_memory: blocks are aligned, large enough and do not overlap, for every size") {
    std::int64_t before = live_frames();
    std::vector<piece> pieces;
    for (std::size_t bytes : interesting_sizes()) {
        for (int i = 0; i < 5; ++i) {
            void* memory = allocate_frame(bytes);
            std::memset(memory, static_cast<int>(bytes % 251), bytes);
            pieces.push_back({memory, bytes});
        }
    }
    CHECK(live_frames() == before + static_cast<std::int64_t>(pieces.size()));
    std::sort(pieces.begin(), pieces.end(), [](const piece& a, const piece& b) { return std::less<void*>()(a.memory, b.memory); });
    bool aligned = true;
    bool apart = true;
    bool kept = true;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        auto address = reinterpret_cast<std::uintptr_t>(pieces[i].memory);
        aligned = aligned && address % alignof(std::max_align_t) == 0;
        if (i != 0) {
            auto end = reinterpret_cast<std::uintptr_t>(pieces[i - 1].memory) + pieces[i - 1].bytes;
            apart = apart && end <= address;
        }
        auto* bytes = static_cast<unsigned char*>(pieces[i].memory);
        kept = kept && bytes[0] == pieces[i].bytes % 251 && bytes[pieces[i].bytes - 1] == pieces[i].bytes % 251;
    }
    CHECK(aligned);
    CHECK(apart);
    CHECK(kept);
    free_all(pieces);
    CHECK(live_frames() == before);
    free_frame(nullptr, 64);  // as operator delete of null
    CHECK(live_frames() == before);
}

TEST_CASE("frame_memory: a block that was freed is used again") {
    void* first = allocate_frame(200);
    free_frame(first, 200);
    void* second = allocate_frame(200);
    CHECK(first == second);
    free_frame(second, 200);
}

TEST_CASE("frame_memory: blocks freed on another thread come back to their owner") {
    std::vector<piece> pieces;
    auto allocate_many = [&pieces] {
        for (int i = 0; i < 1000; ++i) pieces.push_back({allocate_frame(400), 400});
    };
    auto free_elsewhere = [&pieces] { std::thread(free_all, std::ref(pieces)).join(); };
    std::int64_t live = live_frames();
    allocate_many();
    free_elsewhere();
    CHECK(live_frames() == live);
    std::uint64_t from_system = frame_system_allocations();
    for (int round = 0; round < 50; ++round) {
        allocate_many();
        free_elsewhere();
    }
    CHECK(frame_system_allocations() == from_system);
    CHECK(live_frames() == live);
}

TEST_CASE("frame_memory: a thread that has ended leaves its blocks valid and its memory to the next thread") {
    std::vector<piece> pieces;
    auto thread = [&pieces] {
        for (int i = 0; i < 1000; ++i) pieces.push_back({allocate_frame(300), 300});
    };
    std::thread(thread).join();
    for (piece& each : pieces) std::memset(each.memory, 1, each.bytes);
    free_all(pieces);
    std::uint64_t from_system = frame_system_allocations();
    for (int round = 0; round < 20; ++round) {
        std::thread(thread).join();
        free_all(pieces);
    }
    CHECK(frame_system_allocations() == from_system);
}

namespace {

/// Its destructor runs at the end of the thread, after the thread's cache was given back.
struct late_user {
    void* memory = nullptr;
    ~late_user() {
        free_frame(memory, 100);
        void* again = allocate_frame(100);
        free_frame(again, 100);
    }
};
thread_local late_user used_late;

}  // namespace

TEST_CASE("frame_memory: thread-local objects may free and allocate while their thread ends") {
    std::int64_t live = live_frames();
    for (int i = 0; i < 10; ++i) {
        std::thread([] {
            used_late.memory = nullptr;              // made first, so destroyed last
            used_late.memory = allocate_frame(100);
        }).join();
    }
    CHECK(live_frames() == live);
}

// ---- coroutines -----------------------------------------------------------------------------------------------------------------

namespace {

peal::task<int> moves_and_ends(peal::pool& pool, int value) {
    co_await pool.schedule_on(1);
    co_return value;  // this frame was made on worker 0
}

peal::task<long> requests(peal::pool& pool, int count) {
    co_await pool.schedule_on(0);
    long sum = 0;
    for (int i = 0; i < count; ++i) {
        auto here = pool.spawn(moves_and_ends, pool, 1);
        auto other = pool.spawn(moves_and_ends, pool, 1);
        sum += co_await here;
        sum += co_await other;
        co_await pool.schedule_on(0);
    }
    co_return sum;
}

}  // namespace

TEST_CASE("frame_memory: tasks that move between workers take nothing from the system in a steady state") {
    std::int64_t live = live_frames();
    {
        peal::pool pool(peal::pool_options(2));
        CHECK(pool.run(requests, pool, 2000) == 4000);
        std::uint64_t from_system = frame_system_allocations();
        CHECK(pool.run(requests, pool, 5000) == 10'000);
        CHECK(frame_system_allocations() == from_system);
    }
    CHECK(live_frames() == live);
}
