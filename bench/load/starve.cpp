// SPDX-License-Identifier: MIT
//
// A server that may have 64 descriptors, and 10,000 clients that want to be served.
//
// Measures: CPU time of the server while it cannot accept, and the time from the moment when one of its connections ends (a descriptor
// comes free) until one that waited has its echo. The server's own limit is lowered from here (prlimit).
// Not: clients that give up.
//
// Exit status: 0 measured; 1 no connection, or nobody was served any more; 2 bad arguments.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <vector>

#include "failure.hpp"
#include "first.hpp"
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
    std::size_t attempts = 10'000;
    rlim_t descriptors = 64;
    double seconds = 5;
    std::size_t rounds = 30;
    bool json = false;
};

bool has_echo(const load::descriptor& socket) noexcept { return loopback::becomes(socket, POLLIN, 0); }

int starve(const settings& given)
{
    const load::server_process server(given.pid);
    load::reserve_descriptors(given.attempts + 16);
    const rlimit limit{given.descriptors, given.descriptors};
    if (prlimit(given.pid, RLIMIT_NOFILE, &limit, nullptr) != 0)
        throw load::failure_from_errno("prlimit of the server", errno);

    // Each sends its question as soon as it can; whom the server has accepted gets it back.
    const loopback to(given.port);
    std::vector<load::descriptor> callers;
    callers.reserve(given.attempts);
    for (std::size_t i = 0; i < given.attempts; ++i) {
        callers.push_back(to.begin(static_cast<unsigned>(i % 4)));
        static_cast<void>(::send(callers.back().get(), "question", 8, MSG_NOSIGNAL | MSG_DONTWAIT));
    }
    std::this_thread::sleep_for(500ms);
    std::vector<std::size_t> served, waiting;
    for (std::size_t i = 0; i < callers.size(); ++i)
        (has_echo(callers[i]) ? served : waiting).push_back(i);
    const std::size_t served_first = served.size();
    if (served.empty())
        throw load::failure("the server has served nobody");

    const double cpu_before = server.cpu_seconds();
    const auto begun = steady::now();
    std::this_thread::sleep_for(std::chrono::duration<double>(given.seconds));
    const std::chrono::duration<double> took = steady::now() - begun;
    const double cpu = (server.cpu_seconds() - cpu_before) / took.count();

    // A connection ends; whoever waited longest is next. (Attempts whose SYN found no room come again by themselves, later.)
    std::vector<double> milliseconds;
    for (std::size_t round = 0; round < given.rounds && !served.empty(); ++round) {
        std::this_thread::sleep_for(std::chrono::milliseconds(37 + 11 * (round % 7))); // not in step with the server's pauses
        const auto free_since = steady::now();
        callers[served.back()].close();
        served.pop_back();
        bool found = false;
        while (!found) {
            if (steady::now() - free_since > 5s)
                throw load::failure("a descriptor came free, and nobody was served within 5 s");
            std::this_thread::sleep_for(200us);
            for (std::size_t i = 0; i < std::min<std::size_t>(waiting.size(), 256) && !found; ++i) {
                if (!has_echo(callers[waiting[i]]))
                    continue;
                const std::chrono::duration<double, std::milli> waited = steady::now() - free_since;
                milliseconds.push_back(waited.count());
                served.insert(served.begin(), waiting[i]);
                waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(i));
                found = true;
            }
        }
    }
    std::sort(milliseconds.begin(), milliseconds.end());
    const double p50 = milliseconds[milliseconds.size() / 2];
    const double longest = milliseconds.back();
    std::printf(given.json
            ? "{\"attempts\": %zu, \"served_at_first\": %zu, \"starved_cpu\": %.4f, \"again_p50_ms\": %.1f, \"again_max_ms\": %.1f, \"rounds\": %zu}\n"
            : "%zu attempts, %zu served at first; CPU while starved %.4f of a core; served again after p50 %.1f, max %.1f ms (%zu rounds)\n",
        given.attempts, served_first, cpu, p50, longest, milliseconds.size());
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    settings given;
    const bool understood = load::read_numbers(argc, argv, given.json, {
        {"--port", [&given](double value) { given.port = static_cast<std::uint16_t>(value); }},
        {"--pid", [&given](double value) { given.pid = static_cast<pid_t>(value); }},
        {"--attempts", [&given](double value) { given.attempts = static_cast<std::size_t>(value); }},
        {"--descriptors", [&given](double value) { given.descriptors = static_cast<rlim_t>(value); }},
        {"--seconds", [&given](double value) { given.seconds = value; }},
        {"--rounds", [&given](double value) { given.rounds = static_cast<std::size_t>(value); }},
    });
    if (!understood || given.port == 0 || given.pid == 0 || given.rounds == 0) {
        std::fprintf(stderr, "usage: starve --port PORT --pid PID [--attempts N] [--descriptors N] [--seconds S] [--rounds N] [--json]\n");
        return 2;
    }
    try {
        load::be_first("starve");
        return starve(given);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "starve: %s\n", error.what());
        return 1;
    }
}
