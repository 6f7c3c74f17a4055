// SPDX-License-Identifier: MIT

// How many workers are woken for what, counted: workers whose outside world does nothing but let them sleep.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "sched/scheduler.hpp"
#include "support/busy_until.hpp"
#include "support/catch.hpp"
#include "support/null_driver.hpp"
#include "support/sanitized.hpp"
#include "support/work.hpp"
#include "task/blocking_threads.hpp"

namespace {

using namespace std::chrono_literals;
using support::busy_until;
using support::work;

constexpr int rounds = support::is_sanitized ? 100 : 500;

struct sleep_counts {
    std::atomic<unsigned> asleep{0};
    std::atomic<unsigned> woken{0};
};

class sleeping_driver final : public support::null_driver {
  public:
    sleeping_driver(peal::rt::blocking_pool& none, sleep_counts& counts) : null_driver(none), counts_(counts) {}

    void reap(peal::detail::work_list& ready) noexcept override { take_messages(ready); }
    void poll(peal::detail::work_list& ready) noexcept override { take_messages(ready); }
    peal::rt::time_point now() const noexcept override { return std::chrono::steady_clock::now(); }

  private:
    void do_wait(peal::detail::work_list&, peal::rt::time_point) noexcept override {  // there are no timers
        std::unique_lock lock(mutex_);
        if (!is_told_) {
            sleeps_ = true;
            ++counts_.asleep;
            told_.wait(lock, [this] { return is_told_; });
        }
        is_told_ = false;
    }
    void interrupt() noexcept override {
        std::lock_guard guard(mutex_);
        ++counts_.woken;
        is_told_ = true;
        if (std::exchange(sleeps_, false)) --counts_.asleep;
        told_.notify_one();
    }

    sleep_counts& counts_;
    std::mutex mutex_;
    std::condition_variable told_;
    bool is_told_ = false;
    bool sleeps_ = false;  // and nobody has told it to wake up
};

class serving_driver final : public support::null_driver {
  public:
    using null_driver::null_driver;
    void serve(int fd, peal::detail::operation_kind kind = peal::detail::operation_kind::receive) noexcept {
        peal::detail::void_operation operation(kind);
        operation.fd = fd;
        note_served(operation);
    }
};

class workers {
  public:
    explicit workers(unsigned count) : count_(count), none_("none", 1), scheduler_(with(count)) {
        scheduler_.start([this](unsigned) { return std::make_unique<sleeping_driver>(none_, counts_); });
    }
    ~workers() { scheduler_.shutdown(1h, 1h); }

    peal::rt::scheduler* operator->() { return &scheduler_; }
    unsigned woken() const { return counts_.woken; }
    void await_sleep() {
        REQUIRE(busy_until([this] { return counts_.asleep == count_; }));
    }

  private:
    static peal::rt::scheduler_settings with(unsigned count) {
        peal::rt::scheduler_settings settings;
        settings.workers = count;
        return settings;
    }
    const unsigned count_;
    sleep_counts counts_;
    peal::rt::blocking_pool none_;
    peal::rt::scheduler scheduler_;
};

/// Items that keep their workers until all of them have begun.
class meeting {
  public:
    explicit meeting(unsigned count) : count_(count) {
        for (unsigned i = 0; i < count; ++i) {
            items_.push_back(std::make_unique<work>([this] {
                ++begun_;
                if (!busy_until([this] { return begun_ == count_; })) failed_ = true;
                ++ended_;
            }));
        }
    }
    std::vector<std::unique_ptr<work>>& items() { return items_; }
    bool await_end() {
        return busy_until([this] { return ended_ == count_; }) && !failed_;
    }

  private:
    const unsigned count_;
    std::atomic<unsigned> begun_{0};
    std::atomic<unsigned> ended_{0};
    std::atomic<bool> failed_{false};
    std::vector<std::unique_ptr<work>> items_;
};

}  // namespace

TEST_CASE("waking: workers that have nothing to do sleep on") {
    workers all(4);
    all.await_sleep();
    unsigned before = all.woken();
    std::this_thread::sleep_for(100ms);
    CHECK(all.woken() == before);
}

TEST_CASE("waking: an item from outside wakes one worker, which wakes nobody else") {
    workers all(4);
    for (int round = 0; round < rounds; ++round) {
        all.await_sleep();
        unsigned before = all.woken();
        meeting one(1);
        all->enqueue(*one.items()[0]);
        REQUIRE(one.await_end());
        all.await_sleep();
        REQUIRE(all.woken() - before == 1);
    }
}

TEST_CASE("waking: several items from outside, one after the other, are run at once by as many workers") {
    constexpr unsigned items = 3;
    workers all(8);
    unsigned fewest = ~0u;
    for (int round = 0; round < rounds; ++round) {
        all.await_sleep();
        unsigned before = all.woken();
        meeting several(items);
        for (auto& each : several.items()) all->enqueue(*each);
        REQUIRE(several.await_end());
        all.await_sleep();
        unsigned woken = all.woken() - before;
        // Whoever brings an item wakes one, and so does whoever finds one and sees another that is found meanwhile.
        REQUIRE(woken >= items);
        REQUIRE(woken <= 2 * items);
        fewest = std::min(fewest, woken);
    }
    CHECK(fewest == items);
}

TEST_CASE("waking: a batch wakes one worker, and that the next while there is work") {
    constexpr unsigned items = 3;
    workers all(8);
    for (int round = 0; round < rounds; ++round) {
        all.await_sleep();
        unsigned before = all.woken();
        meeting several(items);
        peal::detail::work_list batch;
        for (auto& each : several.items()) batch.push_back(*each);
        all->enqueue_all(batch);
        REQUIRE(several.await_end());
        all.await_sleep();
        REQUIRE(all.woken() - before == items);
    }
}

TEST_CASE("waking: a driver tells few peers that answer each other from many") {
    peal::rt::blocking_pool none("none", 1);
    serving_driver driver(none);
    CHECK(driver.serves_few());  // nobody yet
    for (int i = 0; i < 1000; ++i) driver.serve(10 + i % 4);
    CHECK(driver.serves_few());
    for (int i = 0; i < 1000; ++i) driver.serve(10 + i % 64);
    CHECK_FALSE(driver.serves_few());
    for (int i = 0; i < 1000; ++i) driver.serve(-1);  // no descriptor: says nothing
    CHECK_FALSE(driver.serves_few());
    for (int i = 0; i < 1000; ++i) driver.serve(10, peal::detail::operation_kind::send);  // answers say nothing
    CHECK_FALSE(driver.serves_few());
    for (int i = 0; i < 20; ++i) driver.serve(10);
    CHECK(driver.serves_few());
    for (int i = 0; i < 1000; ++i) driver.serve(10 + i % 64);
    for (int i = 0; i < 20; ++i) driver.note_short_idle();  // work comes, and not from there
    CHECK(driver.serves_few());
}
