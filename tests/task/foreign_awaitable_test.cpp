// SPDX-License-Identifier: MIT

// Awaitables of other libraries, which know nothing of peal: they resume the coroutine by themselves, where and when they like. No
// task may get lost that way, whatever it does next: end, await another task, or come back to its pool.

#include <coroutine>
#include <mutex>
#include <thread>
#include <vector>

#include <peal/pool/pool.hpp>
#include <peal/task/sync_wait.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;

/// Threads that resume one coroutine each.
class threads {
  public:
    threads() = default;
    threads(const threads&) = delete;
    void resume(std::coroutine_handle<> awaiting) {
        std::lock_guard guard(mutex_);  // the coroutine may want the next thread before this one is on the list
        all_.emplace_back([awaiting] { awaiting.resume(); });
    }
    void join() {
        std::vector<std::thread> all;
        {
            std::lock_guard guard(mutex_);  // the last one may have done its work before it is on the list
            all.swap(all_);
        }
        for (auto& each : all) each.join();
    }

  private:
    std::mutex mutex_;
    std::vector<std::thread> all_;
};

/// Resumes on a thread of its own.
class on_a_thread {
  public:
    explicit on_a_thread(threads& all) : all_(all) {}
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) { all_.resume(awaiting); }
    void await_resume() const noexcept {}

  private:
    threads& all_;
};

/// Resumes before await_suspend returns.
class inside_suspend {
  public:
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) const { awaiting.resume(); }
    void await_resume() const noexcept {}
};

/// Resumed by whoever calls open(), in the middle of what that does.
class gate {
  public:
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> awaiting) noexcept { waiting_.push_back(awaiting); }
    void await_resume() const noexcept {}
    void open() {
        std::vector<std::coroutine_handle<>> all;
        all.swap(waiting_);
        for (auto each : all) each.resume();
    }
    std::size_t waiting() const { return waiting_.size(); }

  private:
    std::vector<std::coroutine_handle<>> waiting_;
};

peal::task<int> ends_on_a_thread(threads& all) {
    co_await on_a_thread(all);
    co_return 1;
}
peal::task<int> goes_on_there(threads& all) {
    int sum = 0;
    for (int i = 0; i < 3; ++i) sum += co_await ends_on_a_thread(all);
    co_return sum;
}
peal::task<int> ends_inside_suspend() {
    co_await inside_suspend();
    co_return 1;
}
peal::task<int> awaits_many() {
    int sum = 0;
    for (int i = 0; i < 100; ++i) sum += co_await ends_inside_suspend();
    co_return sum;
}
peal::task<int> comes_back(peal::pool& pool, threads& all) {
    int sum = co_await goes_on_there(all);
    co_await pool.schedule();
    co_await peal::sleep_for(1ms);
    if (peal::pool::current() == &pool) ++sum;
    co_return sum;
}

peal::task<int> waits_at(gate& closed) {
    co_await closed;
    co_return 1;
}
peal::task<> awaits_one_that_waits(gate& closed, int& passed) { passed += co_await waits_at(closed); }
peal::task<int> opens(gate& closed, int& passed_meanwhile) {
    closed.open();
    passed_meanwhile += co_await ends_inside_suspend();
    co_return 1;
}

peal::task<> opens_a_gate_for_many(peal::pool& pool, int& passed, int& opened) {
    gate closed;
    std::vector<peal::join_handle<>> waiting;
    for (int i = 0; i < 5; ++i) waiting.push_back(pool.spawn(awaits_one_that_waits, std::ref(closed), std::ref(passed)));
    while (closed.waiting() != 5) co_await pool.schedule();
    opened += co_await opens(closed, opened);  // five chains want to go on, and so does this one
    for (auto& each : waiting) co_await each;
}

}  // namespace

TEST_CASE("foreign awaitable: a task that it resumes on another thread ends, and its awaiter goes on") {
    threads all;
    int sum = peal::sync_wait(goes_on_there(all));
    all.join();
    CHECK(sum == 3);
}

TEST_CASE("foreign awaitable: a task that it resumes at once goes on") { CHECK(peal::sync_wait(awaits_many()) == 100); }

TEST_CASE("foreign awaitable: a task comes back to its pool afterwards") {
    peal::pool pool(peal::pool_options(1));
    threads all;
    int sum = pool.run(comes_back, pool, std::ref(all));
    all.join();
    CHECK(sum == 4);
}

TEST_CASE("foreign awaitable: several tasks that one task resumes in the middle of its work all go on") {
    peal::pool pool(peal::pool_options(1));
    int passed = 0;
    int opened = 0;
    pool.run(opens_a_gate_for_many, pool, std::ref(passed), std::ref(opened));
    CHECK(passed == 5);
    CHECK(opened == 2);
}
