// SPDX-License-Identifier: MIT

// pool.metrics(): the numbers add up, when all is quiet and afterwards; they only grow while it works; a kept worker is seen; the text for Prometheus.
// (That a parser which is not ours takes the text: metrics_text_test.py.)

#include <peal/pool/metrics.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/blocking.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/sockets.hpp"

using namespace std::chrono_literals;
using peal::pool_metrics;
using peal::worker_metrics;
using support::busy_until;

namespace {

std::uint64_t sum(const pool_metrics& of, std::uint64_t worker_metrics::*part) {
    std::uint64_t all = 0;
    for (const worker_metrics& each : of.workers) all += each.*part;
    return all;
}

bool adds_up(const pool_metrics& of) {
    return of.tasks.live == 0 && of.tasks.accepted == of.tasks.completed + of.tasks.failed + of.tasks.canceled &&
           sum(of, &worker_metrics::operations_begun_total) == sum(of, &worker_metrics::operations_ended_total) &&
           sum(of, &worker_metrics::timers) == 0 && sum(of, &worker_metrics::queued) == 0 && of.waiting_outside == 0;
}

/// 40 messages there and back, some of them with a limit; sleeps, hops, failures.
peal::task<> mixed() {
    auto ends = support::local_pair();
    auto echo = [](peal::net::tcp_stream& stream) -> peal::task<> {
        std::array<std::byte, 16> buffer;
        while (std::size_t bytes = co_await stream.read(buffer)) co_await stream.write_all(std::span(buffer).first(bytes));
    };
    auto fail = []() -> peal::task<> {
        co_await peal::yield();
        throw std::runtime_error("on purpose");
    };
    peal::scope all(peal::on_error::keep_going);
    all.spawn(echo, std::ref(ends.first));
    for (int i = 0; i < 3; ++i) all.spawn(fail);
    std::array<std::byte, 16> back;
    for (int i = 0; i < 40; ++i) {
        co_await ends.second.write_all(std::span(back).first(8));
        auto reading = ends.second.read(back);
        static_cast<void>(co_await peal::timeout(10s, reading));
        co_await peal::yield();
    }
    co_await peal::sleep_for(1ms);
    co_await peal::blocking([] {});
    ends.second.close();
    co_await all.join();
}

peal::pool_options quiet(unsigned workers) {
    peal::pool_options options(workers);
    options.name = "counted";
    options.unhandled = peal::unhandled::count;
    return options;
}

}  // namespace

TEST_CASE("metrics: add up when all is quiet, and after the end") {
    const unsigned workers = GENERATE(1u, 2u, 4u);
    peal::pool pool(quiet(workers));
    CHECK(pool.metrics().name == "counted");
    CHECK(pool.metrics().workers.size() == workers);
    for (int i = 0; i < 10; ++i) pool.run(mixed);
    CHECK(busy_until([&] { return adds_up(pool.metrics()); }));
    pool_metrics seen = pool.metrics();
    CHECK(seen.tasks.accepted == 50);
    CHECK(seen.tasks.failed == 30);
    CHECK(seen.tasks.completed == 20);
    CHECK(sum(seen, &worker_metrics::operations_begun_total) >= 10 * 4 * 40);
    CHECK(sum(seen, &worker_metrics::enters_total) > 0);
    CHECK(sum(seen, &worker_metrics::items_total) >= seen.tasks.accepted + sum(seen, &worker_metrics::operations_ended_total) / 4);
    CHECK(seen.blocking_queued == 0);
    CHECK(seen.pending == std::array<std::uint64_t, 3>{});
    // One task in 64 is timed, the first of each place they come from is.
    CHECK(seen.wait_time.count() >= 1);
    CHECK(seen.wait_time.count() <= 1 + workers);
    CHECK(seen.task_time.count() == seen.wait_time.count());
    CHECK(seen.task_time.sum() >= 1ms);  // the first is a mixed(), which sleeps so long
    CHECK(seen.run_time.count() > 0);
    CHECK(seen.run_time.count() <= sum(seen, &worker_metrics::polls_total) / 8 + workers + sum(seen, &worker_metrics::parks_total));
    CHECK(seen.frames >= 0);
    CHECK(seen.frame_bytes > 0);
    for (const worker_metrics& each : seen.workers) {
        CHECK((each.driver == "uring" || each.driver == "epoll"));
        CHECK(each.wakes_in_vain_total <= each.wakes_received_total);
        CHECK(each.steals_won_total <= each.steals_tried_total);
        CHECK(each.buffers_lent == 0);
        CHECK_FALSE(each.is_spare);
    }
    // Wakes are counted by whoever is woken; those that workers have sent are some of these, and threads outside send the others.
    CHECK(sum(seen, &worker_metrics::wakes_sent_total) <= sum(seen, &worker_metrics::wakes_received_total) + workers);

    CHECK(pool.shutdown(60s, 60s).drained);
    pool_metrics after = pool.metrics();
    CHECK(adds_up(after));
    CHECK(after.tasks.accepted == 50);
    CHECK(sum(after, &worker_metrics::operations_begun_total) >= sum(seen, &worker_metrics::operations_begun_total));
}

TEST_CASE("metrics: only grow, whoever looks while the pool works") {
    peal::pool pool(quiet(2));
    std::atomic<bool> over{false};
    std::atomic<int> shrunk{0};
    std::vector<std::thread> lookers;
    for (int i = 0; i < 2; ++i) {
        lookers.emplace_back([&] {
            pool_metrics before = pool.metrics();
            while (!over) {
                pool_metrics now = pool.metrics();
                for (auto part : {&worker_metrics::items_total, &worker_metrics::parks_total, &worker_metrics::polls_total, &worker_metrics::wakes_received_total,
                                  &worker_metrics::steals_tried_total, &worker_metrics::lifo_hits_total, &worker_metrics::operations_begun_total,
                                  &worker_metrics::operations_ended_total, &worker_metrics::enters_total}) {
                    if (sum(now, part) < sum(before, part)) ++shrunk;
                }
                if (now.tasks.accepted < before.tasks.accepted) ++shrunk;
                before = std::move(now);
            }
        });
    }
    for (int i = 0; i < 20; ++i) pool.run(mixed);
    pool.shutdown(60s, 60s);
    over = true;
    for (auto& each : lookers) each.join();
    CHECK(shrunk == 0);
    CHECK(adds_up(pool.metrics()));
}

TEST_CASE("metrics: a kept worker is seen, and who stands in for it") {
    peal::pool_options options = quiet(2);
    options.on_stall = [](const peal::stall&) {};
    peal::pool pool(options);
    std::atomic<bool> there{false}, released{false};
    auto keep = [](peal::pool& its, std::atomic<bool>& arrived, std::atomic<bool>& go) -> peal::task<> {
        co_await its.schedule_on(1);
        arrived = true;
        busy_until([&go] { return go.load(); });
    };
    pool.spawn(keep, std::ref(pool), std::ref(there), std::ref(released)).detach();
    REQUIRE(busy_until([&] { return there.load(); }));
    CHECK(busy_until([&] {
        pool_metrics now = pool.metrics();
        return now.held_up == 1 && now.workers[1].now == worker_metrics::state::held_up && now.workers[1].held_up_total == 1 &&
               now.workers[0].rounds_for_others_total > 0;
    }));
    released = true;
    CHECK(busy_until([&] { return pool.metrics().held_up == 0; }));
    CHECK(busy_until([&] { return pool.metrics().workers[0].now == worker_metrics::state::parked; }));
}

TEST_CASE("metrics: a spare worker is listed when it has served") {
    peal::pool_options options = quiet(2);
    options.on_stall = [](const peal::stall&) {};
    peal::pool pool(options);
    std::atomic<int> there{0};
    std::atomic<bool> released{false};
    auto keep = [](std::atomic<int>& arrived, std::atomic<bool>& go) {
        ++arrived;
        busy_until([&go] { return go.load(); });
    };
    for (int i = 0; i < 2; ++i) pool.spawn(keep, std::ref(there), std::ref(released)).detach();
    REQUIRE(busy_until([&] { return there == 2; }));
    CHECK(pool.run([] { return 7; }) == 7);
    REQUIRE(pool.metrics().workers.size() == 3);
    CHECK(pool.metrics().workers[2].is_spare);
    CHECK(busy_until([&] { return pool.metrics().workers[2].items_total > 0; }));  // counted when they have ended
    released = true;
    CHECK(busy_until([&] { return pool.metrics().workers[2].now == worker_metrics::state::resting; }));
}

TEST_CASE("metrics: waits, tasks and items are timed as long as they take") {
    peal::pool_options options = quiet(1);
    options.rescue_after = 0ns;
    peal::pool pool(options);
    std::atomic<bool> there{false}, released{false};
    auto keep = [](std::atomic<bool>& arrived, std::atomic<bool>& go) {
        arrived = true;
        busy_until([&go] { return go.load(); });
    };
    auto first = pool.spawn(keep, std::ref(there), std::ref(released));  // timed
    REQUIRE(busy_until([&] { return there.load(); }));
    std::vector<peal::join_handle<void>> behind;
    for (int i = 1; i <= 128; ++i) behind.push_back(pool.spawn(peal::spawn_options("", i % 2 == 0 ? peal::priority::low : peal::priority::high), [] {}));
    CHECK(pool.metrics().pending == std::array<std::uint64_t, 3>{64, 0, 64});
    std::this_thread::sleep_for(20ms);
    released = true;
    pool.run([](std::vector<peal::join_handle<void>>& all) -> peal::task<> {
        for (auto& each : all) co_await each;
    }, std::ref(behind));
    pool.shutdown(60s, 60s);
    pool_metrics seen = pool.metrics();
    CHECK(seen.pending == std::array<std::uint64_t, 3>{});
    CHECK(seen.wait_time.count() == 3);  // of each priority the first one, and run() is the second of its own
    CHECK(seen.wait_time.quantile(0.6) >= 20ms);
    CHECK(seen.task_time.quantile(1) >= 20ms);
    CHECK(seen.task_time.quantile(0.5) < seen.task_time.quantile(1));
    // While it is kept it is busy, as it has said when it was back.
    CHECK(seen.workers[0].busy >= 20ms);
}

TEST_CASE("metrics: buffers are lent until they come back") {
    peal::pool pool(quiet(1));
    auto ends = support::local_pair();
    auto take = [](peal::pool& its, peal::net::tcp_stream& from, peal::net::tcp_stream& to) -> peal::task<std::uint64_t> {
        static constexpr char text[] = "words";
        co_await to.write_all(std::as_bytes(std::span(text)));
        auto lease = co_await from.receive();
        co_return its.metrics().workers[0].buffers_lent;
    };
    CHECK(pool.run(take, std::ref(pool), std::ref(ends.first), std::ref(ends.second)) == 1);
    CHECK(pool.metrics().workers[0].buffers_lent == 0);
}

TEST_CASE("metrics: as text, each name once, whatever the pools are called") {
    peal::pool_options odd(1);
    odd.name = "a \"b\"\\\n";
    peal::pool first(quiet(2)), second(odd);
    first.run(mixed);
    const std::array<pool_metrics, 2> both{first.metrics(), second.metrics()};
    const std::string text = peal::prometheus_text(both);
    CHECK(text.find("peal_tasks_failed_total{pool=\"counted\"} 3\n") != std::string::npos);
    CHECK(text.find("peal_tasks_failed_total{pool=\"a \\\"b\\\"\\\\\\n\"} 0\n") != std::string::npos);
    CHECK(text.find("peal_worker_items_total{pool=\"counted\",worker=\"1\"} ") != std::string::npos);
    const std::string type = "# TYPE peal_tasks_accepted_total counter\n";
    CHECK(text.find(type) != std::string::npos);
    CHECK(text.find(type) == text.rfind(type));
    CHECK(text.ends_with("\n"));
    // Histograms: cumulative, up to all of them.
    const std::string count = std::to_string(both[0].wait_time.count());
    CHECK(text.find("peal_task_wait_seconds_bucket{pool=\"counted\",le=\"+Inf\"} " + count + "\n") != std::string::npos);
    CHECK(text.find("peal_task_wait_seconds_bucket{pool=\"counted\",le=\"17.179869184\"} " + count + "\n") != std::string::npos);
    CHECK(text.find("peal_task_wait_seconds_count{pool=\"counted\"} " + count + "\n") != std::string::npos);
    CHECK(text.find("\npeal_frames ") != std::string::npos);
    CHECK(peal::prometheus_text(both[0]).find("a \\\"b") == std::string::npos);
}

TEST_CASE("child: print metrics", "[.child]") {
    peal::pool_options odd(1);
    odd.name = "a \"b\"\\\n";
    peal::pool first(quiet(2)), second(odd);
    first.run(mixed);
    const std::array<pool_metrics, 2> both{first.metrics(), second.metrics()};
    std::printf("<<<\n%s>>>\n", peal::prometheus_text(both).c_str());
}
