// SPDX-License-Identifier: MIT

// The workers of a pool: none sleeps while a task waits for somebody to run it, and one that waits in the destructor of a scope runs
// what it must, keeps what it may not run, and holds up nobody else.

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <stop_token>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/net/tcp.hpp>
#include <peal/parallel/join.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/blocking.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/ends.hpp"
#include "support/sanitized.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/verdict.hpp"
#include "support/work.hpp"

namespace {

using namespace std::chrono_literals;
using support::busy_until;
using support::verdict;

constexpr int rounds = support::is_sanitized ? 100 : 400;

void set(std::atomic<bool>& flag) { flag = true; }

peal::task<bool> busy_on(peal::pool& pool, unsigned worker, const std::atomic<bool>& flag) {
    co_await pool.schedule_on(worker);
    co_return busy_until([&flag] { return flag.load(); });
}

}  // namespace

// ---- searching ------------------------------------------------------------------------------------------------------------------

TEST_CASE("worker: one that was woken to search and met other work does not keep the rest asleep") {
    for (unsigned workers : {2u, 3u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int round = 0; round < rounds; ++round) {
            std::this_thread::sleep_for(std::chrono::microseconds(50 + round));  // all sleep, mostly
            std::atomic<bool> ran{false};
            // Somebody is woken to search for this ...
            pool.spawn(set, std::ref(ran)).detach();
            // ... and finds in its inbox, if it is this worker, what goes on only after the other has run.
            REQUIRE(peal::sync_wait(busy_on(pool, static_cast<unsigned>(round) % workers, ran)));
        }
    }
}

namespace {

/// Ends when as many as there are workers run at once.
bool meets(std::atomic<unsigned>& here, unsigned all) {
    ++here;
    return busy_until([&] { return here == all; });
}

peal::task<bool> all_meet(peal::pool& pool) {
    std::atomic<unsigned> here{0};
    std::vector<peal::join_handle<bool>> others;
    for (unsigned i = 1; i < pool.size(); ++i) others.push_back(pool.spawn(meets, std::ref(here), pool.size()));
    bool met = meets(here, pool.size());
    for (auto& each : others) {
        bool other = co_await each;
        met = met && other;
    }
    co_return met;
}

}  // namespace

TEST_CASE("worker: as many tasks as there are workers run at once, although none of them comes back") {
    for (unsigned workers : {2u, 3u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int round = 0; round < rounds / 4; ++round) {
            std::this_thread::sleep_for(std::chrono::microseconds(50 + round));
            REQUIRE(pool.run(all_meet, pool));  // spawned by one of them
            std::atomic<unsigned> here{0};
            std::vector<peal::join_handle<bool>> all;
            for (unsigned i = 0; i < workers; ++i) all.push_back(pool.spawn(meets, std::ref(here), workers));  // from outside
            REQUIRE(busy_until([&] { return here == workers; }));
            for (auto& each : all) while (!each.has_ended()) std::this_thread::yield();
        }
    }
}

TEST_CASE("worker: while one computes, what comes from outside is run by another") {
    for (unsigned workers : {2u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int round = 0; round < rounds / 10; ++round) {
            std::this_thread::sleep_for(std::chrono::microseconds(50 + round));
            std::atomic<bool> over{false};
            std::atomic<bool> began{false};
            auto computing = pool.spawn([&over, &began] {
                began = true;
                return busy_until([&over] { return over.load(); });
            });
            for (int i = 0; i < 10; ++i) {
                std::atomic<bool> ran{false};
                pool.spawn(set, std::ref(ran)).detach();
                REQUIRE(busy_until([&ran] { return ran.load(); }));
                if (i % 2 == 0) std::this_thread::sleep_for(100us);  // the others fall asleep
            }
            over = true;
            REQUIRE(busy_until([&computing] { return computing.has_ended(); }));
            CHECK(began);
        }
    }
}

// ---- the destructor of a scope ----------------------------------------------------------------------------------------------------

namespace {

peal::task<> grandchild(peal::pool& pool, unsigned hops, bool pinned, std::atomic<int>& ended) {
    for (unsigned i = 0; i < hops; ++i) {
        if (pinned) {
            co_await pool.schedule_on(i % pool.size());
        } else {
            co_await pool.schedule();
        }
    }
    static_cast<void>(co_await peal::as_result(peal::sleep_for(1h)));
    ++ended;
}

/// Leaves its scope while its children are in queues, inboxes and timers.
peal::task<> child(peal::pool& pool, unsigned hops, std::atomic<int>& ended) {
    peal::scope tasks;
    for (unsigned i = 0; i < 6; ++i) tasks.spawn(grandchild, pool, i, i % 2 == 0, std::ref(ended));
    for (unsigned i = 0; i < hops; ++i) co_await pool.schedule();
}

peal::task<> leaves_children_that_leave(peal::pool& pool, unsigned hops, unsigned child_hops, std::atomic<int>& ended) {
    peal::scope tasks;
    for (unsigned i = 0; i < 3; ++i) tasks.spawn(child, pool, child_hops + i, std::ref(ended));
    for (unsigned i = 0; i < hops; ++i) co_await pool.schedule();
}

constexpr int grandchildren = 3 * 6;

}  // namespace

TEST_CASE("worker: destructors of scopes that are nested on one worker find their tasks in its queues") {
    for (unsigned workers : {1u, 2u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int round = 0; round < (workers == 1 ? 5 : 1); ++round) {
            for (unsigned child_hops = 0; child_hops < 8; ++child_hops) {
                std::atomic<int> ended{0};
                auto leaver = pool.spawn(leaves_children_that_leave, pool, 0u, child_hops, std::ref(ended));
                REQUIRE(busy_until([&leaver] { return leaver.has_ended(); }));
                REQUIRE(ended == grandchildren);
            }
        }
        CHECK(pool.shutdown(20s, 0s).drained);
    }
}

// A destructor that has lost patience must not run the parent of the very task that lies below it on the stack: the parent's destructor
// would wait for that task.
TEST_CASE("worker: destructors of scopes that meet on one worker find their tasks") {
    for (unsigned workers : {1u, 2u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (unsigned hops : {0u, 3u}) {
            for (unsigned child_hops : {0u, 3u}) {
                std::atomic<int> ended{0};
                // Two at a time: each meets the tasks of the other.
                auto other = pool.spawn(leaves_children_that_leave, pool, child_hops, hops, std::ref(ended));
                auto leaver = pool.spawn(leaves_children_that_leave, pool, hops, child_hops, std::ref(ended));
                REQUIRE(busy_until([&] { return other.has_ended() && leaver.has_ended(); }));
                REQUIRE(ended == 2 * grandchildren);
            }
        }
        CHECK(pool.shutdown(20s, 0s).drained);
    }
}

namespace {

peal::task<> visits(peal::pool& pool, unsigned worker, int times, verdict& judged, std::atomic<int>& made) {
    for (int i = 0; i < times; ++i) {
        co_await pool.schedule_on(worker);
        judged.expect(peal::this_worker::index() == worker, "pinned, and run by another worker");
        ++made;
    }
}

peal::task<> leaves_scopes_on(peal::pool& pool, unsigned worker, verdict& judged, std::atomic<int>& ended) {
    for (unsigned i = 0; i < static_cast<unsigned>(rounds); ++i) {
        co_await pool.schedule_on(worker);
        judged.expect(peal::this_worker::index() == worker, "pinned, and run by another worker");
        peal::scope tasks;
        for (unsigned k = 0; k < 4; ++k) tasks.spawn(grandchild, pool, i % 4 + k, k % 2 == 0, std::ref(ended));
    }
}

}  // namespace

TEST_CASE("worker: tasks that are pinned to a worker that waits in a destructor run there, every one") {
    for (unsigned workers : {1u, 2u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        verdict judged;
        std::atomic<int> made{0};
        std::atomic<int> ended{0};
        std::vector<peal::join_handle<>> all;
        for (unsigned i = 0; i < 4; ++i) all.push_back(pool.spawn(visits, pool, 0u, rounds, judged, std::ref(made)));
        all.push_back(pool.spawn(leaves_scopes_on, pool, 0u, judged, std::ref(ended)));
        for (int i = 0; i < rounds; ++i) {  // and from outside, straight into its inbox
            peal::sync_wait(visits(pool, 0, 1, judged, made));
        }
        for (auto& each : all) REQUIRE(busy_until([&each] { return each.has_ended(); }));
        CHECK(made == 5 * rounds);
        CHECK(ended == 4 * rounds);
        CHECK(judged.text() == "");
    }
}

namespace {

peal::task<> takes_no_notice(const std::atomic<bool>& enough, peal::net::tcp_stream& quiet) {
    std::array<std::byte, 8> buffer;
    while (!enough) {
        try {
            static_cast<void>(co_await quiet.read(buffer));
        } catch (...) {
        }
    }
}

peal::task<> leaves_it(const std::atomic<bool>& enough, peal::net::tcp_stream quiet, std::atomic<bool>& leaving) {
    peal::scope tasks;
    tasks.spawn(takes_no_notice, std::cref(enough), std::ref(quiet));
    co_await peal::sleep_for(1ms);
    leaving = true;
}

peal::task<> rests(int times) {
    for (int i = 0; i < times; ++i) co_await peal::sleep_for(100us);
}

}  // namespace

TEST_CASE("worker: a child that takes no notice of the stop holds up its scope, and not the other workers") {
    for (unsigned workers : {2u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        auto ends = support::local_pair();
        std::atomic<bool> enough{false};
        std::atomic<bool> leaving{false};
        auto leaver = pool.spawn(leaves_it, std::cref(enough), std::move(ends.first), std::ref(leaving));
        REQUIRE(busy_until([&leaving] { return leaving.load(); }));
        std::vector<peal::join_handle<>> all;
        for (int i = 0; i < 50; ++i) {
            all.push_back(pool.spawn(rests, 5));
            if (i % 10 == 0) std::this_thread::sleep_for(1ms);
        }
        bool all_ran = true;
        for (auto& each : all) all_ran = busy_until([&each] { return each.has_ended(); }) && all_ran;
        CHECK(all_ran);
        CHECK_FALSE(leaver.has_ended());
        enough = true;
        CHECK(busy_until([&leaver] { return leaver.has_ended(); }));
    }
}

namespace {

/// Puts itself, and an item before and two after it, into the queue of its worker, which tells nobody before it comes back; and does not
/// come back before the first of them has run.
class queue_and_block : peal::detail::work_item {
  public:
    queue_and_block(peal::pool& pool, support::work& first, std::array<support::work, 2>& rest, const std::atomic<bool>& first_has_run,
                    std::atomic<bool>& in_time) noexcept
        : pool_(pool), first_(first), rest_(rest), first_has_run_(first_has_run), in_time_(in_time) {}
    bool await_ready() const noexcept { return false; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        handle = awaiting;
        owner = &awaiting.promise().owner();
        const std::atomic<bool>& first_has_run = first_has_run_;  // this may be gone when the second item has been taken
        std::atomic<bool>& in_time = in_time_;
        peal::rt::scheduler& scheduler = pool_.scheduler();
        std::array<support::work, 2>& rest = rest_;
        peal::detail::enqueue(scheduler, first_);
        peal::detail::enqueue(scheduler, *this);
        for (support::work& each : rest) peal::detail::enqueue(scheduler, each);
        in_time = busy_until([&first_has_run] { return first_has_run.load(); });
    }
    void await_resume() const noexcept {}

  private:
    peal::pool& pool_;
    support::work& first_;
    std::array<support::work, 2>& rest_;
    const std::atomic<bool>& first_has_run_;
    std::atomic<bool>& in_time_;
};

}  // namespace

TEST_CASE("worker: what the destructor of a scope has stolen beyond what it runs is run by another") {
    std::atomic<bool> has_begun{false};
    std::atomic<bool> first_has_run{false};
    std::atomic<int> rest_has_run{0};
    std::atomic<bool> in_time{false};
    support::work first([&] { first_has_run = true; });
    std::array<support::work, 2> rest{support::work([&] { ++rest_has_run; }), support::work([&] { ++rest_has_run; })};
    peal::pool pool{peal::pool_options(3)};  // ends before what its workers run
    auto child = [&]() -> peal::task<> {
        has_begun = true;
        std::this_thread::sleep_for(50ms);  // the third worker sleeps, and the destructor has begun to wait
        queue_and_block queued(pool, first, rest, first_has_run, in_time);
        co_await queued;
        busy_until([&] { return first_has_run.load(); });  // on the worker of the destructor
    };
    auto leaves = [&]() -> peal::task<> {
        peal::scope own;
        own.spawn(std::ref(child));
        CHECK(busy_until([&] { return has_begun.load(); }));
        co_return;
    };
    pool.run(std::ref(leaves));
    CHECK(busy_until([&] { return in_time.load(); }));  // written when the worker that is blocked comes back
    CHECK(busy_until([&] { return rest_has_run.load() == 2; }));
}

// ---- timers that run code of the program ----------------------------------------------------------------------------------------

namespace {

/// Nobody stands in for anybody: what is seen is what the workers themselves see to.
peal::pool_options two_alone() {
    peal::pool_options options(2);
    options.rescue_after = 0ns;
    return options;
}

/// On worker 0, a timer that fires at `when` and runs `callback` then, there.
template <class Callback>
peal::task<> fire_at(peal::pool& pool, peal::clock::time_point when, Callback callback) {
    co_await pool.schedule_on(0);
    auto call = peal::blocking([callback](std::stop_token stop) {
        std::atomic<bool> over{false};
        std::stop_callback at_stop(stop, [&] {
            callback();
            over = true;
        });
        while (!over) std::this_thread::sleep_for(1ms);
    });
    auto limited = peal::timeout_at(when, std::move(call));
    static_cast<void>(co_await peal::as_result(limited));
}

void compute_until(peal::clock::time_point when) {
    while (peal::clock::now() < when) {
    }
}

peal::task<> read_and_tell(peal::pool& pool, peal::net::tcp_stream& from, std::atomic<bool>& told) {
    co_await pool.schedule_on(0);
    std::array<std::byte, 1> buffer;
    static_cast<void>(co_await from.read(buffer));
    told = true;
}

bool write_one(peal::net::tcp_stream& to) {
    const char one = 'x';
    return ::send(to.native_handle(), &one, 1, 0) == 1;
}

/// On worker 0, 15 ms long, while another worker does what is waited for until 30 ms: a byte comes for a task, and then a timer is due that waits for that task.
using busy_wait = peal::task<bool> (*)(peal::pool& pool, peal::net::tcp_stream& to, peal::clock::time_point begin);

void check_that_a_timer_holds_up_nothing(busy_wait wait_on) {
    peal::pool pool(two_alone());
    auto [near, far] = support::local_pair();
    std::atomic<bool> heard{false};
    bool was_run = false;
    const auto begin = peal::clock::now() + 20ms;
    auto wait = [&heard, &was_run] { was_run = busy_until([&heard] { return heard.load(); }); };
    auto timer = pool.spawn(fire_at<decltype(wait)>, std::ref(pool), begin + 10ms, wait);
    auto reading = pool.spawn(read_and_tell, std::ref(pool), std::ref(near), std::ref(heard));
    CHECK(pool.run(wait_on, std::ref(pool), std::ref(far), begin));
    pool.run(support::take<void>, std::move(reading));
    pool.run(support::take<void>, std::move(timer));
    CHECK(was_run);
}

peal::task<> keep_worker_one(peal::pool& pool, peal::clock::time_point until) {
    co_await pool.schedule_on(1);
    compute_until(until);
}

peal::task<bool> wait_in_a_destructor(peal::pool& pool, peal::net::tcp_stream& to, peal::clock::time_point begin) {
    co_await peal::sleep_until(begin);
    co_await pool.schedule_on(0);
    peal::scope children;
    children.spawn(keep_worker_one, std::ref(pool), begin + 30ms);
    compute_until(begin + 5ms);
    const bool is_written = write_one(to);
    compute_until(begin + 15ms);  // the completion and the timer are there together, and the child is not
    co_return is_written;
}

peal::task<bool> wait_in_join(peal::pool& pool, peal::net::tcp_stream& to, peal::clock::time_point begin) {
    co_await peal::sleep_until(begin);
    co_await pool.schedule_on(0);
    bool is_written = false;
    peal::join(
        [&] {
            compute_until(begin + 5ms);
            is_written = write_one(to);
            compute_until(begin + 15ms);
        },
        [&] { compute_until(begin + 30ms); });
    co_return is_written;
}

}  // namespace

TEST_CASE("worker: a timer that fires in the destructor of a scope does not hold up what came from the ring") {
    check_that_a_timer_holds_up_nothing(wait_in_a_destructor);
}

TEST_CASE("worker: a timer that fires in join() does not hold up what came from the ring") { check_that_a_timer_holds_up_nothing(wait_in_join); }

TEST_CASE("worker: a task that yields is not held up by what a timer runs") {
    peal::pool pool(two_alone());
    std::atomic<bool> in_callback{false};
    std::atomic<unsigned> turns{0};
    bool was_run = false;
    auto wait = [&] {
        const unsigned before = turns;
        in_callback = true;
        was_run = busy_until([&] { return turns > before + 2; });
    };
    auto timer = pool.spawn(fire_at<decltype(wait)>, std::ref(pool), peal::clock::now() + 20ms, wait);
    auto yield_on = [&](peal::pool& its) -> peal::task<> {
        co_await its.schedule_on(0);
        for (unsigned left = 100; left != 0;) {
            ++turns;
            co_await peal::yield();
            if (in_callback) --left;
        }
    };
    auto yielding = pool.spawn(yield_on, std::ref(pool));
    pool.run(support::take<void>, std::move(timer));
    pool.run(support::take<void>, std::move(yielding));
    CHECK(was_run);
}

TEST_CASE("worker: timers that are due do not wait for what another one runs: their tasks end meanwhile") {
    peal::pool pool(two_alone());
    std::atomic<bool> in_callback{false}, ended{false};
    bool was_run = false;
    auto wait = [&] {
        in_callback = true;
        was_run = busy_until([&] { return ended.load(); });
    };
    const auto when = peal::clock::now() + 20ms;
    peal::event happened;
    auto wait_limited = [&](peal::pool& its) -> peal::task<> {
        co_await its.schedule_on(0);
        auto waiting = happened.wait();
        auto limited = peal::timeout_at(when + 100us, waiting);
        static_cast<void>(co_await peal::as_result(limited));
        ended = true;
    };
    // Both are due in the same look, this one second.
    auto second = pool.spawn(wait_limited, std::ref(pool));
    auto first = pool.spawn(fire_at<decltype(wait)>, std::ref(pool), when, wait);
    auto keep = [when](peal::pool& its) -> peal::task<> {
        co_await peal::sleep_until(when - 5ms);
        co_await its.schedule_on(0);
        compute_until(when + 1ms);
    };
    auto keeping = pool.spawn(keep, std::ref(pool));
    auto tell = [&](peal::pool& its) -> peal::task<> {
        co_await its.schedule_on(1);
        busy_until([&] { return in_callback || ended; });
        happened.set();
    };
    pool.run(tell, std::ref(pool));
    pool.run(support::take<void>, std::move(keeping));
    pool.run(support::take<void>, std::move(first));
    pool.run(support::take<void>, std::move(second));
    CHECK(was_run);
}

TEST_CASE("worker: what was woken in the destructor of a scope does not wait for whoever goes on after it") {
    peal::pool pool(two_alone());
    for (int round = 0; round < 10; ++round) {
        peal::event happened;
        std::atomic<bool> ran{false};
        auto wait = [&]() -> peal::task<> {
            co_await happened.wait();
            ran = true;
        };
        auto waiting = pool.spawn(wait);
        auto wake_on = [&](peal::pool& its) -> peal::task<> {
            co_await its.schedule_on(0);
            happened.set();
        };
        auto go_on = [&](peal::pool& its) -> peal::task<bool> {
            co_await its.schedule_on(0);
            {
                peal::scope children;
                children.spawn(wake_on, std::ref(its));
                std::this_thread::sleep_for(1ms);  // the other worker sleeps, mostly
            }
            co_return busy_until([&] { return ran.load(); });
        };
        CHECK(pool.run(go_on, std::ref(pool)));
        pool.run(support::take<void>, std::move(waiting));
    }
}
