// SPDX-License-Identifier: MIT

#include <peal/parallel/parallel_reduce.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <numeric>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/error.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/context.hpp>

#include "support/catch.hpp"
#include "support/rounds.hpp"
#include "support/stopper.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::everywhere;
using support::verdict;

std::string text_of(int number) { return std::to_string(number) + ' '; }

void keeps_the_order(verdict& found) {
    for (int size : {0, 1, 2, 3, 7, 16, 17, 100, 1000}) {
        std::string expected;
        for (int i = 0; i < size; ++i) expected += text_of(i);
        auto numbers = std::views::iota(0, size);
        for (std::size_t grain : {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{64}, std::size_t{5000}}) {
            std::string text = peal::parallel_reduce(numbers, grain, std::string(), std::plus<>(), text_of);
            found.expect(text == expected, "another order, size " + std::to_string(size) + " grain " + std::to_string(grain));
        }
        found.expect(peal::parallel_reduce(numbers, std::string(), std::plus<>(), text_of) == expected, "another order");
    }
}

void kinds_of_ranges(verdict& found) {
    std::vector<long> numbers(10'000);
    std::iota(numbers.begin(), numbers.end(), 1);
    found.expect(peal::parallel_reduce(numbers, 0L, std::plus<>()) == 50'005'000, "another sum of a vector");
    const std::deque<long> others(numbers.begin(), numbers.end());
    found.expect(peal::parallel_reduce(others, 0L, std::plus<>()) == 50'005'000, "another sum of a deque");
    found.expect(peal::parallel_reduce(others | std::views::drop(9'999), 0L, std::plus<>()) == 10'000, "another sum of a view");
    auto larger = [](long a, long b) { return std::max(a, b); };
    found.expect(peal::parallel_reduce(numbers, -1L, larger) == 10'000, "another maximum");
    auto product = [](long x) { return x * 2; };
    found.expect(peal::parallel_reduce(numbers, std::size_t{16}, 0L, std::plus<>(), product) == 100'010'000, "another sum, mapped");
}

/// The neutral value may be of the type of a grain.
void counts_sizes(verdict& found) {
    std::vector<std::string> words{"a", "bc", "def"};
    auto size = [](const std::string& word) { return word.size(); };
    found.expect(peal::parallel_reduce(words, std::size_t{0}, std::plus<>(), size) == 6, "another number of letters");
    std::vector<std::size_t> numbers{1, 2, 3};
    found.expect(peal::parallel_reduce(numbers, std::size_t{0}, std::plus<>()) == 6, "another sum");
    found.expect(peal::parallel_reduce(numbers, std::size_t{1}, std::size_t{0}, std::plus<>()) == 6, "another sum, with a grain");
}

void nothing_gives_neutral(verdict& found) {
    std::vector<int> nothing;
    found.expect(peal::parallel_reduce(nothing, 42, std::plus<>()) == 42, "another neutral");
    found.expect(peal::parallel_reduce(nothing, std::size_t{4}, std::string("neutral"), std::plus<>(), text_of) == "neutral",
                 "another neutral text");
}

void fails(verdict& found) {
    for (std::size_t grain : {1u, 10u, 1000u}) {
        std::string end;
        try {
            auto fails_once = [](int i) {
                if (i == 77) throw std::runtime_error("seventy-seven");
                return i;
            };
            peal::parallel_reduce(std::views::iota(0, 100), grain, 0, std::plus<>(), fails_once);
        } catch (const std::runtime_error& failure) {
            end = failure.what();
        }
        found.expect(end == "seventy-seven", "ended with " + end);
    }
}

}  // namespace

TEST_CASE("parallel_reduce: combines in the order of the elements, whatever the size and grain") { everywhere(keeps_the_order); }

TEST_CASE("parallel_reduce: takes ranges of every kind") { everywhere(kinds_of_ranges); }

TEST_CASE("parallel_reduce: a neutral value of the type of a grain is no grain") { everywhere(counts_sizes); }

TEST_CASE("parallel_reduce: of nothing gives the neutral value") { everywhere(nothing_gives_neutral); }

TEST_CASE("parallel_reduce: throws what a function threw") { everywhere(fails); }

TEST_CASE("parallel_reduce: a stop ends it") {
    for (unsigned workers : {1u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        std::atomic<int> begun{0};
        auto task = pool.spawn([&begun] {
            auto slowly = [&begun](int i) {
                ++begun;
                support::spin_for(20us);
                return i;
            };
            return peal::parallel_reduce(std::views::iota(0, 10'000'000), std::size_t{50}, 0L, std::plus<>(), slowly);
        });
        while (begun < 10) std::this_thread::yield();
        task.request_stop();
        std::string end = "value";
        auto joining = [](peal::join_handle<long> joined) -> peal::task<long> { co_return co_await joined; };
        try {
            pool.run(joining, std::move(task));
        } catch (const std::exception& failure) {
            end = peal::is_canceled(failure) ? "canceled" : failure.what();
        }
        CHECK(end == "canceled");
        CHECK(begun < 1'000'000);
    }
}
