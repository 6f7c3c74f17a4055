// SPDX-License-Identifier: MIT

#include "sched/injection_queue.hpp"

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/catch.hpp"

namespace {

using peal::rt::injection_queue;
using peal::detail::work_list;

struct numbered final : peal::detail::work_item {
    unsigned producer = 0;
    std::uint32_t number = 0;
};

std::vector<std::uint32_t> numbers_of(work_list& list) {
    std::vector<std::uint32_t> numbers;
    while (!list.empty()) numbers.push_back(static_cast<numbered&>(list.pop_front()).number);
    return numbers;
}

std::vector<numbered> items_of(std::size_t count, unsigned producer = 0) {
    std::vector<numbered> items(count);
    for (std::size_t i = 0; i < count; ++i) {
        items[i].producer = producer;
        items[i].number = static_cast<std::uint32_t>(i);
    }
    return items;
}

}  // namespace

TEST_CASE("work_list: first in, first out, and appends another") {
    auto items = items_of(6);
    work_list list;
    CHECK(list.empty());
    list.push_back(items[0]);
    list.push_back(items[1]);
    work_list other;
    other.push_back(items[2]);
    other.push_back(items[3]);
    list.append(other);
    CHECK(other.empty());
    CHECK(other.size() == 0);
    CHECK(list.size() == 4);
    list.append(other);  // nothing to append
    list.push_back(items[4]);
    other.push_back(items[5]);  // usable after it was emptied
    CHECK(numbers_of(list) == std::vector<std::uint32_t>{0, 1, 2, 3, 4});
    CHECK(numbers_of(other) == std::vector<std::uint32_t>{5});
}

TEST_CASE("injection_queue: first in, first out, at most so many at a time") {
    auto items = items_of(10);
    injection_queue queue;
    CHECK(queue.empty());
    work_list taken;
    queue.pop(taken, 5);
    CHECK(taken.empty());

    for (int i = 0; i < 3; ++i) queue.push(items[static_cast<std::size_t>(i)]);
    work_list more;
    for (int i = 3; i < 10; ++i) more.push_back(items[static_cast<std::size_t>(i)]);
    queue.push_all(more);
    CHECK(more.empty());
    CHECK(queue.size() == 10);

    queue.pop(taken, 0);
    CHECK(taken.empty());
    queue.pop(taken, 4);
    CHECK(taken.size() == 4);
    CHECK(queue.size() == 6);
    queue.pop(taken, 2);  // appends
    CHECK(numbers_of(taken) == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5});
    queue.pop(taken, 100);
    CHECK(numbers_of(taken) == std::vector<std::uint32_t>{6, 7, 8, 9});
    CHECK(queue.empty());

    queue.push_all(more);  // nothing
    CHECK(queue.empty());
    queue.push(items[0]);
    CHECK(queue.size() == 1);
    queue.pop(taken, 1);
    CHECK(numbers_of(taken) == std::vector<std::uint32_t>{0});
}

TEST_CASE("injection_queue: producers and takers on many threads: every item once, each producer's in order") {
    constexpr unsigned producers = 2;
    constexpr unsigned takers = 2;
    constexpr std::size_t per_producer = 20'000;
    injection_queue queue;
    std::vector<std::vector<numbered>> items;
    for (unsigned p = 0; p < producers; ++p) items.push_back(items_of(per_producer, p));
    std::atomic<std::size_t> taken{0};
    std::vector<std::uint64_t> disordered(takers, 0);
    std::vector<std::vector<std::uint64_t>> sums(takers, std::vector<std::uint64_t>(producers, 0));
    std::vector<std::thread> threads;
    for (unsigned p = 0; p < producers; ++p) {
        threads.emplace_back([&queue, &mine = items[p]] {
            for (std::size_t i = 0; i < mine.size();) {
                if (i % 5 != 0) {
                    queue.push(mine[i++]);
                } else {
                    work_list batch;
                    for (std::size_t end = std::min(mine.size(), i + 4); i < end; ++i) batch.push_back(mine[i]);
                    queue.push_all(batch);
                }
            }
        });
    }
    for (unsigned t = 0; t < takers; ++t) {
        threads.emplace_back([&, t] {
            std::vector<std::int64_t> newest(producers, -1);
            while (taken.load(std::memory_order_relaxed) < producers * per_producer) {
                work_list list;
                queue.pop(list, 7);
                if (list.empty()) std::this_thread::yield();
                std::size_t count = list.size();
                while (!list.empty()) {
                    auto& item = static_cast<numbered&>(list.pop_front());
                    if (item.number <= newest[item.producer]) ++disordered[t];
                    newest[item.producer] = item.number;
                    sums[t][item.producer] += item.number;
                }
                taken.fetch_add(count, std::memory_order_relaxed);
            }
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(taken == producers * per_producer);
    CHECK(queue.empty());
    CHECK(disordered == std::vector<std::uint64_t>(takers, 0));
    for (unsigned p = 0; p < producers; ++p) {
        std::uint64_t sum = 0;
        for (unsigned t = 0; t < takers; ++t) sum += sums[t][p];
        CHECK(sum == per_producer * (per_producer - 1) / 2);
    }
}
