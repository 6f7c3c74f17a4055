// SPDX-License-Identifier: MIT

// Measures: a million tasks that sleep at the same time on one worker.
//   bytes_per_task: growth of the resident memory of the process, from an idle pool to all of them asleep
//   cpu_per_task: CPU time of the whole process for spawning, sleeping, waking and ending, per task
// Each repetition is a process of its own (forked before it has a thread), so that no memory of an earlier one is used again.
// Not: lateness (time/lateness); tasks with data of their own. The time of the benchmark is dominated by the sleep and means nothing.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <exception>
#include <fstream>
#include <functional>

#include <peal/peal.hpp>

#include "support/bench.hpp"

namespace {

using namespace std::chrono_literals;

struct figures {
    bool valid = false;  // all slept before the first woke
    double bytes_per_task = 0;
    double cpu_seconds_per_task = 0;
    double allocations_per_task = 0;
};

double resident_bytes() {
    std::int64_t total = 0, resident = 0;
    std::ifstream("/proc/self/statm") >> total >> resident;
    return static_cast<double>(resident) * static_cast<double>(::sysconf(_SC_PAGESIZE));
}

double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    auto seconds = [](const timeval& time) { return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6; };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

peal::task<> sleep(peal::clock::time_point until, std::int64_t& begun) {
    ++begun;  // one worker: no other task runs meanwhile
    co_await peal::sleep_until(until);
}

peal::task<figures> many(peal::pool& pool, std::int64_t tasks, std::chrono::nanoseconds length) {
    figures measured;
    bench::allocations taken;
    double resident_before = resident_bytes();
    double cpu_before = cpu_seconds();
    {
        // Deadlines over as long as the shortest sleep, so that they lie in many slots of the wheel.
        auto first = peal::clock::now() + length;
        std::int64_t begun = 0;
        peal::scope sleepers;
        for (std::int64_t i = 0; i < tasks; ++i) {
            sleepers.spawn(sleep, first + length * i / tasks, std::ref(begun));
            if (i % 128 == 0) co_await pool.schedule();  // spawned ones begin
        }
        while (begun != tasks) co_await pool.schedule();
        measured.valid = peal::clock::now() < first;
        measured.bytes_per_task = (resident_bytes() - resident_before) / static_cast<double>(tasks);
        co_await sleepers.join();
    }
    measured.cpu_seconds_per_task = (cpu_seconds() - cpu_before) / static_cast<double>(tasks);
    measured.allocations_per_task = static_cast<double>(taken.count()) / static_cast<double>(tasks);
    co_return measured;
}

/// Runs `many` in a process of its own.
figures measure(std::int64_t tasks, std::chrono::nanoseconds length) {
    int ends[2];
    bench::expect(::pipe(ends) == 0, "pipe failed");
    ::pid_t child = ::fork();
    bench::expect(child >= 0, "fork failed");
    if (child == 0) {
        ::close(ends[0]);
        int status = 1;
        try {
            peal::pool pool(peal::pool_options(1));
            figures measured = pool.run(many, std::ref(pool), tasks, length);
            if (::write(ends[1], &measured, sizeof measured) == sizeof measured) status = 0;
        } catch (const std::exception& failure) {
            std::fprintf(stderr, "%s\n", failure.what());
        }
        ::_exit(status);
    }
    ::close(ends[1]);
    figures measured;
    bool complete = ::read(ends[0], &measured, sizeof measured) == sizeof measured;
    ::close(ends[0]);
    int status = 0;
    ::waitpid(child, &status, 0);
    bench::expect(complete && status == 0, "time/sleepers: the process that measures failed");
    return measured;
}

void sleepers(benchmark::State& state) {
    figures measured;
    auto length = bench::smoke() ? std::chrono::nanoseconds(20ms) : std::chrono::nanoseconds(2s);
    for ([[maybe_unused]] auto _ : state) {
        while (!measured.valid) {  // a slow machine needs longer until all sleep
            measured = measure(state.range(0), length);
            length *= 2;
        }
    }
    state.counters["bytes_per_task"] = measured.bytes_per_task;
    state.counters["cpu_per_task"] = measured.cpu_seconds_per_task;
    state.counters["allocations"] = measured.allocations_per_task;
}

}  // namespace

void bench::add_all() {
    add("time/sleepers/sleep_until", sleepers)
        ->ArgName("tasks")
        ->Arg(scaled(1'000'000, 1'000))
        ->Iterations(1)
        ->Unit(benchmark::kMillisecond);
}
