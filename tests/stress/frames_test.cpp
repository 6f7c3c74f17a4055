// SPDX-License-Identifier: MIT

// Frame memory between threads that come and go: blocks are made here and given back there, filled with what they are to hold. And
// tasks that are made by one thread and awaited, or dropped, by another.

#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <peal/detail/frame_memory.hpp>
#include <peal/pool/pool.hpp>

#include "support/awaitables.hpp"
#include "support/catch.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

namespace {

struct block {
    std::byte* memory;
    std::size_t size;
    std::byte mark;
};

/// Where blocks change hands.
class exchange {
  public:
    static constexpr std::size_t places = 512;

    /// Puts a block into a place and takes what was there.
    block swap(std::size_t place, block given) {
        std::lock_guard guard(mutex_[place % mutex_.size()]);
        std::swap(blocks_[place], given);
        return given;
    }

  private:
    std::array<std::mutex, 16> mutex_;
    std::array<block, places> blocks_{};
};

std::atomic<std::uint64_t> large_blocks{0};

block make(support::dice& dice) {
    // Every size class, and now and then a block that is larger than all of them and comes from the system.
    std::size_t size = 1 + dice.below(2048);
    if (dice.one_in(64)) {
        size += 2048;
        ++large_blocks;
    }
    block made{static_cast<std::byte*>(peal::detail::allocate_frame(size)), size, static_cast<std::byte>(dice.next())};
    std::memset(made.memory, static_cast<int>(made.mark), size);
    return made;
}

void give_back(const block& given, support::verdict& judged) {
    if (given.memory == nullptr) return;
    bool right = true;
    for (std::size_t i = 0; i < given.size; ++i) right = right && given.memory[i] == given.mark;
    judged.expect(right, "a block does not hold what was written into it");
    peal::detail::free_frame(given.memory, given.size);
}

/// The life of one thread; short, so that its cache goes to the next one with blocks still out.
void trade(exchange& market, std::uint64_t seed, support::verdict& judged) {
    support::dice dice(seed);
    for (std::uint64_t i = 200 + dice.below(3000); i != 0; --i) {
        give_back(market.swap(dice.below(exchange::places), make(dice)), judged);
    }
}

peal::task<std::uint64_t> add_up(std::uint64_t number, int depth) {
    if (depth == 0) co_return number;
    co_return number + co_await add_up(number, depth - 1);
}

class order {
  public:
    order(peal::task<std::uint64_t> work, std::uint64_t expected) : work(std::move(work)), expected(expected) {}
    peal::task<std::uint64_t> work;
    std::uint64_t expected;
};

peal::task<> fulfil(support::mailbox<std::unique_ptr<order>>& box, support::verdict& judged, std::atomic<long>& done) {
    for (;;) {
        std::unique_ptr<order> next = co_await box.pop();
        if (next == nullptr) co_return;
        ++done;
        if (next->expected == 0) continue;  // dropped here without having run
        std::uint64_t sum = co_await std::move(next->work);
        judged.expect(sum == next->expected, "another sum");
    }
}

}  // namespace

TEST_CASE("stress: blocks of frame memory change hands between threads that come and go") {
    std::int64_t live = peal::detail::live_frames();
    std::uint64_t chunks_before = peal::detail::frame_system_allocations();
    support::verdict judged;
    exchange market;
    support::stress_clock clock(2);
    std::vector<std::thread> traders;
    std::atomic<std::uint64_t> lives{0};
    for (std::uint64_t t = 0; t < 3; ++t) {
        traders.emplace_back([&, t] {
            std::uint64_t life = 0;
            do {
                std::thread([&] { trade(market, t * 1'000'000 + life, judged); }).join();
                ++lives;
                ++life;
            } while (clock.goes_on());
        });
    }
    for (auto& each : traders) each.join();
    for (std::size_t place = 0; place < exchange::places; ++place) give_back(market.swap(place, block{}), judged);
    CHECK(judged.text() == "");
    CHECK(lives >= 3);
    CHECK(peal::detail::live_frames() == live);
    // At most 512 blocks were out at a time, and a handful of caches exist: a few chunks for each of their 28 classes, whatever the
    // number of blocks. Each block that does not find its way home makes them more.
    std::uint64_t chunks = peal::detail::frame_system_allocations() - chunks_before - large_blocks;
    CHECK(chunks < 1000);
    std::printf("%llu threads, %llu chunks from the system\n", static_cast<unsigned long long>(lives),
                static_cast<unsigned long long>(chunks));
}

TEST_CASE("stress: tasks made by threads are awaited and dropped by workers") {
    auto join = [](std::vector<peal::join_handle<>> handles) -> peal::task<> {
        for (auto& each : handles) co_await each;
    };
    support::verdict judged;
    std::atomic<long> made{0};
    std::atomic<long> done{0};
    peal::pool pool(peal::pool_options(2));
    std::array<support::mailbox<std::unique_ptr<order>>, 4> boxes;
    std::vector<peal::join_handle<>> workers;
    for (auto& box : boxes) workers.push_back(pool.spawn(fulfil, std::ref(box), judged, std::ref(done)));
    support::stress_clock clock(2);
    std::vector<std::thread> makers;
    for (std::uint64_t t = 0; t < 2; ++t) {
        makers.emplace_back([&, t] {
            support::dice dice(1000 + t);
            do {
                auto number = 1 + dice.below(1000);
                auto depth = static_cast<int>(dice.below(20));
                bool dropped = dice.one_in(4);
                auto& box = boxes[dice.below(boxes.size())];
                std::uint64_t expected = dropped ? 0 : number * static_cast<std::uint64_t>(depth + 1);
                box.push(std::make_unique<order>(add_up(number, depth), expected));
                ++made;
                while (made - done > 2000) std::this_thread::yield();
            } while (clock.goes_on());
        });
    }
    for (auto& each : makers) each.join();
    for (auto& box : boxes) box.push(nullptr);
    pool.run(join, std::move(workers));
    CHECK(judged.text() == "");
    CHECK(made == done);
    CHECK(made > 0);
}
