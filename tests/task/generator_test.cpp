// SPDX-License-Identifier: MIT

#include <peal/task/generator.hpp>

#include <algorithm>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/sync_wait.hpp>

#include "support/catch.hpp"
#include "support/tracked.hpp"

namespace {

using support::tracked;

static_assert(std::ranges::input_range<peal::generator<int>>);
static_assert(std::ranges::view<peal::generator<int>>);
static_assert(std::ranges::input_range<peal::generator<const std::string&>>);
static_assert(std::is_same_v<std::ranges::range_reference_t<peal::generator<int>>, int&>);
static_assert(std::is_same_v<std::ranges::range_reference_t<peal::generator<const int&>>, const int&>);
static_assert(!std::copyable<peal::generator<int>>);

peal::generator<int> numbers(int first, int end) {
    for (int i = first; i < end; ++i) co_yield i;
}
peal::generator<int> all_numbers() {
    for (int i = 0;; ++i) co_yield i;
}

template <class T>
std::vector<T> to_vector(peal::generator<T> values) {
    std::vector<T> all;
    for (T& each : values) all.push_back(std::move(each));
    return all;
}

}  // namespace

TEST_CASE("generator: gives its values in order, in a range-for") {
    std::vector<int> seen;
    for (int each : numbers(3, 6)) seen.push_back(each);
    CHECK(seen == std::vector<int>{3, 4, 5});
}

TEST_CASE("generator: one without values, and one that was moved from, are empty") {
    for (int each : numbers(0, 0)) FAIL(each);
    peal::generator<int> from = numbers(0, 2);
    peal::generator<int> to = std::move(from);
    CHECK(from.begin() == from.end());
    CHECK(to_vector(std::move(to)) == std::vector<int>{0, 1});
    peal::generator<int> none;
    CHECK(none.begin() == none.end());
}

TEST_CASE("generator: goes with std::views and the algorithms of std::ranges") {
    int sum = 0;
    for (int each : all_numbers() | std::views::filter([](int n) { return n % 2 == 1; }) |
                        std::views::transform([](int n) { return n * n; }) | std::views::take(3)) {
        sum += each;
    }
    CHECK(sum == 1 + 9 + 25);
    auto read = numbers(0, 10);
    CHECK(std::ranges::count_if(read, [](int n) { return n > 6; }) == 3);
}

TEST_CASE("generator: is lazy, and infinite if it likes") {
    int made = 0;
    auto counting = [&made]() -> peal::generator<int> {
        for (;;) co_yield ++made;
    };
    auto values = counting();
    CHECK(made == 0);
    for (int each : values) {
        CHECK(made == each);
        if (each == 4) break;
    }
    CHECK(made == 4);
}

namespace {

peal::generator<std::unique_ptr<int>> owners() {
    co_yield std::make_unique<int>(1);
    auto named = std::make_unique<int>(2);
    co_yield std::move(named);
}
peal::generator<std::string> texts() {
    co_yield "a literal";
    std::string kept = "kept, and too long for a short string";
    co_yield kept;
    co_yield kept;  // the first was a copy
    co_yield {};
}
peal::generator<int&> elements(std::vector<int>& of) {
    for (int& each : of) co_yield each;
}
peal::generator<const std::string&> words(const std::vector<std::string>& of) {
    for (const std::string& each : of) co_yield each;
}

}  // namespace

TEST_CASE("generator: values that can only be moved, are converted, or are copies of a variable") {
    std::vector<int> seen;
    for (std::unique_ptr<int>& each : owners()) {
        std::unique_ptr<int> taken = std::move(each);
        seen.push_back(*taken);
    }
    CHECK(seen == std::vector<int>{1, 2});
    std::vector<std::string> all = to_vector(texts());
    REQUIRE(all.size() == 4);
    CHECK(all[0] == "a literal");
    CHECK(all[1] == all[2]);
    CHECK(all[1].size() > 16);
    CHECK(all[3].empty());
}

TEST_CASE("generator: references to the very objects, which may be changed") {
    std::vector<int> three{1, 2, 3};
    for (int& each : elements(three)) each *= 10;
    CHECK(three == std::vector<int>{10, 20, 30});
    const std::vector<std::string> two{"first", "second"};
    auto next = two.begin();
    for (const std::string& each : words(two)) CHECK(&each == &*next++);
    CHECK(next == two.end());
    for (auto it = words(two); const auto& each : it) CHECK(each.size() >= 5);
}

TEST_CASE("generator: -> reaches a member of the value") {
    const std::vector<std::string> one{"first"};
    auto values = words(one);
    CHECK(values.begin()->size() == 5);
}

// ---- exceptions -----------------------------------------------------------------------------------------------------------------

namespace {

peal::generator<int> fails_after(int count) {
    for (int i = 0; i < count; ++i) co_yield i;
    throw std::domain_error("no more");
}
peal::generator<int> survives() {
    int caught = 0;
    try {
        co_yield 1;
        throw std::domain_error("inside");
    } catch (const std::domain_error&) {
        caught = 2;
    }
    co_yield caught;
}

}  // namespace

TEST_CASE("generator: an exception comes out of begin() or ++, and then it is at its end") {
    auto at_once = fails_after(0);
    CHECK_THROWS_AS(at_once.begin(), std::domain_error);

    auto later = fails_after(1);
    auto at = later.begin();
    CHECK(*at == 0);
    CHECK_THROWS_AS(++at, std::domain_error);
    CHECK(at == later.end());
    CHECK(to_vector(survives()) == std::vector<int>{1, 2});
}

// ---- lifetime -------------------------------------------------------------------------------------------------------------------

namespace {

peal::generator<int> holds(tracked argument) {
    tracked local(argument.value() + 1);
    co_yield local.value();
    tracked second(7);
    co_yield second.value();
}
peal::generator<tracked> yields_tracked(int count) {
    for (int i = 0; i < count; ++i) co_yield tracked(i);
    tracked named(count);
    co_yield named;
    co_yield std::move(named);
}

}  // namespace

TEST_CASE("generator: destroyed before it began, in the middle, or at its end, it destroys what it holds") {
    std::int64_t frames = peal::detail::live_frames();
    {
        auto unread = holds(tracked(1));
        CHECK(tracked::alive() == 1);
        CHECK(peal::detail::live_frames() <= frames + 1);  // clang may put it into the frame of the caller
    }
    CHECK(tracked::clean());
    {
        std::vector<peal::generator<int>> kept;
        for (int i = 0; i < 3; ++i) kept.push_back(holds(tracked(i)));
        CHECK(peal::detail::live_frames() == frames + 3);
    }
    CHECK(tracked::clean());
    {
        auto half = holds(tracked(1));
        CHECK(*half.begin() == 2);
        CHECK(tracked::alive() == 2);
        half = holds(tracked(3));  // the one before is destroyed in its middle
        CHECK(tracked::alive() == 1);
        CHECK(*half.begin() == 4);
    }
    CHECK(tracked::clean());
    CHECK(to_vector(holds(tracked(1))) == std::vector<int>{2, 7});
    CHECK(tracked::clean());
    CHECK(peal::detail::live_frames() == frames);
}

TEST_CASE("generator: each value is constructed and destroyed once") {
    int sum = 0;
    for (tracked& each : yields_tracked(3)) sum += each.value();
    CHECK(sum == 0 + 1 + 2 + 3 + 3);
    CHECK(tracked::clean());
}

// ---- recursion and size ---------------------------------------------------------------------------------------------------------

namespace {

/// The numbers of a complete binary tree in order, by nested generators.
peal::generator<int> in_order(int first, int end) {
    if (first == end) co_return;
    int middle = first + (end - first) / 2;
    for (int each : in_order(first, middle)) co_yield each;
    co_yield middle;
    for (int each : in_order(middle + 1, end)) co_yield each;
}

peal::task<long> sum_in_a_task(peal::pool& pool, peal::generator<int> values) {
    long sum = 0;
    for (int each : values) {
        sum += each;
        co_await pool.schedule_on(static_cast<unsigned>(each) % 2);
    }
    co_return sum;
}

}  // namespace

TEST_CASE("generator: values of nested generators are passed on by a loop") {
    std::int64_t frames = peal::detail::live_frames();
    int expected = 0;
    for (int each : in_order(0, 1000)) {
        if (each != expected++) FAIL(each);
    }
    CHECK(expected == 1000);
    CHECK(peal::detail::live_frames() == frames);
}

TEST_CASE("generator: ten million values in one frame") {
    std::uint64_t blocks = peal::detail::frame_system_allocations();
    long sum = 0;
    for (int each : numbers(0, 10'000'000)) sum += each & 1;
    CHECK(sum == 5'000'000);
    CHECK(peal::detail::frame_system_allocations() <= blocks + 1);
}

TEST_CASE("generator: stands in a task and moves with it between workers") {
    peal::pool pool(peal::pool_options(2));
    CHECK(pool.run(sum_in_a_task, pool, numbers(0, 100)) == 4950);
}
