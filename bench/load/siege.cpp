// SPDX-License-Identifier: MIT
//
// An echo server among hostile clients: how long does an honest one wait meanwhile?
//
// Measures, in phases: nobody else; 10,000 idle connections; 1,000 more that send a byte a second; 10,000 connections a second more that
// are reset at once, half of them after a message; nobody again. In each: the latency of a client that sends 64 bytes every
// millisecond on a connection that it keeps, and of one that connects for each message, every 20 ms; CPU time of the server. And memory
// per idle connection, and whether the server holds a descriptor more than before when all have gone.
//
// The honest client is a thread of the same program as the hostile ones. What it waits for should be the server and not those, so it runs at a
// real-time priority if it may (else they are only nicer than it, and a slice of them, 3 to 4 ms, shows as its p99; the program says so).
//
// Not: networks; clients that do not read (the server's own limits), half-open connections.
//
// Exit status: 0 measured; 1 no connection, or the server has broken one or kept a descriptor; 2 bad arguments.

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "failure.hpp"
#include "first.hpp"
#include "histogram.hpp"
#include "loopback.hpp"
#include "number_options.hpp"
#include "server_process.hpp"
#include "socket.hpp"

namespace {

using namespace std::chrono_literals;
using load::loopback;
using load::steady;

struct settings {
    std::uint16_t port = 0;
    pid_t pid = 0;
    std::size_t idle = 10'000;
    std::size_t slow = 1'000;
    double resets = 10'000; // per second
    double seconds = 4;     // per phase
    bool json = false;
};

struct latencies {
    load::histogram kept;
    load::histogram fresh;
    double server_cpu = 0;      // of one core
    double resets = 0;          // per second, reached
    std::uint64_t lost = 0;     // honest requests without an answer
};

/// Runs `step(n)` for n = 0, 1 ... `rate` times a second until it is destroyed. What it missed while it did not get the CPU it makes up for.
class attacker {
public:
    attacker(double rate, std::function<void(std::uint64_t)> step)
        : thread_([this, rate, step = std::move(step)] { run(rate, step); })
    {
    }
    ~attacker()
    {
        over_ = true;
        thread_.join();
    }
    [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

private:
    void run(double rate, const std::function<void(std::uint64_t)>& step)
    {
        load::be_last();
        const auto begun = steady::now();
        while (!over_) {
            const std::chrono::duration<double> since = steady::now() - begun;
            const auto due = static_cast<std::uint64_t>(since.count() * rate);
            for (std::uint64_t i = 0; i < 64 && steps_ < due && !over_; ++i)
                step(steps_++);
            if (steps_ >= due)
                std::this_thread::sleep_for(1ms);
        }
    }

    std::atomic<bool> over_{false};
    std::atomic<std::uint64_t> steps_{0};
    std::thread thread_;
};

latencies measure(const settings& given, const load::server_process& server, const attacker* resets)
{
    latencies measured;
    const loopback to(given.port);
    load::descriptor kept = to.open(150);
    if (!loopback::echo(kept, 64))
        throw load::failure("the honest client got no echo");
    const double cpu = server.cpu_seconds();
    const std::uint64_t resets_before = resets != nullptr ? resets->steps() : 0;
    const auto begun = steady::now();
    const auto end = begun + std::chrono::duration_cast<steady::duration>(std::chrono::duration<double>(given.seconds));
    auto timed = [&measured](load::histogram& into, auto&& request) {
        const auto since = steady::now();
        if (request())
            into.record((steady::now() - since).count());
        else
            ++measured.lost;
    };
    std::uint64_t number = 0;
    for (auto due = begun; due < end; due = std::max(due + 1ms, steady::now() - 1ms), ++number) {
        std::this_thread::sleep_until(due);
        timed(measured.kept, [&] { return loopback::echo(kept, 64); });
        if (number % 20 != 0)
            continue;
        timed(measured.fresh, [&] {
            load::descriptor fresh = to.open(151);
            const bool answered = loopback::echo(fresh, 64);
            loopback::reset(fresh); // no port in TIME_WAIT
            return answered;
        });
    }
    const std::chrono::duration<double> took = steady::now() - begun;
    measured.server_cpu = (server.cpu_seconds() - cpu) / took.count();
    if (resets != nullptr)
        measured.resets = static_cast<double>(resets->steps() - resets_before) / took.count();
    return measured;
}

/// Waits until the server has so many descriptors, at most `limit`.
std::size_t wait_for_descriptors(const load::server_process& server, std::size_t wanted, std::chrono::seconds limit)
{
    const auto end = steady::now() + limit;
    std::size_t now = server.descriptors();
    while (now != wanted && steady::now() < end) {
        std::this_thread::sleep_for(10ms);
        now = server.descriptors();
    }
    return now;
}

void print(const settings& given, const char* phase, const latencies& measured, bool is_last = false)
{
    auto us = [](std::uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; };
    const char* format = given.json
        ? "  \"%s\": {\"kept_p50_us\": %.1f, \"kept_p99_us\": %.1f, \"kept_max_us\": %.1f, \"fresh_p50_us\": %.1f, \"fresh_p99_us\": %.1f, "
          "\"server_cpu\": %.3f, \"resets_per_second\": %.0f, \"lost\": %llu}%s\n"
        : "%-8s kept p50 %8.1f p99 %8.1f max %9.1f us   fresh p50 %8.1f p99 %8.1f us   server CPU %.2f  resets %6.0f/s  lost %llu%s\n";
    std::printf(format, phase, us(measured.kept.quantile(0.5)), us(measured.kept.quantile(0.99)), us(measured.kept.max()),
        us(measured.fresh.quantile(0.5)), us(measured.fresh.quantile(0.99)), measured.server_cpu, measured.resets,
        static_cast<unsigned long long>(measured.lost), given.json && !is_last ? "," : "");
    std::fflush(stdout);
}

int besiege(const settings& given)
{
    const load::server_process server(given.pid);
    load::reserve_descriptors(given.idle + given.slow + 300);
    const loopback to(given.port);
    std::size_t broken = 0;

    const std::size_t descriptors_before = server.descriptors();
    const latencies quiet = measure(given, server, nullptr);
    const std::uint64_t memory_before = server.resident_bytes();

    std::vector<load::descriptor> idle;
    idle.reserve(given.idle);
    for (std::size_t i = 0; i < given.idle; ++i)
        idle.push_back(to.open(static_cast<unsigned>(i % 4)));
    wait_for_descriptors(server, descriptors_before + given.idle, 10s);
    const std::uint64_t memory_idle = server.resident_bytes();
    const latencies with_idle = measure(given, server, nullptr);

    latencies with_slow, under_siege;
    {
        std::vector<load::descriptor> slow;
        slow.reserve(given.slow);
        for (std::size_t i = 0; i < given.slow; ++i)
            slow.push_back(to.open(4));
        attacker dripping(static_cast<double>(given.slow), [&slow](std::uint64_t number) {
            const load::descriptor& socket = slow[number % slow.size()];
            char byte = 'x';
            static_cast<void>(::send(socket.get(), &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT));
            static_cast<void>(::recv(socket.get(), &byte, 1, MSG_DONTWAIT)); // the echo of the one before
        });
        with_slow = measure(given, server, nullptr);
        {
            attacker resetting(given.resets, [&to](std::uint64_t number) {
                try {
                    load::descriptor victim = to.begin(static_cast<unsigned>(5 + number % 100));
                    if (number % 2 == 0)
                        static_cast<void>(::send(victim.get(), "reset", 5, MSG_NOSIGNAL | MSG_DONTWAIT));
                    loopback::reset(victim);
                } catch (const load::failure&) {
                    // no port, or refused: the next one
                }
            });
            under_siege = measure(given, server, &resetting);
        }
        for (const load::descriptor& socket : slow)
            if (loopback::becomes(socket, POLLRDHUP, 0))
                ++broken;
    }
    for (const load::descriptor& socket : idle)
        if (load::why_broken(socket))
            ++broken;
    for (load::descriptor& socket : idle)
        loopback::reset(socket);
    const std::size_t descriptors_after = wait_for_descriptors(server, descriptors_before, 10s);
    const latencies after = measure(given, server, nullptr);
    const std::uint64_t memory_after = server.resident_bytes();

    const double per_idle = given.idle == 0 ? 0
        : (static_cast<double>(memory_idle) - static_cast<double>(memory_before)) / static_cast<double>(given.idle);
    const double ratio = static_cast<double>(under_siege.kept.quantile(0.99)) / static_cast<double>(std::max<std::uint64_t>(1, quiet.kept.quantile(0.99)));
    if (given.json)
        std::printf("{\n");
    print(given, "quiet", quiet);
    print(given, "idle", with_idle);
    print(given, "slow", with_slow);
    print(given, "siege", under_siege);
    print(given, "after", after);
    std::printf(given.json ? "  \"p99_ratio\": %.2f, \"bytes_per_idle\": %.0f, \"resident_bytes_before\": %.0f, \"resident_bytes_after\": %.0f,\n"
                             "  \"descriptors_before\": %zu, \"descriptors_after\": %zu, \"broken\": %zu\n}\n"
                           : "p99 under siege: %.2f of quiet; %.0f B per idle connection; resident before %.0f, after %.0f B; descriptors before %zu, "
                             "after %zu; honest or idle connections broken: %zu\n",
        ratio, per_idle, static_cast<double>(memory_before), static_cast<double>(memory_after), descriptors_before, descriptors_after, broken);
    if (broken != 0 || descriptors_after != descriptors_before || under_siege.lost != 0) {
        std::fprintf(stderr, "siege: the server broke %zu connections, left %llu requests without an answer, and holds %zu descriptors instead of %zu\n",
            broken, static_cast<unsigned long long>(under_siege.lost), descriptors_after, descriptors_before);
        return 1;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    settings given;
    const bool understood = load::read_numbers(argc, argv, given.json, {
        {"--port", [&given](double value) { given.port = static_cast<std::uint16_t>(value); }},
        {"--pid", [&given](double value) { given.pid = static_cast<pid_t>(value); }},
        {"--idle", [&given](double value) { given.idle = static_cast<std::size_t>(value); }},
        {"--slow", [&given](double value) { given.slow = static_cast<std::size_t>(value); }},
        {"--resets", [&given](double value) { given.resets = value; }},
        {"--seconds", [&given](double value) { given.seconds = value; }},
    });
    if (!understood || given.port == 0 || given.pid == 0 || given.slow == 0) {
        std::fprintf(stderr, "usage: siege --port PORT --pid PID [--idle N] [--slow N] [--resets PER_SECOND] [--seconds PER_PHASE] [--json]\n");
        return 2;
    }
    try {
        load::be_first("siege");
        return besiege(given);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "siege: %s\n", error.what());
        return 1;
    }
}
