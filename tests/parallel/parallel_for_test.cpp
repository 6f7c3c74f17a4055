// SPDX-License-Identifier: MIT

#include <peal/parallel/parallel_for.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/error.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"
#include "support/stopper.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::everywhere;
using support::verdict;

/// How often each element was handled.
class counts {
  public:
    explicit counts(std::size_t size) : size_(size), each_(std::make_unique<std::atomic<int>[]>(size)) {}
    std::atomic<int>& operator[](std::size_t index) { return each_[index]; }
    bool all_are(int number) const {
        for (std::size_t i = 0; i < size_; ++i) {
            if (each_[i] != number) return false;
        }
        return true;
    }

  private:
    std::size_t size_;
    std::unique_ptr<std::atomic<int>[]> each_;
};

constexpr std::array<std::size_t, 13> sizes{0, 1, 2, 3, 15, 16, 17, 31, 100, 255, 256, 1000, 5000};
constexpr std::array<std::size_t, 7> grains{0, 1, 2, 7, 16, 300, 10'000};

std::string which(std::size_t size, std::size_t grain) { return "size " + std::to_string(size) + " grain " + std::to_string(grain); }

// ---- functions ------------------------------------------------------------------------------------------------------------------

void each_once(verdict& found) {
    for (std::size_t size : sizes) {
        for (std::size_t grain : grains) {
            counts seen(size);
            peal::parallel_for(std::views::iota(std::size_t{0}, size), grain, [&seen](std::size_t i) { ++seen[i]; });
            found.expect(seen.all_are(1), which(size, grain));
        }
        counts seen(size);
        peal::parallel_for(std::views::iota(std::size_t{0}, size), [&seen](std::size_t i) { ++seen[i]; });
        found.expect(seen.all_are(1), which(size, 0) + " of itself");
    }
}

void kinds_of_ranges(verdict& found) {
    std::vector<int> numbers(1000, 1);
    peal::parallel_for(numbers, [](int& each) { ++each; });
    std::deque<int> others(numbers.begin(), numbers.end());
    peal::parallel_for(others, std::size_t{10}, [](int& each) { each += 2; });
    const std::deque<int>& constant = others;
    std::atomic<int> sum{0};
    peal::parallel_for(constant, [&sum](const int& each) { sum += each; });
    found.expect(sum == 4000, "another sum of a deque");
    peal::parallel_for(numbers | std::views::take(10) | std::views::reverse, std::size_t{1}, [](int& each) { each = 0; });
    found.expect(numbers[9] == 0 && numbers[10] == 2, "another part of a vector");
    std::array<int, 5> five{};
    peal::parallel_for(five, [](int& each) { each = 5; });
    found.expect(five == std::array<int, 5>{5, 5, 5, 5, 5}, "not all of an array");
    sum = 0;
    peal::parallel_for(std::views::iota(-3, 4), std::size_t{1}, [&sum](int i) { sum += i * i; });
    found.expect(sum == 28, "another sum of squares");
    // What the function gives is dropped; a member is a function, too.
    std::vector<std::string> words(100, "word");
    peal::parallel_for(words, &std::string::clear);
    found.expect(words.front().empty() && words.back().empty(), "a member was not called");
}

void nested_loops(verdict& found) {
    counts seen(100 * 100);
    peal::parallel_for(std::views::iota(0u, 100u), std::size_t{1}, [&seen](unsigned row) {
        peal::parallel_for(std::views::iota(0u, 100u), [&seen, row](unsigned column) { ++seen[row * 100 + column]; });
    });
    found.expect(seen.all_are(1), "not every field once");
}

void fails(verdict& found) {
    for (std::size_t grain : grains) {
        for (int failing : {0, 500, 999}) {
            counts seen(1000);
            std::string end;
            try {
                peal::parallel_for(std::views::iota(0, 1000), grain, [&](int i) {
                    ++seen[static_cast<std::size_t>(i)];
                    if (i == failing) throw std::runtime_error("on purpose");
                });
            } catch (const std::runtime_error& failure) {
                end = failure.what();
            }
            found.expect(end == "on purpose", which(1000, grain) + " ended with " + end);
            int most = 0;
            for (std::size_t i = 0; i < 1000; ++i) most = std::max(most, seen[i].load());
            found.expect(most == 1 && seen[static_cast<std::size_t>(failing)] == 1, which(1000, grain) + ": an element twice");
        }
    }
}

}  // namespace

TEST_CASE("parallel_for: handles each element once, whatever the size and grain") { everywhere(each_once); }

TEST_CASE("parallel_for: takes ranges of every kind") { everywhere(kinds_of_ranges); }

TEST_CASE("parallel_for: may be nested") { everywhere(nested_loops); }

TEST_CASE("parallel_for: throws what the function threw, and handles nothing twice") { everywhere(fails); }

TEST_CASE("parallel_for: a failure ends the loop before all elements are handled") {
    peal::pool pool{peal::pool_options(2)};
    std::atomic<int> begun{0};
    CHECK_THROWS_AS(pool.run([&begun] {
        peal::parallel_for(std::views::iota(0, 1'000'000), std::size_t{100}, [&begun](int) {
            ++begun;
            support::spin_for(1us);
            throw std::runtime_error("on purpose");
        });
    }),
                    std::runtime_error);
    CHECK(begun < 500'000);
}

TEST_CASE("parallel_for: other workers take part, also in one grain that turns out to be long") {
    peal::pool pool{peal::pool_options(2)};
    for (std::size_t grain : {std::size_t{1}, std::size_t{64}}) {
        std::array<std::atomic<int>, 2> handled{};
        pool.run([&] {
            auto caller = std::this_thread::get_id();
            peal::parallel_for(std::views::iota(0, 64), grain, [&](int) {
                ++handled[std::this_thread::get_id() == caller ? 0 : 1];
                std::this_thread::sleep_for(1ms);
            });
        });
        CHECK(handled[0] + handled[1] == 64);
        CHECK(handled[1] > 0);
    }
}

namespace {

/// How it ends, when it is asked to stop in the middle.
template <class Function>
std::string end_of_stopped(unsigned workers, std::atomic<int>& begun, Function fn) {
    peal::pool pool{peal::pool_options(workers)};
    auto task = pool.spawn(fn);
    while (begun < 10) std::this_thread::yield();
    task.request_stop();
    auto joining = [](peal::join_handle<> joined) -> peal::task<> { co_await joined; };
    try {
        pool.run(joining, std::move(task));
    } catch (const std::exception& failure) {
        return peal::is_canceled(failure) ? "canceled" : failure.what();
    }
    return "value";
}

}  // namespace

TEST_CASE("parallel_for: a stop ends it between two elements") {
    for (unsigned workers : {1u, 3u}) {
        std::atomic<int> begun{0};
        std::string end = end_of_stopped(workers, begun, [&begun] {
            peal::parallel_for(std::views::iota(0, 10'000'000), [&begun](int) {
                ++begun;
                support::spin_for(1us);
            });
        });
        CHECK(end == "canceled");
        CHECK(begun < 10'000'000);
    }
}

// ---- functions that give tasks --------------------------------------------------------------------------------------------------

namespace {

peal::task<> each_task_once(peal::pool&) {
    for (std::size_t size : {0u, 1u, 2u, 3u, 17u, 100u}) {
        for (std::size_t grain : grains) {
            counts seen(size);
            auto counts_it = [&seen](std::size_t i) -> peal::task<> {
                if (i % 3 == 0) co_await peal::yield();
                if (i % 7 == 0) co_await peal::sleep_for(1us);
                ++seen[i];
            };
            co_await peal::parallel_for(std::views::iota(std::size_t{0}, size), grain, counts_it);
            CHECK(seen.all_are(1));
            co_await peal::parallel_for(std::views::iota(std::size_t{0}, size), counts_it);
            CHECK(seen.all_are(2));
        }
    }
    std::vector<int> numbers(100, 1);
    auto adds = [](int& each) -> peal::task<int> {
        co_await peal::yield();
        co_return each += 1;
    };
    co_await peal::parallel_for(numbers, adds);
    int sum = 0;
    for (int each : numbers) sum += each;
    CHECK(sum == 200);
}

peal::task<> failing_tasks(peal::pool&) {
    for (std::size_t grain : grains) {
        counts seen(100);
        auto fails_once = [&seen](std::size_t i) -> peal::task<> {
            if (i % 5 == 0) co_await peal::yield();
            ++seen[i];
            if (i == 40) throw std::runtime_error("forty");
        };
        std::string end;
        try {
            co_await peal::parallel_for(std::views::iota(std::size_t{0}, std::size_t{100}), grain, fails_once);
        } catch (const std::runtime_error& failure) {
            end = failure.what();
        }
        CHECK(end == "forty");
        CHECK(seen[40] == 1);
    }
}

}  // namespace

TEST_CASE("parallel_for: awaits the tasks that the function gives, each once") {
    support::in_simulations(each_task_once, 5);
    for (unsigned workers : {1u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        pool.run(each_task_once, pool);
    }
}

TEST_CASE("parallel_for: throws what a task threw") { support::in_simulations(failing_tasks, 5); }

TEST_CASE("parallel_for: a stop ends a loop of tasks that never wait") {
    for (unsigned workers : {1u, 3u}) {
        std::atomic<int> begun{0};
        auto spins = [&begun](int) -> peal::task<> {
            ++begun;
            support::spin_for(1us);
            co_return;
        };
        std::string end = end_of_stopped(workers, begun, [&spins]() -> peal::task<> {
            return peal::parallel_for(std::views::iota(0, 5'000'000), std::size_t{1000}, spins);
        });
        CHECK(end == "canceled");
        CHECK(begun < 5'000'000);
    }
}
