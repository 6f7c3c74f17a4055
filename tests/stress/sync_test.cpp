// SPDX-License-Identifier: MIT

// Mutexes, permits, events, barriers under eight threads, with stops at random moments. The data proves itself: what a mutex guards is
// never seen half done, permits add up at the end, every round of a barrier is complete.

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/stopper.hpp"
#include "support/stress.hpp"
#include "support/verdict.hpp"

namespace {

/// Two numbers that are equal whenever nobody is inside.
class guarded_pair {
  public:
    void change() noexcept {
        ++a_;
        ++b_;
    }
    bool fits() const noexcept { return a_ == b_; }
    std::uint64_t changes() const noexcept { return a_; }

  private:
    std::uint64_t a_ = 0;
    std::uint64_t b_ = 0;
};

class world {
  public:
    support::verdict verdict;
    peal::mutex one;
    guarded_pair by_one;
    peal::shared_mutex table;
    guarded_pair by_table;
    peal::semaphore permits{7};
    std::atomic<std::uint64_t> permits_out{0};
    peal::condition_variable changed;
    std::atomic<std::uint64_t> changes_of_one{0};
    std::atomic<std::uint64_t> changes_of_table{0};
    std::atomic<std::uint64_t> canceled{0};
    std::atomic<std::uint64_t> served{0};
};

peal::task<> pauses(support::dice& dice) {
    if (dice.one_in(4)) co_await peal::yield();
    if (dice.one_in(64)) co_await peal::sleep_for(std::chrono::microseconds(dice.below(100)));
}

peal::task<> changes_one(world& w, support::dice& dice) {
    auto guard = co_await w.one.lock();
    w.verdict.expect(w.by_one.fits(), "the mutex let two in");
    w.by_one.change();
    w.changes_of_one.fetch_add(1, std::memory_order_relaxed);
    if (dice.one_in(8)) co_await peal::yield();
    w.verdict.expect(w.by_one.fits(), "the mutex let two in");
    if (dice.one_in(4)) w.changed.notify_one();
}

peal::task<> awaits_a_change(world& w, support::dice&) {
    auto guard = co_await w.one.lock();
    std::uint64_t before = w.by_one.changes();
    auto is_another = [&w, before] { return w.by_one.changes() != before; };
    // Nobody promises that there is another change: a limit ends it.
    bool in_time = true;
    try {
        co_await peal::timeout(std::chrono::milliseconds(2), w.changed.wait(guard, is_another));
    } catch (const std::system_error& failure) {
        in_time = false;
        if (failure.code() != std::errc::timed_out) throw;
    }
    w.verdict.expect(guard.held() == &w.one, "a wait ended without the mutex");
    w.verdict.expect(!in_time || is_another(), "a wait ended without its condition");
}

peal::task<> uses_table(world& w, support::dice& dice) {
    if (dice.one_in(4)) {
        auto guard = co_await w.table.lock();
        w.verdict.expect(w.by_table.fits(), "a writer was not alone");
        w.by_table.change();
        w.changes_of_table.fetch_add(1, std::memory_order_relaxed);
        if (dice.one_in(8)) co_await peal::yield();
    } else {
        auto guard = co_await w.table.lock_shared();
        std::uint64_t before = w.by_table.changes();
        if (dice.one_in(8)) co_await peal::yield();
        w.verdict.expect(w.by_table.fits() && w.by_table.changes() == before, "a writer came in beside a reader");
    }
}

peal::task<> takes_permits(world& w, support::dice& dice) {
    std::size_t count = 1 + dice.below(7);
    auto permit = co_await w.permits.acquire(count);
    std::uint64_t out = w.permits_out.fetch_add(count) + count;
    w.verdict.expect(out <= 7, "more permits are out than there are");
    try {
        co_await pauses(dice);
    } catch (...) {
        w.permits_out.fetch_sub(count);
        throw;
    }
    w.permits_out.fetch_sub(count);
}

peal::task<> does_something(world& w, std::uint64_t seed) {
    support::dice dice(seed);
    std::uint64_t times = 1 + dice.below(8);
    std::uint64_t kind = dice.below(5);
    try {
        for (std::uint64_t i = 0; i < times; ++i) {
            switch (kind) {
                case 0: co_await changes_one(w, dice); break;
                case 1: co_await uses_table(w, dice); break;
                case 2: co_await takes_permits(w, dice); break;
                case 3: co_await awaits_a_change(w, dice); break;
                default: {
                    // Whichever comes first; the other is as if it had not been asked for.
                    auto got = co_await peal::select(w.one.lock(), w.permits.acquire(2));
                    w.verdict.expect(got.index < 2, "neither of two");
                    break;
                }
            }
        }
        w.served.fetch_add(1, std::memory_order_relaxed);
    } catch (const std::system_error& failure) {
        w.verdict.expect(peal::is_canceled(failure), failure.what());
        w.canceled.fetch_add(1, std::memory_order_relaxed);
        throw;
    }
}

peal::task<> crowd(world& w, support::stopper& stops, std::uint64_t seed) {
    support::dice dice(seed);
    peal::scope tasks;
    for (int i = 0; i < 16; ++i) {
        auto child = tasks.spawn(does_something, std::ref(w), dice.next());
        if (dice.one_in(4)) stops.stop_after(std::chrono::nanoseconds(dice.below(5'000)), child.stop_handle());
    }
    if (dice.one_in(8)) co_return;  // all of them are stopped
    co_await tasks.join();
}

}  // namespace

TEST_CASE("stress: mutexes, permits and conditions under eight threads: nobody is let in twice, nothing is lost") {
    world w;
    support::dice dice(1);
    {
        support::stopper stops;
        peal::pool a(peal::pool_options(4));
        peal::pool b(peal::pool_options(4));
        support::stress_clock clock;
        auto repeats = [&](std::uint64_t seed) -> peal::task<> {
            support::dice own(seed);
            while (clock.goes_on()) co_await crowd(w, stops, own.next());
        };
        for (int i = 0; i < 3; ++i) {
            a.spawn(std::ref(repeats), dice.next());
            b.spawn(std::ref(repeats), dice.next());
        }
        while (clock.goes_on()) {  // and a thread of the program
            auto guard = w.one.blocking_lock();
            w.verdict.expect(w.by_one.fits(), "the mutex let two in");
            w.by_one.change();
            w.changes_of_one.fetch_add(1, std::memory_order_relaxed);
            guard.unlock();
            std::this_thread::sleep_for(std::chrono::microseconds(100));
        }
        bool a_drained = a.shutdown(std::chrono::seconds(60), std::chrono::seconds(5)).drained;
        bool b_drained = b.shutdown(std::chrono::seconds(60), std::chrono::seconds(5)).drained;
        CHECK(a_drained);
        CHECK(b_drained);
    }
    CHECK(w.verdict.text() == "");
    CHECK(w.one.try_lock().has_value());
    CHECK(w.table.try_lock().has_value());
    CHECK(w.permits.available() == 7);
    CHECK(w.permits.try_acquire(7).has_value());
    CHECK(w.by_one.changes() == w.changes_of_one.load());
    CHECK(w.by_table.changes() == w.changes_of_table.load());
    CHECK(w.served.load() > 0);
    CHECK(w.canceled.load() > 0);
    std::printf("%llu served, %llu canceled\n", static_cast<unsigned long long>(w.served.load()),
                static_cast<unsigned long long>(w.canceled.load()));
}

namespace {

/// Whatever one task makes and another one ends, on the stack of the one.
peal::task<> brief_lives(support::dice& dice) {
    switch (dice.below(4)) {
        case 0: {
            peal::event happened;
            auto sets = [](peal::event& which) { which.set(); };
            peal::spawn(sets, std::ref(happened));
            co_await happened.wait();
            break;
        }
        case 1: {
            peal::latch parts(3);
            auto counts = [](peal::latch& which) { which.count_down(); };
            for (int i = 0; i < 3; ++i) peal::spawn(counts, std::ref(parts));
            co_await parts.wait();
            break;
        }
        case 2: {
            peal::oneshot<int> answer;
            auto sends = [](peal::oneshot<int>& to) { static_cast<void>(to.send(1)); };
            peal::spawn(sends, std::ref(answer));
            static_cast<void>(co_await answer.receive());
            break;
        }
        default: {
            peal::barrier both(2);
            auto arrives = [](peal::barrier& all) -> peal::task<> { co_await all.arrive_and_wait(); };
            peal::spawn(arrives, std::ref(both));
            co_await both.arrive_and_wait();
            break;
        }
    }
}

}  // namespace

TEST_CASE("stress: events, latches, barriers that are destroyed as soon as they have happened") {
    support::dice dice(2);
    support::stress_clock clock;
    peal::pool pool(peal::pool_options(8));
    auto repeats = [&](std::uint64_t seed) -> peal::task<> {
        support::dice own(seed);
        while (clock.goes_on()) co_await brief_lives(own);
    };
    for (int i = 0; i < 8; ++i) pool.spawn(std::ref(repeats), dice.next());
    bool drained = pool.shutdown(std::chrono::seconds(60), std::chrono::seconds(5)).drained;
    CHECK(drained);
}
