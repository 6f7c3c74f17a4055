// SPDX-License-Identifier: MIT

// The pool as a pool: how many workers, their names, CPUs and hooks, and which of them runs what.

#include <peal/pool/pool.hpp>

#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include <peal/time/sleep.hpp>

#include "pool/cpus.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/threads.hpp"

using namespace std::chrono_literals;

namespace {

std::vector<int> allowed_cpus() {
    cpu_set_t set;
    CPU_ZERO(&set);
    ::sched_getaffinity(0, sizeof set, &set);
    std::vector<int> cpus;
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
    }
    return cpus;
}

void allow_only(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<unsigned>(cpu), &set);
    REQUIRE(::sched_setaffinity(0, sizeof set, &set) == 0);
}

std::string thread_name() {
    char name[16] = {};
    pthread_getname_np(pthread_self(), name, sizeof name);
    return name;
}

peal::task<std::string> name_of_worker(peal::pool& pool, unsigned index) {
    co_await pool.schedule_on(index);
    co_return thread_name();
}

}  // namespace

// ---- how many ----------------------------------------------------------------------------------------------------------------------

TEST_CASE("pool: by default as many workers as CPUs that this process may use") {
    unsigned usable = peal::rt::usable_cpus();
    CHECK(usable >= 1);
    CHECK(usable <= allowed_cpus().size());
    CHECK(peal::pool().size() == usable);
    CHECK(peal::pool(peal::pool_options(3)).size() == 3);
}

TEST_CASE("child: one CPU allowed", "[.child]") {
    allow_only(allowed_cpus().back());
    CHECK(peal::rt::usable_cpus() == 1);
    CHECK(peal::pool().size() == 1);
    CHECK(peal::pool(peal::pool_options(4)).size() == 4);  // asked for: given
}
TEST_CASE("pool: the default respects the affinity of the process") {
    auto child = support::run_case("child: one CPU allowed");
    INFO(child.output);
    CHECK(child.succeeded());
}

TEST_CASE("child: half a CPU of quota", "[.child]") {
    // A control group of our own, version 1 or 2, whichever this machine has and lets us make.
    auto set = [](const std::string& file, const std::string& value) { return bool(std::ofstream(file) << value << std::flush); };
    std::string own = "/peal-test-" + std::to_string(::getpid());
    std::string folder;
    bool version2 = false;
    for (std::string root : {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup"}) {
        std::string made = root + own;
        if (::mkdir(made.c_str(), 0755) != 0) continue;
        version2 = ::access((made + "/cpu.max").c_str(), W_OK) == 0;
        if (version2 || ::access((made + "/cpu.cfs_quota_us").c_str(), W_OK) == 0) {
            folder = made;
            break;
        }
        ::rmdir(made.c_str());
    }
    if (folder.empty()) {
        WARN("not tried: no control group can be made here");
        SUCCEED();
        return;
    }
    std::string home = version2 ? "/sys/fs/cgroup/cgroup.procs" : "/sys/fs/cgroup/cpu/tasks";
    unsigned before = peal::rt::usable_cpus();
    CHECK(set(folder + (version2 ? "/cgroup.procs" : "/tasks"), std::to_string(::getpid())));
    auto set_quota = [&](int quota) {
        return version2 ? set(folder + "/cpu.max", std::to_string(quota) + " 100000")
                        : set(folder + "/cpu.cfs_period_us", "100000") && set(folder + "/cpu.cfs_quota_us", std::to_string(quota));
    };
    CHECK(peal::rt::usable_cpus() == before);  // no quota yet
    CHECK(set_quota(50'000));
    CHECK(peal::rt::usable_cpus() == 1);  // half a CPU: rounded up
    CHECK(set_quota(100'000 * 1000));
    CHECK(peal::rt::usable_cpus() == before);  // more than there are
    CHECK(set(home, std::to_string(::getpid())));
    CHECK(::rmdir(folder.c_str()) == 0);
}
TEST_CASE("pool: the default respects the quota of the control group") {
    auto child = support::run_case("child: half a CPU of quota");
    INFO(child.output);
    CHECK(child.succeeded());
}

// ---- names, CPUs, hooks ---------------------------------------------------------------------------------------------------------------

TEST_CASE("pool: threads are named, at most 15 characters") {
    {
        peal::pool_options options(3);
        options.name = "bell";
        peal::pool pool(options);
        for (unsigned i = 0; i < 3; ++i) CHECK(pool.run(name_of_worker, pool, i) == "bell/" + std::to_string(i));
    }
    peal::pool_options options(1);
    options.name = "a name that is too long";
    peal::pool pool(options);
    CHECK(pool.run(name_of_worker, pool, 0u) == "a name that is ");
    CHECK(pool.run([]() { return thread_name(); }) == "a name that is ");
    CHECK(pool.run(name_of_worker, pool, 0u).size() == 15);
    CHECK(peal::pool(peal::pool_options(1)).run([]() { return thread_name(); }) == "peal/0");
}

TEST_CASE("pool: workers run on the CPUs that they are pinned to") {
    auto where = [](peal::pool& pool, unsigned index) -> peal::task<std::vector<int>> {
        co_await pool.schedule_on(index);
        co_return allowed_cpus();  // of this thread
    };
    std::vector<int> cpus = allowed_cpus();
    peal::pool_options options(4);
    options.pin_to_cpus = cpus;
    peal::pool pool(options);
    for (unsigned i = 0; i < 4; ++i) {
        CHECK(pool.run(where, pool, i) == std::vector<int>{cpus[i % cpus.size()]});
    }
    CHECK(allowed_cpus() == cpus);  // the calling thread is left alone
}

TEST_CASE("pool: a CPU that cannot be had is a clear error, and leaves no thread") {
    int missing = ::sysconf(_SC_NPROCESSORS_CONF) < CPU_SETSIZE ? CPU_SETSIZE - 1 : CPU_SETSIZE;
    for (int cpu : {missing, CPU_SETSIZE + 5, -1}) {
        peal::pool_options options(3);
        options.name = "pinned";
        options.pin_to_cpus = {allowed_cpus()[0], cpu};
        try {
            peal::pool pool(options);
            FAIL("pinned to CPU " << cpu);
        } catch (const std::system_error& failure) {
            std::string text = failure.what();
            CHECK(text.find("pinning worker 1 to CPU " + std::to_string(cpu)) != std::string::npos);
            CHECK(text.find("may use") != std::string::npos);
        }
        CHECK(support::threads_named("pinned").empty());
    }
}

namespace {

struct record {
    std::mutex mutex;
    std::set<std::string> started, stopped;
    int starts = 0, stops = 0, tasks = 0;
    bool too_early = false, too_late = false;
};

}  // namespace

TEST_CASE("pool: hooks run once per worker, in its thread, before the first task and after the last") {
    auto body = [](record& seen, peal::pool& pool) -> peal::task<> {
        for (unsigned i = 0; i < 30; ++i) {
            co_await pool.schedule_on(i % 3);
            std::lock_guard guard(seen.mutex);
            ++seen.tasks;
            seen.too_early = seen.too_early || !seen.started.contains(thread_name());
            seen.too_late = seen.too_late || seen.stopped.contains(thread_name());
        }
    };
    record seen;
    {
        peal::pool_options options(3);
        options.name = "hook";
        options.on_worker_start = [&seen](unsigned index) {
            std::this_thread::sleep_for(5ms);  // tasks are waiting by now
            std::lock_guard guard(seen.mutex);
            ++seen.starts;
            if (peal::this_worker::index() == index) seen.started.insert(thread_name());
        };
        options.on_worker_stop = [&seen](unsigned index) {
            std::lock_guard guard(seen.mutex);
            ++seen.stops;
            if (thread_name() == "hook/" + std::to_string(index)) seen.stopped.insert(thread_name());
        };
        peal::pool pool(options);
        for (int i = 0; i < 10; ++i) pool.spawn(body, std::ref(seen), pool).detach();
    }
    CHECK(seen.starts == 3);
    CHECK(seen.stops == 3);
    CHECK(seen.tasks == 300);
    CHECK(seen.started == std::set<std::string>{"hook/0", "hook/1", "hook/2"});
    CHECK(seen.stopped == seen.started);
    CHECK_FALSE(seen.too_early);
    CHECK_FALSE(seen.too_late);
}

// ---- where things run -------------------------------------------------------------------------------------------------------------------

TEST_CASE("pool: current() and this_worker tell the pool and the worker, and nothing elsewhere") {
    auto body = [](peal::pool& pool) -> peal::task<bool> {
        for (int round = 0; round < 50; ++round) {
            for (unsigned i = 0; i < 3; ++i) {
                co_await pool.schedule_on(i);
                if (peal::pool::current() != &pool || peal::this_worker::index() != i) co_return false;
            }
            co_await pool.schedule();
            if (peal::pool::current() != &pool || !peal::this_worker::index()) co_return false;
        }
        co_return true;
    };
    CHECK(peal::pool::current() == nullptr);
    CHECK_FALSE(peal::this_worker::index());
    peal::pool pool(peal::pool_options(3));
    CHECK(pool.run(body, pool));
    CHECK(peal::pool::current() == nullptr);
}

TEST_CASE("pool: sync_wait starts on the calling thread and goes where schedule() takes it") {
    auto body = [](peal::pool& pool, std::thread::id caller) -> peal::task<bool> {
        bool began_here = std::this_thread::get_id() == caller && peal::pool::current() == nullptr;
        co_await pool.schedule();
        bool moved = std::this_thread::get_id() != caller && peal::pool::current() == &pool;
        co_await peal::sleep_for(1ms);  // needs a worker
        co_return began_here && moved && peal::pool::current() == &pool;
    };
    peal::pool pool(peal::pool_options(2));
    CHECK(peal::sync_wait(body(pool, std::this_thread::get_id())));
    CHECK(pool.counts().accepted == 0);  // it belongs to the caller
}

TEST_CASE("pool: several pools, and tasks that move between them") {
    auto body = [](peal::pool& a, peal::pool& b, peal::pool& c) -> peal::task<int> {
        int right = 0;
        for (int i = 0; i < 200; ++i) {
            co_await a.schedule();
            right += thread_name() == "A/0";
            co_await b.schedule_on(1);
            right += thread_name() == "B/1" && peal::pool::current() == &b;
            co_await peal::sleep_for(10us);  // goes on in this pool
            right += peal::pool::current() == &b;
            co_await c.schedule();
            right += peal::pool::current() == &c;
            co_await a.schedule();
            right += peal::pool::current() == &a;
        }
        co_return right;
    };
    auto sum_up = [](std::vector<peal::join_handle<int>> handles, peal::pool& home) -> peal::task<int> {
        int sum = 0;
        for (auto& each : handles) {
            sum += co_await each;
            if (peal::pool::current() != &home) sum -= 1'000'000;  // awaited from another pool: back here
        }
        co_return sum;
    };
    peal::pool_options first(1), second(2), third(1);
    first.name = "A";
    second.name = "B";
    third.name = "C";
    peal::pool a(first), b(second), c(third);
    CHECK(a.run(body, a, b, c) == 1000);
    std::vector<peal::join_handle<int>> many;
    for (int i = 0; i < 20; ++i) many.push_back((i % 2 == 0 ? a : b).spawn(body, a, b, c));
    CHECK(c.run(sum_up, std::move(many), c) == 20'000);
}

TEST_CASE("pool: a task moved to another pool is canceled there and ends in its own count") {
    auto body = [](peal::pool& b) -> peal::task<> {
        co_await b.schedule();
        co_await peal::sleep_for(1h);
    };
    auto end = [](peal::join_handle<> handle) -> peal::task<bool> {
        try {
            co_await handle;
        } catch (const std::system_error& failure) {
            co_return peal::is_canceled(failure);
        }
        co_return false;
    };
    peal::pool a(peal::pool_options(1)), b(peal::pool_options(1));
    auto moved = a.spawn(body, b);
    std::this_thread::sleep_for(5ms);
    moved.request_stop();
    CHECK(b.run(end, std::move(moved)));
    CHECK(a.shutdown(5s, 5s).drained);
    CHECK(b.shutdown(5s, 5s).drained);
    CHECK(a.counts().accepted == 1);
    CHECK(a.counts().canceled == 1);
    CHECK(b.counts().accepted == 1);
    CHECK(b.counts().completed == 1);
}

// ---- contracts ---------------------------------------------------------------------------------------------------------------------------

TEST_CASE("child: run on a worker", "[.child]") {
    support::expect_abort();
    peal::pool pool(peal::pool_options(1));
    pool.run([](peal::pool& same) { same.run([] {}); }, pool);
}
TEST_CASE("child: sync_wait on a worker", "[.child]") {
    support::expect_abort();
    peal::pool pool(peal::pool_options(1));
    pool.run([]() { peal::sync_wait([]() -> peal::task<> { co_return; }()); });
}
TEST_CASE("child: shutdown by an own worker", "[.child]") {
    support::expect_abort();
    peal::pool pool(peal::pool_options(1));
    pool.run([](peal::pool& own) { own.shutdown(0ms, 0ms); }, pool);
}
TEST_CASE("child: destroyed by an own worker", "[.child]") {
    support::expect_abort();
    auto* pool = new peal::pool(peal::pool_options(1));
    pool->run([](peal::pool* own) { delete own; }, pool);
}
TEST_CASE("child: schedule_on a worker that is not there", "[.child]") {
    support::expect_abort();
    auto body = [](peal::pool& pool) -> peal::task<> { co_await pool.schedule_on(3); };  // 2 is the spare one
    peal::pool pool(peal::pool_options(2));
    pool.run(body, pool);
}
TEST_CASE("child: sleep outside a pool", "[.child]") {
    support::expect_abort();
    peal::sync_wait([]() -> peal::task<> { co_await peal::sleep_for(1ms); }());
}

TEST_CASE("pool: more workers than a pool may have are refused, with the number") {
    try {
        peal::pool pool(peal::pool_options(1025));
        FAIL("made");
    } catch (const std::invalid_argument& refused) {
        CHECK(std::string(refused.what()).find("1025 workers are more than a pool can have, 1024") != std::string::npos);
    }
}

TEST_CASE("pool: broken contracts end with their message") {
    const std::pair<const char*, const char*> rows[] = {
        {"child: run on a worker", "sync_wait() or pool.run() was called on a worker"},
        {"child: sync_wait on a worker", "sync_wait() or pool.run() was called on a worker"},
        {"child: shutdown by an own worker", "a pool was shut down or destroyed by one of its own workers"},
        {"child: destroyed by an own worker", "a pool was shut down or destroyed by one of its own workers"},
        {"child: schedule_on a worker that is not there", "the pool has no worker of this index"},
        {"child: sleep outside a pool", "co_await pool.schedule() before it"},
    };
    for (auto& [name, message] : rows) {
        auto child = support::run_case(name);
        INFO(name << '\n' << child.output);
        CHECK(child.signal == SIGABRT);
        CHECK(child.says(message));
    }
}

namespace {
peal::pool& the_static_pool() {
    static peal::pool pool(peal::pool_options(2));
    return pool;
}
}  // namespace

TEST_CASE("child: a pool in a static", "[.child]") {
    CHECK(the_static_pool().run(name_of_worker, the_static_pool(), 1u) == "peal/1");
    for (int i = 0; i < 10; ++i) {
        the_static_pool().spawn([]() -> peal::task<> {
            co_await peal::sleep_for(1ms);
            co_await the_static_pool().schedule();
        }).detach();
    }
    std::this_thread::sleep_for(50ms);  // the runner counts frames before the static goes
}
TEST_CASE("pool: one in a static ends with the program") {
    auto child = support::run_case("child: a pool in a static");
    INFO(child.output);
    CHECK(child.code >= 0);
    CHECK(child.signal == 0);
    CHECK_FALSE(child.hung);
    CHECK(child.says("All tests passed"));
    CHECK_FALSE(child.says("abandoned"));
}
