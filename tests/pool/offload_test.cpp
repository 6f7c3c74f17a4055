// SPDX-License-Identifier: MIT

// offload: a plain function runs on a worker of the pool; its result or exception comes back, and so does the caller.

#include <peal/pool/pool.hpp>

#include <atomic>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>

#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/stopper.hpp"

using namespace std::chrono_literals;

namespace {

int add(int a, int b) { return a + b; }
int throwing(int) { throw std::runtime_error("no number"); }
std::unique_ptr<int> make(int value) { return std::make_unique<int>(value); }
std::size_t use(std::vector<int> values, std::unique_ptr<int> more) { return values.size() + static_cast<std::size_t>(*more); }
int& same(int& value) { return value; }
void touch(std::atomic<int>& touched) { ++touched; }
peal::pool* pool_here() { return peal::pool::current(); }

class no_default {
  public:
    explicit no_default(int value) : value(value) {}
    no_default(no_default&&) = default;
    int value;
};
no_default make_no_default(int value) { return no_default(value); }

/// Every kind of result, and back on the pool it came from.
peal::task<std::string> offload_everything(peal::pool& target, peal::pool* home) {
    auto back = [home] { return peal::pool::current() == home; };
    int sum = co_await target.offload(add, 1, 2);
    if (sum != 3 || !back()) co_return "value";

    std::unique_ptr<int> made = co_await target.offload(make, 7);
    if (*made != 7 || !back()) co_return "move-only result";

    std::vector<int> values(100);
    std::size_t used = co_await target.offload(use, values, std::move(made));
    if (used != 107 || values.size() != 100 || !back()) co_return "arguments copied and moved";

    int local = 1;
    int& reference = co_await target.offload(same, std::ref(local));
    if (&reference != &local || !back()) co_return "reference result";

    std::atomic<int> touched{0};
    co_await target.offload(touch, std::ref(touched));
    if (touched != 1 || !back()) co_return "void";

    no_default other = co_await target.offload(make_no_default, 9);
    if (other.value != 9 || !back()) co_return "no default constructor";

    peal::pool* where = co_await target.offload(pool_here);
    if (where != &target || !back()) co_return "place";

    std::string caught;
    try {
        static_cast<void>(co_await target.offload(throwing, 1));
    } catch (const std::runtime_error& failure) {
        caught = failure.what();
    }
    if (caught != "no number" || !back()) co_return "exception";

    auto named = [&local](int by) { return local += by; };
    int counted = co_await target.offload(named, 5);
    if (counted != 6 || local != 6 || !back()) co_return "a lambda with a capture";
    co_return "";
}

}  // namespace

TEST_CASE("offload: from a worker of the pool") {
    for (unsigned workers : {1u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        CHECK(pool.run(offload_everything, pool, &pool) == "");
    }
}

TEST_CASE("offload: from a worker of another pool, which it comes back to") {
    peal::pool home(peal::pool_options(1)), target(peal::pool_options(2));
    for (int i = 0; i < 20; ++i) CHECK(home.run(offload_everything, target, &home) == "");
}

TEST_CASE("offload: from a thread that is no worker, by sync_wait") {
    auto body = [](peal::pool& pool, std::thread::id caller) -> peal::task<std::string> {
        if (std::this_thread::get_id() != caller) co_return "did not begin here";
        int sum = co_await pool.offload(add, 20, 22);
        if (sum != 42 || peal::pool::current() != &pool) co_return "result";
        co_return co_await offload_everything(pool, &pool);
    };
    peal::pool pool(peal::pool_options(2));
    // From the first offload on the task is on a worker of the pool, and stays in it.
    CHECK(peal::sync_wait(body(pool, std::this_thread::get_id())) == "");
    CHECK(peal::sync_wait(pool.offload(add, 3, 4)) == 7);
    CHECK_THROWS_AS(peal::sync_wait(pool.offload(throwing, 3)), std::runtime_error);
    for (int i = 0; i < 1000; ++i) REQUIRE(peal::sync_wait(pool.offload(add, i, 1)) == i + 1);
}

TEST_CASE("offload: many at once use all workers, and none is lost") {
    auto one = [](peal::pool& target, int i) -> peal::task<int> {
        auto work = [](int number) {
            support::spin_for(20us);
            return number * (peal::this_worker::index().has_value() ? 1 : -1);
        };
        co_return co_await target.offload(work, i);
    };
    auto all = [](peal::pool& target, decltype(one) each_of_them) -> peal::task<long> {
        std::vector<peal::join_handle<int>> begun;
        for (int i = 0; i < 2000; ++i) begun.push_back(peal::spawn(each_of_them, target, i));
        long sum = 0;
        for (auto& each : begun) sum += co_await each;
        co_return sum;
    };
    peal::pool home(peal::pool_options(1)), target(peal::pool_options(4));
    CHECK(home.run(all, target, one) == 2000 * 1999 / 2);
}

TEST_CASE("offload: a task that was asked to stop gets its result all the same, and comes back") {
    // A plain function cannot be interrupted; what it gave is not thrown away.
    auto body = [](peal::pool& home, peal::pool& target, std::atomic<bool>& begun) -> peal::task<bool> {
        auto slow = [](std::atomic<bool>& flag) {
            flag = true;
            std::this_thread::sleep_for(20ms);
            return 5;
        };
        int value = co_await target.offload(slow, std::ref(begun));
        co_return value == 5 && peal::pool::current() == &home && peal::this_task::stop_requested();
    };
    auto take = [](peal::join_handle<bool> handle) -> peal::task<bool> { co_return co_await handle; };
    peal::pool home(peal::pool_options(1)), target(peal::pool_options(1));
    std::atomic<bool> begun{false};
    auto handle = home.spawn(body, home, target, std::ref(begun));
    while (!begun) std::this_thread::sleep_for(1ms);
    handle.request_stop();
    CHECK(home.run(take, std::move(handle)));
}
