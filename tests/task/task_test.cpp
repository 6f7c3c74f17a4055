// SPDX-License-Identifier: MIT

#include <peal/task/task.hpp>

#include <memory>
#include <stdexcept>
#include <string>

#include <peal/task/sync_wait.hpp>

#include "support/catch.hpp"

namespace {

peal::task<int> ready(int value) { co_return value; }

peal::task<long> sum_of(int count) {
    long sum = 0;
    for (int i = 0; i < count; ++i) sum += co_await ready(i & 1);
    co_return sum;
}

peal::task<int> depth(int levels) {
    if (levels == 0) co_return 0;
    co_return 1 + co_await depth(levels - 1);
}

}  // namespace

TEST_CASE("task: ten million awaits of a ready task run in constant stack (P8)") {
    REQUIRE(peal::sync_wait(sum_of(10'000'000)) == 5'000'000);
}

TEST_CASE("task: a chain of a million frames starts and ends in constant stack (P8)") {
    REQUIRE(peal::sync_wait(depth(1'000'000)) == 1'000'000);
}
