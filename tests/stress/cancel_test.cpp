// SPDX-License-Identifier: MIT

// Tasks that are canceled at random while they do everything that waits, and pools that are shut down at random in the middle of it. Every
// canceled task ends, nothing is lost by it, and the counts add up. Prints how many cancels and shutdowns there were, and how long
// shutdown took.

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>
#include <utility>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/stress.hpp"

using namespace std::chrono_literals;

namespace {

/// What the tasks of one pool have in common. Counts are relaxed: read after the pool is gone.
class ground {
  public:
    static constexpr std::size_t permits = 2;
    peal::mutex mutex;
    peal::semaphore semaphore{permits};
    peal::event never;
    peal::channel<int> items{4};
    std::pair<peal::net::tcp_stream, peal::net::tcp_stream> quiet = support::local_pair();
    long inside = 0;  // guarded by mutex
    std::atomic<long> sent{0};
    std::atomic<long> received{0};
    std::atomic<long> canceled{0};
    std::atomic<bool> overlapped{false};
};

peal::task<> sleep_at(ground&, support::dice& dice) { co_await peal::sleep_for(std::chrono::microseconds(dice.below(500))); }

peal::task<> lock_at(ground& at, support::dice&) {
    peal::mutex::guard guard = co_await at.mutex.lock();
    if (++at.inside != 1) at.overlapped = true;
    co_await peal::pool::current()->schedule();
    --at.inside;
}

peal::task<> permit_at(ground& at, support::dice& dice) {
    peal::semaphore::permit permit = co_await at.semaphore.acquire(1 + dice.below(ground::permits));
    co_await peal::pool::current()->schedule();
}

peal::task<> send_at(ground& at, support::dice&) {
    co_await at.items.send(1);
    at.sent.fetch_add(1, std::memory_order_relaxed);
}

peal::task<> receive_at(ground& at, support::dice&) {
    auto item = co_await at.items.receive();
    if (item) at.received.fetch_add(*item, std::memory_order_relaxed);
}

peal::task<> select_at(ground& at, support::dice& dice) {
    auto first = co_await peal::select(at.items.receive(), at.never.wait(), peal::sleep_for(std::chrono::microseconds(dice.below(500))));
    if (first.index == 0) at.received.fetch_add(std::get<0>(first.value).value_or(0), std::memory_order_relaxed);
}

peal::task<> read_at(ground& at, support::dice&) {
    std::array<std::byte, 8> buffer;
    static_cast<void>(co_await at.quiet.first.read(buffer));
}

peal::task<> limited_at(ground& at, support::dice& dice) {
    static_cast<void>(co_await peal::as_result(peal::timeout(std::chrono::microseconds(dice.below(500)), at.never.wait())));
}

peal::task<> children_at(ground& at, support::dice& dice) {
    peal::scope children;
    children.spawn(lock_at, std::ref(at), std::ref(dice));
    children.spawn(receive_at, std::ref(at), std::ref(dice));
    co_await children.join();
}

/// Does something, again and again, until it is canceled. `busy` falls when it ends.
peal::task<> restless(ground& at, std::uint64_t seed, std::atomic<unsigned>& busy) {
    class leaving {
      public:
        leaving(ground& of, std::atomic<unsigned>& count) : of_(of), count_(count) {}
        ~leaving() {
            of_.canceled.fetch_add(1, std::memory_order_relaxed);
            count_.fetch_sub(1, std::memory_order_release);
        }

      private:
        ground& of_;
        std::atomic<unsigned>& count_;
    };
    leaving when_left(at, busy);
    constexpr peal::task<> (*everything[])(ground&, support::dice&) = {sleep_at,  lock_at, permit_at,  send_at,    receive_at,
                                                                       select_at, read_at, limited_at, children_at};
    support::dice dice(seed);
    for (;;) {
        co_await everything[dice.below(std::size(everything))](at, dice);
        co_await peal::pool::current()->schedule();
    }
}

/// Starts and cancels them in batches until it is canceled itself.
peal::task<> cancel_at_random(ground& at, peal::pool& pool, std::uint64_t seed) {
    support::dice dice(seed);
    std::atomic<unsigned> busy{0};
    peal::scope inside(peal::on_error::keep_going);
    for (;;) {
        std::vector<peal::stop_handle> tasks;
        for (std::uint64_t i = 1 + dice.below(8); i != 0; --i) {
            busy.fetch_add(1, std::memory_order_relaxed);
            tasks.push_back(inside.spawn(restless, std::ref(at), dice.next(), std::ref(busy)).stop_handle());
        }
        if (dice.one_in(8)) {
            co_await peal::sleep_for(std::chrono::microseconds(dice.below(500)));
        } else {
            for (std::uint64_t i = dice.below(8); i != 0; --i) co_await pool.schedule();
        }
        for (peal::stop_handle& each : tasks) each.request_stop();
        while (busy.load(std::memory_order_acquire) != 0) {
            co_await pool.schedule();
            if (peal::this_task::stop_requested()) break;
        }
        co_await peal::sleep_for(std::chrono::microseconds(1));  // where it ends
    }
}

}  // namespace

TEST_CASE("stress: tasks are canceled, and their pools shut down, at any moment") {
    support::dice dice(11);
    support::stress_clock clock;
    std::vector<double> milliseconds;
    long cancels = 0;
    while (clock.goes_on() || milliseconds.size() < 20) {
        ground at;
        peal::pool pool(peal::pool_options(1 + static_cast<unsigned>(dice.below(3))));
        for (int i = 0; i < 3; ++i) {
            pool.spawn(peal::spawn_options("cancel_at_random"), cancel_at_random, std::ref(at), pool, dice.next()).detach();
        }
        std::this_thread::sleep_for(std::chrono::microseconds(dice.below(60'000)));

        auto began = std::chrono::steady_clock::now();
        peal::shutdown_report report = pool.shutdown(std::chrono::milliseconds(dice.below(2)), 30'000ms);
        milliseconds.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
        peal::pool_counts counts = pool.counts();
        INFO("shutdown " << milliseconds.size() << ", not stopped: " << (report.not_stopped.empty() ? "none" : report.not_stopped.front()));
        REQUIRE(report.not_stopped.empty());
        REQUIRE(counts.live == 0);
        REQUIRE(counts.failed == 0);
        REQUIRE(counts.accepted == counts.completed + counts.failed + counts.canceled);
        REQUIRE_FALSE(at.overlapped.load());
        REQUIRE(at.mutex.try_lock());
        REQUIRE(at.semaphore.available() == ground::permits);
        REQUIRE(at.sent.load() - at.received.load() == static_cast<long>(at.items.size()));
        cancels += at.canceled.load();
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    auto at_share = [&](double share) { return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))]; };
    std::printf("%ld cancels, %zu shutdowns under load; a shutdown took p50 %.2f ms, p99 %.2f ms, at most %.2f ms\n", cancels,
                milliseconds.size(), at_share(0.5), at_share(0.99), milliseconds.back());
}
