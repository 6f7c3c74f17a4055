// SPDX-License-Identifier: MIT

#include "sched/idle.hpp"

#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using peal::rt::idle;
using last_searcher = idle::last_searcher;
using woken_as = idle::woken_as;

}  // namespace

TEST_CASE("idle: nobody is woken while nobody sleeps") {
    idle workers(4);
    CHECK_FALSE(workers.pick_sleeper().has_value());
    CHECK_FALSE(workers.all_parked());
}

TEST_CASE("idle: at most half of the workers search, one of one") {
    idle four(4);
    CHECK(four.try_start_search());
    CHECK(four.try_start_search());
    CHECK_FALSE(four.try_start_search());
    CHECK(four.stop_search() == last_searcher::no);
    CHECK(four.try_start_search());
    CHECK(four.stop_search() == last_searcher::no);
    CHECK(four.stop_search() == last_searcher::yes);

    idle three(3);
    CHECK(three.try_start_search());
    CHECK(three.try_start_search());
    CHECK_FALSE(three.try_start_search());

    idle one(1);
    CHECK(one.try_start_search());
    CHECK_FALSE(one.try_start_search());
}

TEST_CASE("idle: a sleeper is picked once, counts as searching, and leaves as a searcher") {
    idle workers(4);
    workers.enter_parked(2, false);
    auto picked = workers.pick_sleeper();
    REQUIRE(picked.has_value());
    CHECK(*picked == 2);
    CHECK_FALSE(workers.pick_sleeper().has_value());  // nobody sleeps any more
    CHECK(workers.leave_parked(2) == woken_as::searcher);
    CHECK(workers.stop_search() == last_searcher::yes);  // it was counted
}

TEST_CASE("idle: a worker that wakes by itself leaves as itself, and is not counted as searching") {
    idle workers(4);
    workers.enter_parked(0, false);
    workers.enter_parked(1, false);
    workers.enter_parked(3, false);
    CHECK(workers.leave_parked(1) == woken_as::itself);
    CHECK(workers.try_start_search());
    CHECK(workers.try_start_search());  // so nobody searched
    CHECK(workers.stop_search() == last_searcher::no);
    CHECK(workers.stop_search() == last_searcher::yes);
    auto first = workers.pick_sleeper();  // 0 and 3 are still on the list
    REQUIRE(first.has_value());
    CHECK(workers.leave_parked(*first) == woken_as::searcher);
    CHECK(workers.stop_search() == last_searcher::yes);
    auto second = workers.pick_sleeper();
    REQUIRE(second.has_value());
    CHECK(*first + *second == 3);
}

TEST_CASE("idle: nobody is woken while somebody searches") {
    idle workers(4);
    workers.enter_parked(0, false);
    REQUIRE(workers.try_start_search());
    CHECK_FALSE(workers.pick_sleeper().has_value());
    CHECK(workers.stop_search() == last_searcher::yes);  // who must then wake another
    CHECK(workers.pick_sleeper() == std::optional<unsigned>(0));
}

TEST_CASE("idle: a searcher that goes to sleep does not count as searching any more") {
    idle workers(2);
    REQUIRE(workers.try_start_search());
    workers.enter_parked(1, true);
    CHECK(workers.try_start_search());
    CHECK(workers.stop_search() == last_searcher::yes);
    CHECK(workers.pick_sleeper() == std::optional<unsigned>(1));
    CHECK(workers.leave_parked(1) == woken_as::searcher);
    workers.enter_parked(1, true);  // found nothing
    CHECK(workers.leave_parked(1) == woken_as::itself);
}

TEST_CASE("idle: knows when all sleep") {
    idle workers(2);
    workers.enter_parked(0, false);
    CHECK_FALSE(workers.all_parked());
    workers.enter_parked(1, false);
    CHECK(workers.all_parked());
    static_cast<void>(workers.pick_sleeper());
    CHECK_FALSE(workers.all_parked());
}

TEST_CASE("idle: sleepers and wakers on many threads: each pick is one waking, and the counts come back to nothing") {
    constexpr unsigned sleepers = 3;
    constexpr int rounds = 20'000;
    idle workers(sleepers);
    std::vector<std::atomic<int>> picked(sleepers);
    std::atomic<unsigned> left{sleepers};
    std::vector<int> as_searcher(sleepers, 0);
    std::vector<std::thread> threads;
    for (unsigned me = 0; me < sleepers; ++me) {
        threads.emplace_back([&, me] {
            for (int i = 0; i < rounds; ++i) {
                bool searching = i % 3 == 0 && workers.try_start_search();
                workers.enter_parked(me, searching);
                if (i % 7 == 0) std::this_thread::yield();
                if (workers.leave_parked(me) == woken_as::searcher) {
                    ++as_searcher[me];
                    static_cast<void>(workers.stop_search());
                }
            }
            left.fetch_sub(1);
        });
    }
    threads.emplace_back([&] {
        while (left.load() != 0) {
            if (auto chosen = workers.pick_sleeper()) {
                picked[*chosen].fetch_add(1);
            } else {
                std::this_thread::yield();
            }
        }
    });
    for (auto& thread : threads) thread.join();
    for (unsigned i = 0; i < sleepers; ++i) CHECK(as_searcher[i] == picked[i]);
    CHECK_FALSE(workers.pick_sleeper().has_value());
    CHECK_FALSE(workers.all_parked());
    CHECK(workers.try_start_search());
    CHECK(workers.stop_search() == last_searcher::yes);  // nobody else was counted
}
