// SPDX-License-Identifier: MIT

// Whose turn it is, by the books alone: what an item "took" is what the test says.

#include "sched/shares.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using peal::detail::work_item;
using peal::rt::share_queue;
using peal::rt::shares;

/// A share with something to do at any time.
struct busy {
    share_queue& queue;
    std::chrono::nanoseconds each;  // one of its items takes so long
    std::array<work_item, 4> items{};
    int turns = 0;
    std::chrono::nanoseconds sum{0};

    void begin(shares& all) {
        for (work_item& item : items) all.push(item, queue);
    }
};

/// `count` turns of one worker, of one item each.
void run(shares& all, std::initializer_list<busy*> who, int count, busy* others = nullptr) {
    for (int i = 0; i < count; ++i) {
        share_queue* turn = all.begin_turn(others != nullptr ? shares::may_be_others::yes : shares::may_be_others::no);
        REQUIRE(turn != nullptr);
        busy* whose = others;
        for (busy* each : who) {
            if (turn == &each->queue) whose = each;
        }
        REQUIRE(whose != nullptr);
        CHECK(all.is_others(*turn) == (whose == others));
        peal::detail::work_list taken;
        if (whose != others) all.pop(*turn, taken, 1, 1);
        ++whose->turns;
        whose->sum += whose->each;
        all.end_turn(*turn, whose->each);
        all.push_all(taken, *turn);
    }
}

double ratio(std::chrono::nanoseconds a, std::chrono::nanoseconds b) {
    return static_cast<double>(a.count()) / static_cast<double>(b.count());
}

}  // namespace

TEST_CASE("shares: turns in proportion to the weights, and never many of one in a row") {
    shares all;
    busy one{*all.make(nullptr, 100), 10us};
    busy three{*all.make(nullptr, 300), 10us};
    one.begin(all);
    three.begin(all);
    run(all, {&one, &three}, 4);
    for (int i = 0; i < 100; ++i) {
        int before = one.turns;
        run(all, {&one, &three}, 8);
        CHECK(one.turns - before >= 1);
        CHECK(one.turns - before <= 3);
    }
    CHECK(one.turns >= 199);
    CHECK(one.turns <= 203);
}

TEST_CASE("shares: it is time that counts, not turns") {
    shares all;
    busy quick{*all.make(nullptr, 100), 100us};
    busy slow{*all.make(nullptr, 100), 10ms};
    quick.begin(all);
    slow.begin(all);
    run(all, {&quick, &slow}, 5'000);
    CHECK(ratio(quick.sum, slow.sum) > 0.95);
    CHECK(ratio(quick.sum, slow.sum) < 1.05);
}

TEST_CASE("shares: what is in none weighs 100 together") {
    shares all;
    busy shared{*all.make(nullptr, 25), 10us};
    busy others{shared.queue, 10us};
    shared.begin(all);
    run(all, {&shared}, 1'000, &others);
    CHECK(ratio(others.sum, shared.sum) > 3.8);
    CHECK(ratio(others.sum, shared.sum) < 4.2);
}

TEST_CASE("shares: who had nothing to do has saved nothing up") {
    shares all;
    busy early{*all.make(nullptr, 100), 10us};
    busy late{*all.make(nullptr, 100), 10us};
    busy others{early.queue, 10us};
    early.begin(all);
    run(all, {&early}, 1'000);
    late.begin(all);
    run(all, {&early, &late}, 10);
    CHECK(late.turns >= 4);
    CHECK(late.turns <= 6);
    run(all, {&early, &late}, 1'000);
    all.others_are_absent();
    int before = early.turns + late.turns;
    run(all, {&early, &late}, 30, &others);
    CHECK(others.turns >= 8);
    CHECK(others.turns <= 12);
    CHECK(early.turns + late.turns - before == 30 - others.turns);
}

TEST_CASE("shares: other workers see at once what a turn will take") {
    shares all;
    busy slow{*all.make(nullptr, 100), 10ms};
    busy quick{*all.make(nullptr, 100), 10us};
    slow.begin(all);
    quick.begin(all);
    run(all, {&slow, &quick}, 2'000);
    // Three workers begin before any of them has ended.
    int slow_turns = 0;
    std::vector<share_queue*> begun;
    for (int i = 0; i < 3; ++i) {
        begun.push_back(all.begin_turn(shares::may_be_others::no));
        if (begun.back() == &slow.queue) ++slow_turns;
    }
    CHECK(slow_turns <= 1);
    for (share_queue* turn : begun) all.end_turn(*turn, turn == &slow.queue ? slow.each : quick.each);
}

TEST_CASE("shares: a turn of stolen items is paid for, too") {
    shares all;
    busy robbed{*all.make(nullptr, 100), 10us};
    busy other{*all.make(nullptr, 100), 10us};
    robbed.begin(all);
    other.begin(all);
    run(all, {&robbed, &other}, 100);
    for (int i = 0; i < 10; ++i) {
        all.begin_turn_of(robbed.queue);
        all.end_turn(robbed.queue, 100us);
    }
    int before = robbed.turns;
    run(all, {&robbed, &other}, 90);
    CHECK(robbed.turns == before);
}

TEST_CASE("shares: a stall is paid for with a tenth of a second, at most") {
    shares all;
    busy stalled{*all.make(nullptr, 100), 1ms};
    busy other{*all.make(nullptr, 100), 1ms};
    stalled.begin(all);
    other.begin(all);
    run(all, {&stalled, &other}, 100);
    share_queue* turn = all.begin_turn(shares::may_be_others::no);
    while (turn != &stalled.queue) {
        all.end_turn(*turn, 1ms);
        turn = all.begin_turn(shares::may_be_others::no);
    }
    all.end_turn(*turn, 1h);
    int before = stalled.turns;
    int turns = 0;
    for (; stalled.turns == before && turns < 1'000; ++turns) run(all, {&stalled, &other}, 1);
    CHECK(turns >= 90);
    CHECK(turns <= 110);
}

TEST_CASE("shares: the others save nothing up while they are absent") {
    shares all;
    busy shared{*all.make(nullptr, 100), 100us};
    busy others{shared.queue, 100us};
    shared.begin(all);
    for (int i = 0; i < 1'000; ++i) {
        share_queue* turn = all.begin_turn(shares::may_be_others::yes);
        if (all.is_others(*turn)) {
            all.end_turn(*turn, 1us);
            all.others_are_absent();
            turn = all.begin_turn(shares::may_be_others::no);
        }
        CHECK(turn == &shared.queue);
        all.end_turn(*turn, 100us);
    }
    run(all, {&shared}, 100, &others);
    CHECK(others.turns >= 45);
    CHECK(others.turns <= 55);
}

TEST_CASE("shares: a clock that stands still gives equal turns") {
    shares all;
    busy one{*all.make(nullptr, 100), 0ns};
    busy other{*all.make(nullptr, 100), 0ns};
    one.begin(all);
    other.begin(all);
    run(all, {&one, &other}, 1'000);
    CHECK(one.turns >= 490);
    CHECK(one.turns <= 510);
}

TEST_CASE("shares: first come, first served in each; a part for each worker; take_all takes everything and charges nobody") {
    shares all;
    share_queue& first = *all.make(nullptr, 100);
    share_queue& second = *all.make(nullptr, 100);
    std::array<work_item, 6> items;
    for (int round = 0; round < 2; ++round) {
        CHECK(all.empty());
        CHECK(all.begin_turn(shares::may_be_others::no) == nullptr);
        for (std::size_t i = 0; i < 3; ++i) all.push(items[i], first);
        for (std::size_t i = 3; i < 6; ++i) all.push(items[i], second);
        CHECK_FALSE(all.empty());
        peal::detail::work_list taken;
        all.take_all(taken);
        CHECK(all.empty());
        REQUIRE(taken.size() == 6);
        for (std::size_t i = 0; i < 6; ++i) CHECK(&taken.pop_front() == &items[i]);
    }
    for (work_item& item : items) all.push(item, first);
    peal::detail::work_list taken;
    all.pop(first, taken, 100, 3);
    CHECK(taken.size() == 3);
    all.pop(first, taken, 1, 1);
    CHECK(taken.size() == 4);
    all.pop(second, taken, 100, 1);
    CHECK(taken.size() == 4);
    all.pop(first, taken, 100, 1);
    CHECK(all.empty());
    REQUIRE(taken.size() == 6);
    all.push_all(taken, first);
    all.push_all(taken, second);  // nothing
    CHECK(all.begin_turn(shares::may_be_others::no) == &first);
    all.pop(first, taken, 100, 1);
    for (work_item& item : items) CHECK(&taken.pop_front() == &item);
    CHECK(all.empty());
}

TEST_CASE("shares: at most 64") {
    shares all;
    std::vector<work_item> items(shares::limit);
    std::vector<share_queue*> made;
    for (work_item& item : items) {  // all of them have something to do at the same time
        made.push_back(all.make(nullptr, 1));
        REQUIRE(made.back() != nullptr);
        all.push(item, *made.back());
    }
    CHECK(all.make(nullptr, 1) == nullptr);
    for (std::size_t left = shares::limit; left != 0; --left) {
        share_queue* turn = all.begin_turn(shares::may_be_others::no);
        REQUIRE(turn == made[shares::limit - left]);  // those that came first
        peal::detail::work_list taken;
        all.pop(*turn, taken, 100, 1);
        CHECK(taken.size() == 1);
        all.end_turn(*turn, 1us);
    }
    CHECK(all.empty());
}

TEST_CASE("shares: many threads: every item once") {
    struct counted final : work_item {
        std::atomic<int> taken{0};
    };
    constexpr std::size_t count = 20'000;
    shares all;
    std::array<share_queue*, 2> queues{all.make(nullptr, 100), all.make(nullptr, 300)};
    std::vector<counted> items(2 * count);
    std::atomic<std::size_t> taken{0};
    std::vector<std::thread> threads;
    for (std::size_t p = 0; p < 2; ++p) {
        threads.emplace_back([&, p] {
            for (std::size_t i = 0; i < count; ++i) all.push(items[p * count + i], *queues[(p + i) % 2]);
        });
        threads.emplace_back([&] {
            while (taken.load() < 2 * count) {
                share_queue* turn = all.begin_turn(shares::may_be_others::no);
                if (turn == nullptr) {
                    std::this_thread::yield();
                    continue;
                }
                peal::detail::work_list some;
                all.pop(*turn, some, 7, 2);
                std::size_t number = some.size();
                while (!some.empty()) ++static_cast<counted&>(some.pop_front()).taken;
                all.end_turn(*turn, 1us);
                taken += number;
            }
        });
    }
    for (auto& thread : threads) thread.join();
    std::size_t once = 0;
    for (counted& item : items) once += item.taken.load() == 1;
    CHECK(once == 2 * count);
    CHECK(all.empty());
}
