// SPDX-License-Identifier: MIT

// Groups of tasks with weights, on whole pools.

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/combine/when_all.hpp>
#include <peal/parallel/fork_join.hpp>
#include <peal/parallel/join.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/sync/channel.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"

namespace {

using namespace std::chrono_literals;
using peal::priority;
using peal::share;
using peal::spawn_options;
using clock_type = std::chrono::steady_clock;

peal::task<> await(peal::join_handle<> handle) { co_await handle; }

/// Computes for `each` between two yields, and counts what it really took.
peal::task<> burn(std::chrono::nanoseconds each, const std::atomic<bool>& ended, std::atomic<std::int64_t>& sum) {
    while (!ended) {
        auto begin = clock_type::now();
        auto now = begin;
        while (now - begin < each) now = clock_type::now();
        sum += (now - begin).count();
        co_await peal::yield();
    }
}

/// Time that tasks of `first` got while they and those of `second` always had something to do, divided by that of the others.
double ratio_of_times(peal::pool& pool, share first, share second, std::chrono::nanoseconds each_of_first,
                      std::chrono::nanoseconds each_of_second) {
    std::atomic<bool> ended{false};
    std::atomic<std::int64_t> first_sum{0};
    std::atomic<std::int64_t> second_sum{0};
    std::vector<peal::join_handle<>> all;
    for (unsigned i = 0; i < 2 * pool.size(); ++i) {
        all.push_back(pool.spawn(spawn_options("first", first), burn, each_of_first, std::ref(ended), std::ref(first_sum)));
        all.push_back(pool.spawn(spawn_options("second", second), burn, each_of_second, std::ref(ended), std::ref(second_sum)));
    }
    auto enough = std::chrono::nanoseconds(300ms).count();
    auto give_up = clock_type::now() + 60s;  // a guard against hanging
    while (first_sum + second_sum < enough && clock_type::now() < give_up) std::this_thread::sleep_for(1ms);
    double ratio = static_cast<double>(first_sum) / static_cast<double>(second_sum);
    ended = true;
    for (auto& each : all) pool.run(await, std::move(each));
    return ratio;
}

peal::task<> note(std::string& order, char who) {
    order += who;
    co_return;
}

peal::task<share> own() { co_return peal::detail::this_thread.current->share(); }

peal::task<std::vector<share>> shares_below(int depth) {
    std::vector<share> seen{peal::detail::this_thread.current->share()};
    seen.push_back(co_await own());
    auto [a, b] = co_await peal::when_all(own(), own());
    seen.push_back(a);
    seen.push_back(b);
    if (depth != 0) {
        peal::scope children;
        auto handle = children.spawn(shares_below, depth - 1);
        for (share each : co_await handle) seen.push_back(each);
        co_await children.join();
    }
    co_return seen;
}

}  // namespace

TEST_CASE("share: time in proportion to the weights, whatever the stretches are") {
    for (unsigned workers : {1u, 2u}) {
        peal::pool pool{peal::pool_options(workers)};
        share heavy = pool.make_share(300);
        share light = pool.make_share(100);
        auto ratio_is_about = [&](double expected, share first, share second, std::chrono::nanoseconds each_of_first,
                                  std::chrono::nanoseconds each_of_second) {
            // Other programs may have run in between: what is wrong is wrong each time.
            for (int attempt = 0; attempt < 6; ++attempt) {
                double ratio = ratio_of_times(pool, first, second, each_of_first, each_of_second) / expected;
                if (ratio > 0.6 && ratio < 1.5) return true;
            }
            return false;
        };
        CHECK(ratio_is_about(3.0, heavy, light, 50us, 50us));
        // What a sanitizer adds to each stretch is the share's, too, and not measured here.
        CHECK(ratio_is_about(1 / 3.0, light, heavy, 500us, support::is_sanitized ? 300us : 20us));
        CHECK(ratio_is_about(3.0, heavy, share(), 50us, 50us));
    }
}

TEST_CASE("share: a share with a small weight does not keep others from what lies in the queue of one worker") {
    auto part_of_small = [](unsigned workers) {
        std::atomic<bool> ended{false};
        std::atomic<std::int64_t> small_sum{0};
        std::atomic<std::int64_t> others_sum{0};
        peal::pool pool{peal::pool_options(workers)};
        share small = pool.make_share(5);
        std::vector<peal::join_handle<>> all;
        for (unsigned i = 0; i < 2 * workers; ++i) {
            all.push_back(pool.spawn(spawn_options("small", small), burn, 50us, std::ref(ended), std::ref(small_sum)));
        }
        auto spawns = [&]() -> peal::task<> {  // all on the worker where it runs
            peal::scope tasks;
            for (int i = 0; i < 20; ++i) tasks.spawn(burn, 50us, std::ref(ended), std::ref(others_sum));
            co_await tasks.join();
        };
        all.push_back(pool.spawn(std::ref(spawns)));
        auto enough = std::chrono::nanoseconds(300ms).count();
        auto give_up = clock_type::now() + 60s;  // a guard against hanging
        while (small_sum + others_sum < enough && clock_type::now() < give_up) std::this_thread::sleep_for(1ms);
        double part = static_cast<double>(small_sum) / static_cast<double>(small_sum + others_sum);
        ended = true;
        for (auto& each : all) pool.run(await, std::move(each));
        return part;
    };
    for (unsigned workers : {1u, 2u}) {
        bool is_small = false;
        for (int attempt = 0; attempt < 6 && !is_small; ++attempt) is_small = part_of_small(workers) < 0.2;  // 5 of 105, or half if others starve
        CHECK(is_small);
    }
}

TEST_CASE("share: forks of a task in no share are taken by others while a share is busy") {
    peal::pool pool{peal::pool_options(2)};
    share busy = pool.make_share(10);
    std::atomic<bool> ended{false};
    std::atomic<std::int64_t> sum{0};
    std::vector<peal::join_handle<>> all;
    for (int i = 0; i < 4; ++i) all.push_back(pool.spawn(spawn_options("busy", busy), burn, 50us, std::ref(ended), std::ref(sum)));
    bool both_at_once = pool.run([] {
        bool first_saw = false;
        bool second_saw = false;
        std::atomic<int> there{0};
        auto meets = [&there] {
            ++there;
            return support::busy_until([&there] { return there.load() == 2; });
        };
        peal::join([&] { first_saw = meets(); }, [&] { second_saw = meets(); });
        return first_saw && second_saw;
    });
    CHECK(both_at_once);
    ended = true;
    for (auto& each : all) pool.run(await, std::move(each));
}

TEST_CASE("share: what the ring of a worker completes while that waits in join() is run by another") {
    peal::pool pool{peal::pool_options(3)};
    share group = pool.make_share(10);
    auto ends = support::local_pair();
    std::atomic<bool> is_there{false};
    std::atomic<bool> has_run{false};
    std::atomic<bool> in_time{false};
    auto reads = [&]() -> peal::task<> {
        co_await pool.schedule_on(0);
        is_there = true;
        std::array<std::byte, 1> buffer{};
        static_cast<void>(co_await ends.first.read(buffer));  // on the ring of worker 0
        has_run = true;
    };
    auto joins = [&]() -> peal::task<> {
        co_await pool.schedule_on(0);
        std::atomic<bool> is_taken{false};  // the second, by another worker
        peal::join([&] { support::busy_until([&] { return is_taken.load(); }); },
                   [&] {
                       is_taken = true;
                       std::this_thread::sleep_for(30ms);  // worker 0 sleeps
                       CHECK(::send(ends.second.native_handle(), "x", 1, 0) == 1);
                       in_time = support::busy_until([&] { return has_run.load(); });
                   });
    };
    auto reader = pool.spawn(spawn_options("reads", group), std::ref(reads));
    CHECK(support::busy_until([&] { return is_there.load(); }));
    auto joiner = pool.spawn(std::ref(joins));
    pool.run(await, std::move(joiner));
    pool.run(await, std::move(reader));
    CHECK(in_time);
}

TEST_CASE("share: passed on to children and to the parts of a task, not to tasks of another pool") {
    peal::pool pool{peal::pool_options(2)};
    peal::pool other{peal::pool_options(1)};
    share group = pool.make_share(10);
    CHECK(group);
    CHECK(group.weight() == 10);
    CHECK_FALSE(share());
    CHECK_FALSE(pool.make_share(10) == group);

    auto collect = [](peal::pool& its, share of) -> peal::task<std::vector<share>> {
        auto handle = its.spawn(spawn_options("in a share", of), shares_below, 2);
        co_return co_await handle;
    };
    CHECK(pool.run(collect, std::ref(pool), group) == std::vector<share>(12, group));
    CHECK(pool.run(shares_below, 2) == std::vector<share>(12, share()));

    CHECK(pool.run([](peal::pool& its, share of) -> peal::task<share> {
        auto outer = [](peal::pool& same) -> peal::task<share> {
            spawn_options in_none("in none", share());
            auto inner = same.spawn(in_none, own);
            co_return co_await inner;
        };
        auto handle = its.spawn(spawn_options("in a share", of), outer, std::ref(its));
        co_return co_await handle;
    }, std::ref(pool), group) == share());
    auto elsewhere = other.spawn(spawn_options("a share of another pool", group), own);
    CHECK(other.run([](peal::join_handle<share> handle) -> peal::task<share> { co_return co_await handle; }, std::move(elsewhere)) == share());
    CHECK_FALSE(spawn_options("as before", {}).says_share());

    auto crosses = [](peal::pool& there) -> peal::task<share> {
        auto handle = there.spawn(own);
        co_return co_await handle;
    };
    auto from_the_share = [&](peal::pool& its) -> peal::task<share> {
        auto handle = its.spawn(spawn_options("crosses", group), crosses, std::ref(other));
        co_return co_await handle;
    };
    CHECK(pool.run(std::ref(from_the_share), std::ref(pool)) == share());
}

TEST_CASE("share: first come, first served within one; high priority outside goes first") {
    peal::pool pool{peal::pool_options(1)};
    share group = pool.make_share(100);
    std::string order;
    auto all = [&]() -> peal::task<> {
        peal::scope tasks;
        for (char who : {'a', 'b', 'c'}) tasks.spawn(spawn_options("shared", group, priority::high), note, std::ref(order), who);
        for (char who : {'d', 'e'}) tasks.spawn(spawn_options("shared", group, priority::low), note, std::ref(order), who);
        for (char who : {'1', '2', '3'}) tasks.spawn(spawn_options("high", share(), priority::high), note, std::ref(order), who);
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    CHECK(order == "123abcde");
}

TEST_CASE("share: what has low priority and is in none comes at least once in 64 items") {
    peal::pool pool{peal::pool_options(1)};
    share group = pool.make_share(10'000);
    std::string order;
    auto all = [&]() -> peal::task<> {
        peal::scope tasks;
        auto yields = [](std::string& sequence) -> peal::task<> {
            for (int i = 0; i < 400; ++i) {
                sequence += 's';
                co_await peal::yield();
            }
        };
        for (int i = 0; i < 3; ++i) tasks.spawn(spawn_options("shared", group), yields, std::ref(order));
        for (int i = 0; i < 10; ++i) tasks.spawn(spawn_options("low", share(), priority::low), note, std::ref(order), 'l');
        co_await tasks.join();
    };
    pool.run(std::ref(all));
    std::size_t longest = 0;
    std::size_t without = 0;
    for (char each : order.substr(0, order.rfind('l'))) {
        without = each == 'l' ? 0 : without + 1;
        longest = std::max(longest, without);
    }
    CHECK(order.size() == 1'210);
    CHECK(longest == 63);
}

TEST_CASE("share: sleeps, is woken, is moved, forks, and is spawned from outside and in bulk") {
    peal::pool pool{peal::pool_options(2)};
    peal::pool other{peal::pool_options(1)};
    share groups[] = {pool.make_share(1), pool.make_share(10'000)};
    std::atomic<int> ends{0};
    peal::channel<int> numbers(4);
    auto sends = [&](int count) -> peal::task<> {
        for (int i = 0; i < count; ++i) co_await numbers.send(i);
        ++ends;
    };
    auto receives = [&](int count) -> peal::task<> {
        for (int i = 0; i < count; ++i) static_cast<void>(co_await numbers.receive());
        ++ends;
    };
    auto travels = [&]() -> peal::task<> {
        for (int i = 0; i < 200; ++i) {
            co_await pool.schedule_on(static_cast<unsigned>(i) % 2);
            co_await other.schedule();
            co_await pool.schedule(i % 2 == 0 ? priority::low : priority::high);
            if (i % 50 == 0) co_await peal::sleep_for(1ms);
        }
        ++ends;
    };
    auto forks = [&]() -> peal::task<> {
        auto leaf = [](int value) -> peal::task<int> {
            co_await peal::yield();
            co_return value;
        };
        for (int i = 0; i < 100; ++i) {
            auto [a, b] = co_await peal::fork_join(leaf(1), leaf(2));
            if (a + b != 3) co_return;
        }
        ++ends;
    };
    auto in_bulk = [&]() -> peal::task<> {
        peal::scope tasks;
        std::vector<int> range(100);
        auto one = [&ends](int) -> peal::task<> {
            co_await peal::yield();
            ++ends;
        };
        tasks.spawn_bulk(spawn_options("bulk"), range, one);
        co_await tasks.join();
        ++ends;
    };
    std::vector<peal::join_handle<>> all;
    for (share group : groups) {
        all.push_back(pool.spawn(spawn_options("sends", group), std::ref(sends), 500));
        all.push_back(pool.spawn(spawn_options("receives", group), std::ref(receives), 500));
        all.push_back(pool.spawn(spawn_options("travels", group), std::ref(travels)));
        all.push_back(pool.spawn(spawn_options("forks", group), std::ref(forks)));
        all.push_back(pool.spawn(spawn_options("in bulk", group), std::ref(in_bulk)));
    }
    for (auto& each : all) pool.run(await, std::move(each));
    CHECK(ends == 2 * 105);
}

TEST_CASE("share: a scope that waits in its destructor finds its children there, and leaves the others in their share") {
    peal::pool pool{peal::pool_options(1)};
    share group = pool.make_share(100);
    std::atomic<int> children{0};
    std::atomic<int> others{0};
    auto count = [](std::atomic<int>& counted) -> peal::task<> {
        ++counted;
        co_return;
    };
    auto leaves = [&]() -> peal::task<> {
        for (int i = 0; i < 10; ++i) pool.spawn(spawn_options("other", group), std::ref(count), std::ref(others)).detach();
        {
            peal::scope tasks;
            for (int i = 0; i < 10; ++i) tasks.spawn(spawn_options("child", group), std::ref(count), std::ref(children));
        }
        CHECK(children == 10);
        CHECK(others == 0);
        co_return;
    };
    pool.run(std::ref(leaves));
    CHECK(pool.shutdown(60s, 60s).drained);
    CHECK(others == 10);
}

TEST_CASE("share: shutdown stops what waits for its turn") {
    std::atomic<int> stopped{0};
    auto yields = [&]() -> peal::task<> {
        while (!peal::this_task::stop_requested()) co_await peal::yield();
        ++stopped;
    };
    peal::pool pool{peal::pool_options(2)};
    share group = pool.make_share(5);
    for (int i = 0; i < 20; ++i) pool.spawn(spawn_options("yields", group), std::ref(yields)).detach();
    auto report = pool.shutdown(1ms, 60s);
    CHECK(report.not_stopped.empty());
    CHECK(stopped == 20);
}

TEST_CASE("share: in a simulation a seed replays a run with shares, too") {
    auto trace_of = [](std::uint64_t seed) {
        peal::simulation simulation(seed, 2);
        share group = simulation.pool().make_share(10);
        std::string order;
        auto turns = [](std::string& sequence, char who) -> peal::task<> {
            for (int i = 0; i < 5; ++i) {
                sequence += who;
                co_await peal::yield();
            }
        };
        auto all = [&]() -> peal::task<> {
            peal::scope tasks;
            tasks.spawn(spawn_options("shared", group), std::ref(turns), std::ref(order), 's');
            tasks.spawn(std::ref(turns), std::ref(order), 'n');
            co_await tasks.join();
        };
        simulation.pool().run(std::ref(all));
        CHECK(std::count(order.begin(), order.end(), 's') == 5);
        CHECK(order.size() == 10);
        return order;
    };
    CHECK(trace_of(7) == trace_of(7));
    std::vector<std::string> orders;
    for (std::uint64_t seed = 0; seed < 20; ++seed) orders.push_back(trace_of(seed));
    std::sort(orders.begin(), orders.end());
    CHECK(std::unique(orders.begin(), orders.end()) - orders.begin() > 5);
}

TEST_CASE("share: errors") {
    peal::pool pool{peal::pool_options(1)};
    try {
        pool.make_share(0);
        FAIL("a weight of 0 was accepted");
    } catch (const std::invalid_argument& refused) {
        CHECK(std::string(refused.what()).find("the weight is 0, it must be 1 to 10000") != std::string::npos);
    }
    CHECK_THROWS_AS(pool.make_share(10'001), std::invalid_argument);
    for (int i = 0; i < 64; ++i) CHECK(pool.make_share(10'000));
    CHECK_THROWS_AS(pool.make_share(1), std::length_error);
}
