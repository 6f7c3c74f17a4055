// SPDX-License-Identifier: MIT

// The cancel slot: stop against arming, disarming, events and ends, forced together with real threads. Every round must end in
// exactly one way, and the sums must be exact.

#include <peal/task/context.hpp>

#include <atomic>
#include <cstdint>
#include <optional>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;

constexpr int rounds = 20'000;

/// Small numbers that move the two sides of a race against each other.
class jitter {
  public:
    explicit jitter(std::uint32_t seed) : state_(seed) {}
    std::uint32_t below(std::uint32_t bound) {
        state_ = state_ * 1664525u + 1013904223u;
        return (state_ >> 16) % bound;
    }
    void spin(std::uint32_t bound) {
        for (std::uint32_t left = below(bound); left != 0; --left) std::atomic_signal_fence(std::memory_order_seq_cst);
    }

  private:
    std::uint32_t state_;
};

// ---- the slot itself ----------------------------------------------------------------------------------------------------------

/// A context without a task.
class bare_context final : public peal::detail::spawned_context {
  public:
    bare_context() : spawned_context(peal::spawn_options("bare"), nullptr) {}
    ~bare_context() override = default;

  private:
    std::exception_ptr failure() const noexcept override { return nullptr; }
    void drop_payload() noexcept override {}
    void fail() noexcept override {}
};

class leaf final : public peal::detail::cancelable {
  public:
    leaf() : cancelable(&leaf::canceled) {}
    std::atomic<int> calls{0};
    int written_before_arm = 0;
    int seen = 0;

  private:
    static void canceled(cancelable& self) noexcept {
        auto& me = static_cast<leaf&>(self);
        me.seen = me.written_before_arm;  // the stopper sees what was written before arming
        me.calls.fetch_add(1, std::memory_order_release);
    }
};

/// Two threads that enter each round together.
class barrier {
  public:
    void arrive_and_wait() {
        int turn = turn_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) == 1) {
            arrived_.store(0, std::memory_order_relaxed);
            turn_.store(turn + 1, std::memory_order_release);
        } else {
            while (turn_.load(std::memory_order_acquire) == turn) std::this_thread::yield();
        }
    }

  private:
    std::atomic<int> arrived_{0};
    std::atomic<int> turn_{0};
};

}  // namespace

TEST_CASE("context: a leaf is named, taken back, and armed again; after a stop nothing is armed") {
    bare_context task;
    leaf first;
    leaf second;
    CHECK_FALSE(task.stop_requested());
    REQUIRE(task.arm(first));
    CHECK(task.disarm(first));
    REQUIRE(task.arm(second));
    task.request_stop();
    CHECK(second.calls == 1);
    CHECK(first.calls == 0);
    CHECK(task.stop_requested());
    CHECK_FALSE(task.disarm(second));
    CHECK_FALSE(task.arm(first));
    task.request_stop();  // idempotent
    CHECK(first.calls + second.calls == 1);
}

TEST_CASE("context: stop against arm and disarm: the cancel function runs once if the leaf was taken, else never") {
    std::optional<bare_context> task;
    std::optional<leaf> waiting;
    barrier begin;
    barrier end;
    std::thread stopper([&] {
        jitter random(1);
        for (int i = 0; i < rounds; ++i) {
            begin.arrive_and_wait();
            random.spin(100);
            task->request_stop();
            end.arrive_and_wait();
        }
    });
    jitter random(2);
    int taken = 0;
    int refused = 0;
    int mistakes = 0;
    for (int i = 0; i < rounds; ++i) {
        task.emplace();
        waiting.emplace();
        begin.arrive_and_wait();
        bool was_taken = false;
        for (;;) {
            waiting->written_before_arm = i;
            if (!task->arm(*waiting)) {
                ++refused;
                break;
            }
            random.spin(20);
            if (!task->disarm(*waiting)) {
                was_taken = true;
                while (waiting->calls.load(std::memory_order_acquire) == 0) std::this_thread::yield();
                if (waiting->seen != i) ++mistakes;
                ++taken;
                break;
            }
        }
        end.arrive_and_wait();
        if (waiting->calls != (was_taken ? 1 : 0)) ++mistakes;
    }
    stopper.join();
    CHECK(mistakes == 0);
    CHECK(taken + refused == rounds);
}

// ---- operations of the library ------------------------------------------------------------------------------------------------

namespace {

struct sums {
    int value = 0;
    int canceled = 0;
};

/// Joins and counts how.
template <class T>
peal::task<> count_end(peal::join_handle<T>& handle, sums& ends) {
    try {
        co_await handle;
        ++ends.value;
    } catch (const std::system_error& failure) {
        if (peal::is_canceled(failure)) ++ends.canceled;
    }
}

peal::task<> ends_on_worker_one(peal::pool& pool, std::uint32_t spin) {
    co_await pool.schedule_on(1);
    jitter(spin).spin(2000);
}

peal::task<> joins(peal::join_handle<>& handle) { co_await handle; }

peal::task<> stop_against_join(peal::pool& pool, sums& joiners, sums& joined) {
    jitter random(3);
    for (int i = 0; i < rounds; ++i) {
        auto ending = pool.spawn(ends_on_worker_one, pool, static_cast<std::uint32_t>(i));
        auto joiner = pool.spawn(joins, std::ref(ending));
        co_await pool.schedule();
        random.spin(4000);
        joiner.request_stop();
        int canceled_before = joiners.canceled;
        co_await count_end(joiner, joiners);
        if (joiners.canceled != canceled_before) co_await count_end(ending, joined);  // the joiner did not take it
    }
}

peal::task<> sleeps_shortly(std::chrono::nanoseconds time) { co_await peal::sleep_for(time); }

peal::task<> sleeps_on_worker_one(peal::pool& pool, std::chrono::nanoseconds time) {
    co_await pool.schedule_on(1);
    co_await peal::sleep_for(time);
}

peal::task<> stop_against_timer(peal::pool& pool, sums& ends, int count) {
    jitter random(4);
    for (int i = 0; i < count; ++i) {
        auto sleeper = pool.spawn(sleeps_on_worker_one, pool, std::chrono::nanoseconds(20'000 + random.below(20'000)));
        auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(random.below(100'000));
        do {
            co_await pool.schedule();
        } while (std::chrono::steady_clock::now() < until);
        sleeper.request_stop();
        co_await count_end(sleeper, ends);
    }
}

peal::task<> stop_against_start(peal::pool& pool, sums& ends) {
    jitter random(5);
    for (int i = 0; i < rounds; ++i) {
        // A sleep of zero ends at once, unless the stop came first.
        auto started = pool.spawn(sleeps_shortly, 0ns);
        random.spin(1000);
        started.request_stop();
        co_await count_end(started, ends);
    }
}

peal::task<> joins_children(peal::pool& pool, std::uint32_t spin) {
    peal::scope tasks;
    for (int i = 0; i < 2; ++i) tasks.spawn(ends_on_worker_one, pool, spin);
    co_await tasks.join();
}

peal::task<> stop_against_scope_join(peal::pool& pool, sums& ends) {
    jitter random(6);
    for (int i = 0; i < rounds; ++i) {
        auto joiner = pool.spawn(joins_children, pool, static_cast<std::uint32_t>(i));
        co_await pool.schedule();
        if (i % 2 == 0) co_await pool.schedule();
        random.spin(8000);
        joiner.request_stop();
        co_await count_end(joiner, ends);
    }
}

peal::task<> last_handle_goes(peal::pool& pool, int& stops) {
    jitter random(7);
    for (int i = 0; i < rounds; ++i) {
        auto ending = pool.spawn(ends_on_worker_one, pool, static_cast<std::uint32_t>(i));
        peal::stop_handle stop = ending.stop_handle();
        if (i % 2 == 0) co_await pool.schedule();
        random.spin(4000);
        ending.detach();  // against the end of the task
        stop.request_stop();
        ++stops;
    }
}

void check_counts(const peal::pool& pool) {
    peal::pool_counts counts = pool.counts();
    CHECK(counts.accepted == counts.completed + counts.failed + counts.canceled + counts.live);
    CHECK(counts.failed == 0);
}

}  // namespace

TEST_CASE("context: stop against the end of a joined task: the joiner gets the value or is canceled, never neither or both") {
    peal::pool pool(peal::pool_options(2));
    sums joiners;
    sums joined;
    pool.run(stop_against_join, pool, std::ref(joiners), std::ref(joined));
    CHECK(joiners.value + joiners.canceled == rounds);
    CHECK(joined.value == joiners.canceled);  // a canceled join left the task to be joined again
    CHECK(joined.canceled == 0);
    check_counts(pool);
}

TEST_CASE("context: stop against a timer: the sleep ends once, by the one or the other") {
    constexpr int count = 5'000;  // each takes about as long as it sleeps
    peal::pool pool(peal::pool_options(2));
    sums ends;
    pool.run(stop_against_timer, pool, std::ref(ends), count);
    CHECK(ends.value + ends.canceled == count);
    check_counts(pool);
}

TEST_CASE("context: stop against the start of a task") {
    peal::pool pool(peal::pool_options(2));
    sums ends;
    pool.run(stop_against_start, pool, std::ref(ends));
    CHECK(ends.value + ends.canceled == rounds);
    check_counts(pool);
}

TEST_CASE("context: stop against the end of the last child of a joined scope") {
    peal::pool pool(peal::pool_options(2));
    sums ends;
    pool.run(stop_against_scope_join, pool, std::ref(ends));
    CHECK(ends.value + ends.canceled == rounds);
    check_counts(pool);
}

TEST_CASE("context: dropping a handle against the end of the task, with a stop after both") {
    std::int64_t frames = peal::detail::live_frames();
    {
        peal::pool pool(peal::pool_options(2));
        int stops = 0;
        pool.run(last_handle_goes, pool, std::ref(stops));
        CHECK(stops == rounds);
        pool.shutdown(10s, 1s);
        check_counts(pool);
        CHECK(pool.counts().live == 0);
    }
    CHECK(peal::detail::live_frames() == frames);
}
