// SPDX-License-Identifier: MIT

// TCP at the limits of the system: no descriptor left, a thousand connections, descriptors and exec.

#include <peal/net/tcp.hpp>

#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/net/resolve.hpp>
#include <peal/pool/pool.hpp>
#include <peal/process/signal.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/ends.hpp"
#include "support/rights.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"
#include "support/threads.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::net::tcp_listener;
using peal::net::tcp_stream;
using support::take;

namespace {

/// No descriptor can be made any more.
///
/// The sanitizer of undefined behavior makes a pipe when it meets a class with virtual functions for the first time, and takes a
/// failure for a broken object: what runs without descriptors must have run before.
void exhaust_descriptors() {
    int lowest_free = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
    ::close(lowest_free);
    support::set_limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free));
}

rlim_t descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}

std::chrono::nanoseconds cpu_time() {
    timespec used{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

peal::task<int> accept_all(tcp_listener& listener, int count) {
    for (int i = 0; i < count; ++i) static_cast<void>(co_await listener.accept());
    co_return count;
}

peal::task<std::string> accept_end(tcp_listener& listener) {
    try {
        static_cast<void>(co_await listener.accept());
        co_return "accepted";
    } catch (const std::system_error& failure) {
        co_return failure.what();
    }
}

}  // namespace

TEST_CASE("child: accept without descriptors", "[.child]") {
    peal::pool_options options(1);
    options.name = "limits";
    peal::pool pool(options);
    tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
    support::raw_socket callers[3];
    for (support::raw_socket& each : callers) each = support::connect_raw(listener.local_address());
    CHECK(pool.run(take<int>, pool.spawn(accept_all, std::ref(listener), 3)) == 3);
    for (support::raw_socket& each : callers) each = support::connect_raw(listener.local_address());

    unsigned long sleeps = support::sleeps_of("limits/");
    rlim_t before = descriptor_limit();
    exhaust_descriptors();
    auto accepting = pool.spawn(accept_all, std::ref(listener), 3);
    std::this_thread::sleep_for(20ms);
    auto cpu = cpu_time();
    std::this_thread::sleep_for(600ms);
    auto used = cpu_time() - cpu;
    bool waits = !accepting.has_ended();
    support::set_limit(RLIMIT_NOFILE, before);
    CHECK(waits);
    // A try every 20 ms, a few sleeps for each; a loop without a pause would sleep never, or a hundred thousand times.
    unsigned long slept = support::sleeps_of("limits/") - sleeps;
    CHECK(slept >= 5);
    CHECK(slept < 300);
    CHECK(used < 300ms);
    CHECK(pool.run(take<int>, std::move(accepting)) == 3);
}

TEST_CASE("child: listener closed while accept waits for descriptors", "[.child]") {
    peal::pool pool(peal::pool_options(1));
    for (int round : {0, 1, 2, 3}) {
        bool destroy = round % 2 == 1;
        std::optional<tcp_listener> listener(tcp_listener::bind("127.0.0.1:0"));
        rlim_t before = descriptor_limit();
        if (round >= 2) exhaust_descriptors();
        auto accepting = pool.spawn(accept_end, std::ref(*listener));
        std::this_thread::sleep_for(20ms);
        auto end_it = [](std::optional<tcp_listener>& ended, bool by_destroying) {
            if (by_destroying) {
                ended.reset();
            } else {
                ended->close();
            }
        };
        pool.run(end_it, std::ref(listener), destroy);
        std::string end = pool.run(take<std::string>, std::move(accepting));
        support::set_limit(RLIMIT_NOFILE, before);
        CHECK(end == "accept: Invalid argument");
    }
}

// ---- more callers than descriptors ------------------------------------------------------------------------------------------------------

namespace {

constexpr rlim_t few = 64;

/// The same connection under a number that the limit of others does not reach.
support::raw_socket moved_away(support::raw_socket socket) {
    return support::raw_socket(::fcntl(socket.get(), F_DUPFD_CLOEXEC, 2 * static_cast<int>(few)));
}

bool has_answer(const support::raw_socket& caller) {
    char byte;
    return ::recv(caller.get(), &byte, 1, MSG_DONTWAIT) == 1;
}

peal::task<> answer_until_it_ends(tcp_stream peer) {
    std::array<std::byte, 16> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

peal::task<> answer_all(tcp_listener& listener, int count) {
    peal::scope sessions(peal::on_error::keep_going);
    for (int i = 0; i < count; ++i) sessions.spawn(answer_until_it_ends, co_await listener.accept());
    co_await sessions.join();
}

/// Each caller that has its answer leaves, and makes room for the next one.
void answer_more_than_fit(peal::driver_choice driver) {
    constexpr int count = 300;
    peal::pool_options options(2);
    options.driver = driver;
    peal::pool pool(options);
    tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
    auto call = [&listener] {
        support::raw_socket caller = moved_away(support::connect_raw(listener.local_address()));
        CHECK(::send(caller.get(), "x", 1, MSG_NOSIGNAL) == 1);
        return caller;
    };
    auto first = pool.spawn(answer_all, std::ref(listener), 1);  // what runs without descriptors must have run before: see exhaust_descriptors()
    call();
    pool.run(take<void>, std::move(first));

    std::vector<support::raw_socket> callers;
    for (int i = 0; i < count; ++i) callers.push_back(call());
    rlim_t before = descriptor_limit();
    support::set_limit(RLIMIT_NOFILE, few);
    auto answering = pool.spawn(answer_all, std::ref(listener), count);
    int answered = 0;
    int at_once_most = 0;
    while (!callers.empty()) {
        std::this_thread::sleep_for(5ms);
        auto leaving = std::stable_partition(callers.begin(), callers.end(), [](const support::raw_socket& each) { return !has_answer(each); });
        at_once_most = std::max(at_once_most, static_cast<int>(callers.end() - leaving));
        answered += static_cast<int>(callers.end() - leaving);
        callers.erase(leaving, callers.end());
    }
    pool.run(take<void>, std::move(answering));
    support::set_limit(RLIMIT_NOFILE, before);
    CHECK(answered == count);
    CHECK(at_once_most < static_cast<int>(few));  // it did run out of them
}

}  // namespace

TEST_CASE("child: more callers than descriptors by a ring", "[.child]") { answer_more_than_fit(peal::driver_choice::automatic); }
TEST_CASE("child: more callers than descriptors by epoll", "[.child]") { answer_more_than_fit(peal::driver_choice::epoll); }

TEST_CASE("tcp limits: with 64 descriptors, 300 callers are served one after the other") {
    for (const char* name : {"child: more callers than descriptors by a ring", "child: more callers than descriptors by epoll"}) {
        auto child = support::run_case(name);
        INFO(child.output);
        CHECK(child.succeeded());
    }
}

TEST_CASE("tcp limits: accept waits while descriptors run out, without spinning, and goes on") {
    auto child = support::run_case("child: accept without descriptors");
    INFO(child.output);
    CHECK(child.succeeded());
}

TEST_CASE("tcp limits: a listener may go while an accept waits for descriptors") {
    auto child = support::run_case("child: listener closed while accept waits for descriptors");
    INFO(child.output);
    CHECK(child.succeeded());
}

// ---- many connections --------------------------------------------------------------------------------------------------------------

namespace {

constexpr int crowd = 1000;

peal::task<> echo_session(tcp_stream peer) {
    std::array<std::byte, 256> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}

peal::task<> serve_crowd(tcp_listener& listener) {
    peal::scope sessions(peal::on_error::keep_going);
    for (int i = 0; i < crowd; ++i) sessions.spawn(echo_session, co_await listener.accept());
    co_await sessions.join();
}

peal::task<> one_of_many(peal::net::address server, int number, std::atomic<int>& connected, support::verdict& judged) {
    tcp_stream stream = co_await tcp_stream::connect(server);
    ++connected;
    while (connected < crowd) co_await peal::sleep_for(1ms);
    std::vector<std::byte> question = support::pattern(200, static_cast<std::uint64_t>(number));
    std::array<std::byte, 200> answer;
    for (int i = 0; i < 5; ++i) {
        co_await stream.write_all(question);
        std::size_t got = co_await stream.read_exactly(answer);
        judged.expect(got == 200 && support::fits(answer, static_cast<std::uint64_t>(number)), "a wrong answer");
    }
}

peal::task<> meet(tcp_listener& listener, std::atomic<int>& connected, support::verdict& judged) {
    peal::scope all;
    all.spawn(serve_crowd, std::ref(listener));
    for (int i = 0; i < crowd; ++i) {
        all.spawn(one_of_many, listener.local_address(), i, std::ref(connected), std::ref(judged));
    }
    co_await all.join();
}

}  // namespace

TEST_CASE("tcp limits: a thousand connections at once") {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < 2 * crowd + 100) {
        WARN("not tried: no more than " << limit.rlim_max << " descriptors are allowed");
        return;
    }
    rlim_t before = limit.rlim_cur;
    if (before < 2 * crowd + 100) support::set_limit(RLIMIT_NOFILE, 2 * crowd + 100);
    {
        peal::pool pool(peal::pool_options(2));
        tcp_listener listener = tcp_listener::bind("127.0.0.1:0");
        support::verdict judged;
        std::atomic<int> connected{0};
        pool.run(meet, std::ref(listener), std::ref(connected), judged);
        CHECK(connected == crowd);
        CHECK(judged.text() == "");
    }
    support::set_limit(RLIMIT_NOFILE, before);
}

// ---- close-on-exec -------------------------------------------------------------------------------------------------------------------

namespace {

std::set<int> open_numbers() {
    std::set<int> numbers;
    DIR* folder = ::opendir("/proc/self/fd");
    while (dirent* each = ::readdir(folder)) {
        if (each->d_name[0] != '.' && std::atoi(each->d_name) != ::dirfd(folder)) numbers.insert(std::atoi(each->d_name));
    }
    ::closedir(folder);
    return numbers;
}

unsigned long flags_of(int fd) {
    std::ifstream facts("/proc/self/fdinfo/" + std::to_string(fd));
    for (std::string line; std::getline(facts, line);) {
        if (line.starts_with("flags:")) return std::stoul(line.substr(6), nullptr, 8);
    }
    return O_CLOEXEC;  // closed meanwhile
}

}  // namespace

TEST_CASE("tcp limits: every descriptor is closed at exec") {
    auto body = [](std::set<int>& before) -> peal::task<int> {
        auto listener = tcp_listener::bind("127.0.0.1:0");
        support::stream_pair ends = co_await support::connected_pair();
        peal::fs::file file = co_await peal::fs::file::open("/proc/self/exe");
        static_cast<void>(co_await peal::net::resolve("localhost", "80"));
        peal::process::termination_signal signals;
        int made = 0;
        for (int fd : open_numbers()) {
            if (before.contains(fd)) continue;
            ++made;
            INFO("descriptor " << fd);
            CHECK((flags_of(fd) & O_CLOEXEC) != 0);
        }
        co_return made;
    };
    std::set<int> before = open_numbers();
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(body, std::ref(before)) >= 7);  // ring, event descriptor, listener, two ends, file, signals
}
