// SPDX-License-Identifier: MIT

// histogram: every length falls into the bucket that holds it; quantiles are never too low, and at most an eighth too high; merging is adding up.

#include <peal/histogram.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "support/catch.hpp"

using namespace std::chrono_literals;
using peal::histogram;

TEST_CASE("histogram: buckets follow each other without a gap, and none is wider than an eighth of what it holds") {
    std::chrono::nanoseconds before{-1};
    for (std::size_t i = 0; i < histogram::buckets; ++i) {
        const auto longest = histogram::longest_of(i);
        const auto shortest = before + 1ns;
        CHECK(longest >= shortest);
        CHECK(histogram::bucket_of(shortest) == i);
        CHECK(histogram::bucket_of(longest) == i);
        CHECK((longest - shortest) * 8 <= shortest);
        before = longest;
    }
    CHECK(before == histogram::longest);
    CHECK(histogram::bucket_of(histogram::longest + 1h) == histogram::buckets - 1);
    CHECK(histogram::bucket_of(-5ns) == 0);
}

TEST_CASE("histogram: an empty one has nothing to say") {
    histogram empty;
    CHECK(empty.count() == 0);
    CHECK(empty.sum() == 0ns);
    CHECK(empty.mean() == 0ns);
    CHECK(empty.quantile(0.5) == 0ns);
    CHECK(empty.count_up_to(histogram::longest) == 0);
}

TEST_CASE("histogram: quantiles beside the sorted lengths themselves, of two halves that are merged") {
    std::mt19937_64 random(7);
    std::lognormal_distribution<double> lengths(9, 3);  // 8 us in the middle, up to minutes
    std::vector<std::int64_t> all;
    histogram first, second;
    for (int i = 0; i < 10'000; ++i) {
        const auto length = static_cast<std::int64_t>(lengths(random));
        all.push_back(length);
        (i % 3 == 0 ? first : second).record(std::chrono::nanoseconds(length));
    }
    const std::uint64_t in_second = second.count();
    second.merge(first);
    CHECK(second.count() == in_second + first.count());
    std::sort(all.begin(), all.end());
    std::int64_t sum = 0;
    for (std::int64_t each : all) sum += each;
    CHECK(second.sum().count() == sum);
    CHECK(second.mean().count() == sum / 10'000);
    for (double fraction : {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0}) {
        const auto rank = std::max<std::size_t>(1, static_cast<std::size_t>(std::ceil(fraction * 10'000)));
        const std::int64_t exact = all[rank - 1];
        const std::int64_t told = second.quantile(fraction).count();
        CHECK(told >= exact);
        CHECK(told <= exact + exact / 8);
    }
    // Exact where a bucket ends: powers of two are where others look.
    for (int power = 4; power < 42; ++power) {
        const std::int64_t bound = (std::int64_t{1} << power) - 1;
        const auto exact = std::upper_bound(all.begin(), all.end(), bound) - all.begin();
        CHECK(second.count_up_to(std::chrono::nanoseconds(bound)) == static_cast<std::uint64_t>(exact));
    }
    CHECK(second.count_up_to(histogram::longest) == second.count());
}
