// SPDX-License-Identifier: MIT

#include <peal/parallel/join.hpp>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <variant>

#include <peal/parallel/fork_join.hpp>
#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/context.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/sanitized.hpp"
#include "support/stopper.hpp"
#include "support/tracked.hpp"
#include "support/verdict.hpp"

namespace {

using namespace std::chrono_literals;
using support::busy_until;
using support::tracked;
using support::verdict;

constexpr int times = support::is_sanitized ? 1 : 10;

/// Where the cases below run: on no worker, in a simulation, and on a pool.
template <class Function>
void everywhere(Function fn) {
    fn();
    peal::simulation sim(1);
    sim.pool().run(fn);
    for (unsigned workers : {1u, 2u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        pool.run(fn);
    }
}

long fib(int n) {
    if (n < 2) return n;
    auto [a, b] = peal::join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
    return a + b;
}

/// Two functions of which each waits for the other to begin: so the second runs on another worker. It stays there until `second_may_end`.
class meeting {
  public:
    explicit meeting(verdict& found) noexcept : found_(found) {}

    void first() {
        first_began_ = true;
        found_.expect(busy_until([this] { return second_began_.load(); }), "nobody took the second function");
    }
    void second() {
        found_.expect(std::this_thread::get_id() != caller_, "the second function runs on the caller's thread");
        second_began_ = true;
        busy_until([this] { return first_began_.load(); });
    }

  private:
    verdict& found_;
    const std::thread::id caller_ = std::this_thread::get_id();
    std::atomic<bool> first_began_{false};
    std::atomic<bool> second_began_{false};
};

}  // namespace

// ---- values ---------------------------------------------------------------------------------------------------------------------

namespace {

void kinds_of_values() {
    int lent = 5;
    int calls = 0;
    auto values = peal::join([] { return 1; }, [] { return std::make_unique<int>(2); });
    static_assert(std::is_same_v<decltype(values), std::pair<int, std::unique_ptr<int>>>);
    CHECK(values.first == 1);
    CHECK(*values.second == 2);

    auto half = peal::join([&calls] { ++calls; }, [] { return 3; });
    static_assert(std::is_same_v<decltype(half), std::pair<std::monostate, int>>);
    CHECK(half.second == 3);
    auto other_half = peal::join([] { return 4; }, [&calls] { ++calls; });
    static_assert(std::is_same_v<decltype(other_half), std::pair<int, std::monostate>>);
    CHECK(other_half.first == 4);
    CHECK(calls == 2);

    static_assert(std::is_void_v<decltype(peal::join([] {}, [] {}))>);
    int more_calls = 0;  // one each: the two may run at the same time
    peal::join([&calls] { ++calls; }, [&more_calls] { ++more_calls; });
    CHECK(calls == 3);
    CHECK(more_calls == 1);

    auto references = peal::join([&]() -> int& { return lent; }, [&]() -> const int& { return calls; });
    static_assert(std::is_same_v<decltype(references), std::pair<int&, const int&>>);
    CHECK(&references.first == &lent);
    CHECK(&references.second == &calls);

    // Functions that change, and functions that are lent.
    auto counts = [count = 0]() mutable { return ++count; };
    auto counts_too = [count = 10]() mutable { return ++count; };
    auto counted = peal::join(counts, std::ref(counts_too));
    CHECK(counted.first == 1);
    CHECK(counted.second == 11);
    CHECK(counts() == 2);
    CHECK(counts_too() == 12);
}

void moves_values() {
    auto values = peal::join([] { return tracked(1); }, [] { return tracked(2); });
    CHECK(values.first.value() == 1);
    CHECK(values.second.value() == 2);
}

void values_from_elsewhere(verdict& found) {
    int lent = 5;
    for (int i = 0; i < 50; ++i) {
        meeting one(found);
        auto [first, second] = peal::join(
            [&] {
                one.first();
                return tracked(1);
            },
            [&] {
                one.second();
                return tracked(2);
            });
        found.expect(first.value() == 1 && second.value() == 2, "other values");
        meeting two(found);
        auto [third, fourth] = peal::join([&] { two.first(); },
                                          [&]() -> int& {
                                              two.second();
                                              return lent;
                                          });
        found.expect(&fourth == &lent, "another reference");
        meeting three(found);
        int set = 0;
        peal::join([&] { three.first(); },
                   [&] {
                       three.second();
                       set = 1;
                   });
        found.expect(set == 1, "returned before the second had ended");
    }
}

}  // namespace

TEST_CASE("join: gives values of every kind") {
    everywhere(kinds_of_values);
    tracked::forget_counts();
    everywhere(moves_values);
    CHECK(tracked::clean());
    CHECK(tracked::copies() == 0);
}

TEST_CASE("join: divides a computation, wherever it is called") {
    CHECK(fib(15) == 610);
    everywhere([] {
        if (fib(20) != 6765) throw std::runtime_error("another number");
    });
}

TEST_CASE("join: another worker takes the second, also one that slept") {
    verdict found;
    peal::pool pool{peal::pool_options(2)};
    pool.run(values_from_elsewhere, std::ref(found));
    for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(2ms);
        pool.run([&found] {
            meeting two(found);
            peal::join([&] { two.first(); }, [&] { two.second(); });
        });
    }
    CHECK(found.text() == "");
    CHECK(tracked::clean());
}

TEST_CASE("parallel_invoke: calls each once") {
    everywhere([] {
        std::atomic<int> sum{0};
        peal::parallel_invoke([&] { sum += 1; });
        peal::parallel_invoke([&] { sum += 10; }, [&] { return sum += 20; });
        peal::parallel_invoke([&] { sum += 100; }, [&] { sum += 200; }, [&] { sum += 300; }, [&] { sum += 400; }, [&] { sum += 500; });
        if (sum != 1531) throw std::runtime_error("another sum");
    });
}

// ---- failures -------------------------------------------------------------------------------------------------------------------

namespace {

template <class Function>
std::string end_of(Function fn) {
    try {
        fn();
    } catch (const std::exception& failure) {
        return failure.what();
    }
    return "value";
}
void fails(const char* how) { throw std::runtime_error(how); }

/// Where nobody else can take the second, it is certain that it does not begin.
void failures(bool alone, verdict& found) {
    bool began = false;
    std::string first = end_of([&] { peal::join([] { fails("a"); }, [&] { began = true; }); });
    found.expect(first == "a", first);
    found.expect(!alone || !began, "the second began");
    began = false;
    std::string second = end_of([&] { peal::join([&] { began = true; }, [] { fails("b"); }); });
    found.expect(second == "b", second);
    found.expect(began, "the first did not begin");
    std::string nested = end_of([&] {
        peal::join([] { peal::join([] { return 1; }, [] { fails("c"); }); }, [] { fails("d"); });
    });
    found.expect(nested == "c", nested);
    bool last = false;
    std::string third = end_of([&] { peal::parallel_invoke([] {}, [] { fails("e"); }, [&] { last = true; }); });
    found.expect(third == "e", third);
    found.expect(!alone || !last, "the last began");
}

/// Which of two that run at the same time fail.
void failures_elsewhere(verdict& found) {
    for (int failing = 0; failing < 4; ++failing) {
        for (int i = 0; i < 20; ++i) {
            meeting two(found);
            tracked here(1);
            bool ended = false;
            std::string end = end_of([&] {
                peal::join(
                    [&] {
                        two.first();
                        if ((failing & 1) != 0) fails("a");
                    },
                    [&] {
                        two.second();
                        support::spin_for(20us);
                        ended = here.value() == 1;
                        if ((failing & 2) != 0) fails("b");
                    });
            });
            found.expect(ended, "left before the second had ended");
            found.expect(end == ((failing & 1) != 0 ? "a" : failing == 2 ? "b" : "value"), end);
        }
    }
}

}  // namespace

TEST_CASE("join: throws what the first threw, and then the second does not begin; else what the second threw") {
    verdict found;
    failures(true, found);
    peal::simulation sim(1, 4);
    sim.pool().run(failures, true, std::ref(found));
    for (unsigned workers : {1u, 2u, 4u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int i = 0; i < 100; ++i) pool.run(failures, workers == 1, std::ref(found));
    }
    CHECK(found.text() == "");
}

TEST_CASE("join: waits for a second that others have taken, whoever fails") {
    verdict found;
    peal::pool pool{peal::pool_options(2)};
    pool.run(failures_elsewhere, std::ref(found));
    CHECK(found.text() == "");
}

// ---- depth, and many ------------------------------------------------------------------------------------------------------------

namespace {

/// More nested than the queue holds.
int nested(int levels, std::atomic<int>& calls) {
    if (levels == 0) {
        if (peal::detail::this_thread.forks != nullptr && peal::detail::current_scheduler() != nullptr) std::this_thread::sleep_for(1ms);
        return 0;
    }
    auto [deeper, one] = peal::join([&] { return nested(levels - 1, calls); },
                                    [&] {
                                        ++calls;
                                        return 1;
                                    });
    return deeper + one;
}

}  // namespace

TEST_CASE("join: more are nested than the queue holds") {
    everywhere([] {
        for (int round = 0; round < 10; ++round) {
            std::atomic<int> calls{0};
            if (nested(3000, calls) != 3000 || calls != 3000) throw std::runtime_error("another number of calls");
        }
    });
}

// ---- who waits ----------------------------------------------------------------------------------------------------------------------

namespace {

/// Two workers; the second function forks while the caller, which has nothing else to do, waits for it: the caller helps.
void helps(verdict& found) {
    for (int i = 0; i < 50; ++i) {
        std::thread::id caller = std::this_thread::get_id();
        std::atomic<bool> helped{false};
        meeting two(found);
        peal::join([&] { two.first(); },
                   [&] {
                       two.second();
                       peal::join([&] { found.expect(busy_until([&] { return helped.load(); }), "the one who waits did not help"); },
                                  [&] { helped = std::this_thread::get_id() == caller; });
                   });
    }
}

/// The function on another worker runs until a timer of the caller's worker has fired, and a third worker has run who waited for it.
peal::task<> sets_after(peal::pool& pool, std::chrono::milliseconds time, std::atomic<bool>& sleeps, std::atomic<bool>& flag) {
    co_await pool.schedule_on(0);
    sleeps = true;
    co_await peal::sleep_for(time);
    flag = true;
}
peal::task<> waits_for_its_own_timer(peal::pool& pool, verdict& found) {
    for (auto time : {1ms, 5ms, 20ms}) {
        std::atomic<bool> sleeps{false};
        std::atomic<bool> fired{false};
        auto timer = peal::spawn(sets_after, std::ref(pool), time, std::ref(sleeps), std::ref(fired));
        do {
            co_await pool.schedule_on(0);
        } while (!sleeps);
        meeting two(found);
        auto until_fired = [&] {
            two.second();
            found.expect(busy_until([&] { return fired.load(); }), "a timer of the worker that waits in join() did not fire");
        };
        peal::join([&] { two.first(); }, until_fired);
        co_await timer;
    }
}

peal::task<> told_to_stop(std::atomic<int>& seen, verdict& found) {
    auto until_stopped = [&] {
        found.expect(busy_until([] { return peal::this_task::stop_requested(); }), "a stop was not seen");
        found.expect(std::string(peal::this_task::name()) == "stopped", "another name");
        ++seen;
    };
    peal::join(until_stopped, until_stopped);
    found.expect(std::string(peal::this_task::name()) == "stopped", "another name afterwards");
    co_return;
}

}  // namespace

TEST_CASE("join: the worker that waits helps the one it waits for") {
    verdict found;
    peal::pool pool{peal::pool_options(2)};
    pool.run(helps, std::ref(found));
    CHECK(found.text() == "");
}

TEST_CASE("join: the worker that waits serves its timers") {
    verdict found;
    peal::pool pool{peal::pool_options(3)};
    for (int i = 0; i < 5; ++i) pool.run(waits_for_its_own_timer, std::ref(pool), std::ref(found));
    CHECK(found.text() == "");
}

TEST_CASE("join: both functions see the stop and the name of their task, on whichever worker") {
    verdict found;
    for (unsigned workers : {1u, 2u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        std::atomic<int> seen{0};
        auto task = pool.spawn(peal::spawn_options("stopped"), told_to_stop, std::ref(seen), std::ref(found));
        std::this_thread::sleep_for(2ms);
        task.request_stop();
        auto joining = [](peal::join_handle<> joined) -> peal::task<> { co_await joined; };
        pool.run(joining, std::move(task));
        CHECK(seen == 2);
    }
    CHECK(found.text() == "");
}

namespace {

peal::task<> many_waits(int rounds, verdict& found) {
    std::uint64_t sum = 0;
    for (int i = 0; i < rounds; ++i) {
        auto [a, b] = peal::join(
            [i] {
                support::spin_for(std::chrono::nanoseconds(i % 7 * 300));
                return 1;
            },
            [i] {
                support::spin_for(std::chrono::nanoseconds(i % 11 * 300 + (i % 1000 == 0 ? 300'000 : 0)));
                return 2;
            });
        sum += static_cast<std::uint64_t>(a + b);
        if (i % 16 == 0) co_await peal::yield();
    }
    found.expect(sum == 3u * static_cast<unsigned>(rounds), "another sum");
}

}  // namespace

TEST_CASE("join: ends and waits meet at every moment") {
    verdict found;
    peal::pool pool{peal::pool_options(3)};
    auto one = pool.spawn(many_waits, 3000 * times, std::ref(found));
    pool.run(many_waits, 3000 * times, std::ref(found));
    auto joining = [](peal::join_handle<> joined) -> peal::task<> { co_await joined; };
    pool.run(joining, std::move(one));
    CHECK(found.text() == "");
}

// ---- scopes -----------------------------------------------------------------------------------------------------------------------

namespace {

peal::task<> waits_for_a_stop() { co_await peal::sleep_for(1h); }
peal::task<> counts(int& ended) {
    ++ended;
    co_return;
}
peal::task<> forks_a_counter(int& ended) { co_await peal::fork_join(waits_for_a_stop(), counts(ended)); }

/// The scope is destroyed by a function whose sibling lies above what a child of the scope has forked and not begun.
peal::task<> leaves_a_scope_inside(int& ended, bool& second_ran) {
    std::optional<peal::scope> children(std::in_place);
    children->spawn(forks_a_counter, std::ref(ended));
    co_await peal::yield();
    auto leave = [&children] { children.reset(); };
    auto second = [&second_ran] { second_ran = true; };
    peal::join(leave, second);
}

}  // namespace

TEST_CASE("join: a scope that is left inside ends, also with a function above what its children have forked") {
    for (int i = 0; i < 10; ++i) {
        int ended = 0;
        bool second_ran = false;
        peal::simulation sim(static_cast<std::uint64_t>(i), 1);
        sim.pool().run(leaves_a_scope_inside, std::ref(ended), std::ref(second_ran));
        CHECK(second_ran);
    }
    for (int i = 0; i < 10; ++i) {
        int ended = 0;
        bool second_ran = false;
        peal::pool pool{peal::pool_options(1)};
        pool.run(leaves_a_scope_inside, std::ref(ended), std::ref(second_ran));
        CHECK(second_ran);
    }
}

namespace {

peal::task<> until_set(peal::event& set) { co_await set.wait(); }
peal::task<> until_set_also_if_stopped(peal::event& set) { co_await peal::shield(until_set(set)); }
peal::task<> set_later(peal::event& set, std::atomic<bool>& is_left) {
    while (!is_left) co_await peal::yield();
    set.set();
}

/// The second function waits in the destructor of a scope for what only another task sets off, and the first one's worker waits for it.
peal::task<> join_around_a_scope() {
    peal::event set;
    std::atomic<bool> is_left{false};
    std::atomic<bool> is_taken{false};
    auto other = peal::spawn(set_later, std::ref(set), std::ref(is_left));
    auto first = [&is_taken] { busy_until([&] { return is_taken.load(); }); };
    auto second = [&] {
        is_taken = true;
        peal::scope left;
        left.spawn(until_set_also_if_stopped, std::ref(set));
        is_left = true;
    };
    peal::join(first, second);
    co_await other;
}

}  // namespace

TEST_CASE("join: a scope that is left in the second may wait for any task, also when all other workers wait in join()") {
    peal::pool pool{peal::pool_options(2)};
    for (int i = 0; i < 5; ++i) pool.run(join_around_a_scope);
    SUCCEED("it came to its end");
}
