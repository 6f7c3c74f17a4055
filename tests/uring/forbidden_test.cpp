// SPDX-License-Identifier: MIT

// Where rings cannot be had: a pool that must have them says what was tried, what the system answered and what to set; one that may choose uses
// epoll, and says that once.

#include <peal/fs/file.hpp>
#include <peal/pool/pool.hpp>
#include <peal/time/sleep.hpp>

#include <sys/resource.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/rights.hpp"

namespace {

/// The text of the error that making a pool throws; empty if it throws none.
std::string text_of_failure(unsigned workers = 2) {
    try {
        peal::pool_options options(workers);
        options.driver = peal::driver_choice::uring;
        peal::pool pool{options};
        return "";
    } catch (const std::system_error& failure) {
        return failure.what();
    }
}

/// Two pools that choose, and what they do: the outside, a timer, a blocking thread.
void use_what_there_is() {
    ::unsetenv("PEAL_DRIVER");
    for (int i = 0; i < 2; ++i) {
        peal::pool pool(peal::pool_options(2));
        CHECK(std::string(pool.driver_of(0)) == "epoll");
        CHECK(std::string(pool.driver_of(1)) == "epoll");
        auto read = [] { return peal::fs::read_file("/proc/self/stat"); };
        CHECK(!pool.run(read).empty());
        auto rest = [] { return peal::sleep_for(std::chrono::milliseconds(1)); };
        auto sleeping = [&rest]() -> peal::task<int> {
            co_await rest();
            co_return 7;
        };
        CHECK(pool.run(sleeping) == 7);
    }
}

void check_fallback(const std::string& name, const std::string& reason) {
    auto ended = support::run_case(name);
    INFO(ended.output);
    CHECK(ended.succeeded());
    auto found = ended.output.find("peal: using epoll");
    REQUIRE(found != std::string::npos);
    CHECK(ended.output.find("peal: using epoll", found + 1) == std::string::npos);
    CHECK(ended.output.find(reason, found) != std::string::npos);
}

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

}  // namespace

TEST_CASE("child: io_uring_setup is refused with EPERM", "[.child]") {
    support::forbid_system_call(SYS_io_uring_setup, EPERM);
    std::string text = text_of_failure();
    CAPTURE(text);
    CHECK(says(text, "making a ring"));
    CHECK(says(text, "seccomp"));
    CHECK(says(text, "Docker"));
}

TEST_CASE("child: io_uring_setup does not exist", "[.child]") {
    support::forbid_system_call(SYS_io_uring_setup, ENOSYS);
    std::string text = text_of_failure();
    CAPTURE(text);
    CHECK(says(text, "has no io_uring"));
    CHECK(says(text, "5.19"));
}

TEST_CASE("child: io_uring_enter alone is refused", "[.child]") {
    support::forbid_system_call(SYS_io_uring_enter, EPERM);
    std::string text = text_of_failure();
    CAPTURE(text);
    CHECK(says(text, "entering a ring"));
    CHECK(says(text, "io_uring_enter"));
}

TEST_CASE("child: no memory may be locked", "[.child]") {
    support::set_limit(RLIMIT_MEMLOCK, 0);
    support::give_up_root();
    std::string text = text_of_failure();
    CAPTURE(text);
    if (text.empty()) {
        SUCCEED("this kernel does not count rings against the limit");
        return;
    }
    CHECK(says(text, "limit of locked memory"));
    CHECK(says(text, "it is 0 bytes"));
    CHECK(says(text, "ulimit -l"));
}

TEST_CASE("child: a choice without io_uring_setup", "[.child]") {
    support::forbid_system_call(SYS_io_uring_setup, EPERM);
    use_what_there_is();
}

TEST_CASE("child: a choice without io_uring in the kernel", "[.child]") {
    support::forbid_system_call(SYS_io_uring_setup, ENOSYS);
    use_what_there_is();
}

TEST_CASE("child: a choice without io_uring_enter", "[.child]") {
    support::forbid_system_call(SYS_io_uring_enter, EPERM);
    use_what_there_is();
}

TEST_CASE("child: a choice without locked memory", "[.child]") {
    support::set_limit(RLIMIT_MEMLOCK, 0);
    support::give_up_root();
    if (text_of_failure().empty()) {
        std::printf("peal: using epoll: limit of locked memory\n");  // what the parent looks for: this kernel does not count rings
        return;
    }
    use_what_there_is();
}

TEST_CASE("child: an environment that says nonsense", "[.child]") {
    ::setenv("PEAL_DRIVER", "kqueue", 1);
    std::string text;
    try {
        peal::pool pool{peal::pool_options(1)};
    } catch (const std::invalid_argument& failure) {
        text = failure.what();
    }
    CAPTURE(text);
    CHECK(says(text, "PEAL_DRIVER=kqueue"));
    CHECK(says(text, "must be uring or epoll"));
    ::setenv("PEAL_DRIVER", "epoll", 1);
    peal::pool pool{peal::pool_options(1)};
    CHECK(std::string(pool.driver_of(0)) == "epoll");
    peal::pool_options options(1);
    options.driver = peal::driver_choice::uring;
    peal::pool other{options};
    CHECK(std::string(other.driver_of(0)) == "uring");  // what the program says counts
}

TEST_CASE("child: little memory may be locked", "[.child]") {
    support::set_limit(RLIMIT_MEMLOCK, 64 * 1024);
    support::give_up_root();
    peal::pool_options options(2);
    options.ring_entries = 4096;  // does not fit: smaller rings are made
    options.driver = peal::driver_choice::uring;
    peal::pool pool(options);
    CHECK(peal::sync_wait(pool.offload([] { return 7; })) == 7);
}

TEST_CASE("child: descriptors run out while workers start", "[.child]") {
    {
        // The sanitizer of undefined behavior makes a pipe when it meets a class for the first time: it must know these by now.
        peal::pool_options impossible(2);
        impossible.pin_to_cpus = {-1};
        CHECK_THROWS_AS(peal::pool(impossible), std::system_error);
        peal::pool good(peal::pool_options(1));
    }
    support::set_limit(RLIMIT_NOFILE, 12);
    std::string text = text_of_failure(16);
    CAPTURE(text);
    CHECK(says(text, "ulimit -n"));
}

TEST_CASE("forbidden: the error says what to do when a filter forbids io_uring") {
    auto ended = support::run_case("child: io_uring_setup is refused with EPERM");
    INFO(ended.output);
    CHECK(ended.succeeded());
}

TEST_CASE("forbidden: the error says what is needed when the kernel has no io_uring") {
    auto ended = support::run_case("child: io_uring_setup does not exist");
    INFO(ended.output);
    CHECK(ended.succeeded());
}

TEST_CASE("forbidden: a filter that allows the setup and refuses to enter is found at the start") {
    auto ended = support::run_case("child: io_uring_enter alone is refused");
    INFO(ended.output);
    CHECK(ended.succeeded());
}

TEST_CASE("forbidden: the error names the limit of locked memory and how to raise it") {
    auto ended = support::run_case("child: no memory may be locked");
    INFO(ended.output);
    CHECK(ended.succeeded());
}

TEST_CASE("forbidden: rings become smaller when little memory may be locked") {
    auto ended = support::run_case("child: little memory may be locked");
    INFO(ended.output);
    CHECK(ended.succeeded());
}

TEST_CASE("forbidden: the error names the limit of descriptors, and the workers that started are gone") {
    auto ended = support::run_case("child: descriptors run out while workers start");
    INFO(ended.output);
    CHECK(ended.succeeded());
}

TEST_CASE("forbidden: a pool that may choose uses epoll, and says once why") {
    check_fallback("child: a choice without io_uring_setup", "seccomp");
    check_fallback("child: a choice without io_uring in the kernel", "has no io_uring");
    check_fallback("child: a choice without io_uring_enter", "entering a ring");
    check_fallback("child: a choice without locked memory", "limit of locked memory");
}

TEST_CASE("forbidden: PEAL_DRIVER decides what the program leaves open") {
    auto ended = support::run_case("child: an environment that says nonsense");
    INFO(ended.output);
    CHECK(ended.succeeded());
}
