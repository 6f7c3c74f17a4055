// SPDX-License-Identifier: MIT

// Waiting for descriptors that somebody else reads from and writes to.

#include <peal/io/readiness.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <system_error>
#include <thread>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"

using namespace std::chrono_literals;

namespace {

peal::task<> until_readable(int fd) { co_await peal::io::wait_readable(fd); }
peal::task<> until_writable(int fd) { co_await peal::io::wait_writable(fd); }

bool is_ready(int fd, short events) {
    pollfd asked{fd, events, 0};
    return ::poll(&asked, 1, 0) == 1;
}

}  // namespace

TEST_CASE("readiness: an eventfd that a thread writes to") {
    int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    REQUIRE(fd >= 0);
    peal::pool pool(peal::pool_options(1));
    for (std::uint64_t i = 1; i <= 200; ++i) {
        auto waiting = pool.spawn(until_readable, fd);
        std::thread writer([fd, i] { REQUIRE(::write(fd, &i, sizeof i) == sizeof i); });
        pool.run([](peal::join_handle<> joined) -> peal::task<> { co_await joined; }, std::move(waiting));
        writer.join();
        std::uint64_t got = 0;
        REQUIRE(::read(fd, &got, sizeof got) == sizeof got);
        REQUIRE(got == i);
    }
    ::close(fd);
}

TEST_CASE("readiness: a timerfd, and a pipe that has room again") {
    int timer = ::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    REQUIRE(timer >= 0);
    itimerspec soon{};
    soon.it_value.tv_nsec = 1'000'000;
    REQUIRE(::timerfd_settime(timer, 0, &soon, nullptr) == 0);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
    char block[4096] = {};
    while (::write(ends[1], block, sizeof block) > 0) {
    }
    REQUIRE_FALSE(is_ready(ends[1], POLLOUT));

    peal::pool pool(peal::pool_options(1));
    pool.run(until_readable, timer);
    CHECK(is_ready(timer, POLLIN));
    auto waiting = pool.spawn(until_writable, ends[1]);
    std::this_thread::sleep_for(2ms);
    CHECK_FALSE(waiting.has_ended());
    for (int i = 0; i < 16; ++i) REQUIRE(::read(ends[0], block, sizeof block) == sizeof block);
    pool.run([](peal::join_handle<> joined) -> peal::task<> { co_await joined; }, std::move(waiting));
    CHECK(is_ready(ends[1], POLLOUT));
    for (int fd : {timer, ends[0], ends[1]}) ::close(fd);
}

TEST_CASE("readiness: the other side's end, a file, and what is no descriptor") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    peal::pool pool(peal::pool_options(1));
    auto waiting = pool.spawn(until_readable, ends[0]);
    ::close(ends[1]);
    pool.run([](peal::join_handle<> joined) -> peal::task<> { co_await joined; }, std::move(waiting));
    ::close(ends[0]);

    int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    REQUIRE(file >= 0);
    pool.run(until_readable, file);
    ::close(file);
    try {
        pool.run(until_readable, file);
        FAIL("no error");
    } catch (const std::system_error& failure) {
        CHECK(failure.code() == std::errc::bad_file_descriptor);
    }
}

TEST_CASE("readiness: a stop ends the wait") {
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    auto body = [](int fd) -> peal::task<bool> {
        auto waiting = peal::io::wait_readable(fd);
        auto limited = peal::timeout(1ms, waiting);
        auto ended = co_await peal::as_result(std::move(limited));
        co_return !ended && ended.error().code() == std::errc::timed_out;
    };
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(body, ends[0]));
    ::close(ends[0]);
    ::close(ends[1]);
}
