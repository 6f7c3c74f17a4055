// SPDX-License-Identifier: MIT

// Signals that end a program: asked for by kill(), not raise(): workers get no signals, the threads of the program do.

#include <peal/process/signal.hpp>

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"

using namespace std::chrono_literals;
using peal::process::run_until_terminated;

namespace {

void send_self(int number) { ::kill(::getpid(), number); }

peal::task<> wait_for_ever() { co_await peal::sleep_for(1h); }

peal::task<> serve_and_signal(int number, std::atomic<int>& ended) {
    peal::scope sessions(peal::on_error::keep_going);
    for (int i = 0; i < 10; ++i) sessions.spawn(wait_for_ever);
    send_self(number);
    try {
        co_await wait_for_ever();
    } catch (...) {
        ++ended;
        throw;
    }
}

void say(const char* words) { static_cast<void>(!::write(1, words, std::char_traits<char>::length(words))); }

/// Takes no notice of a request to stop.
peal::task<> stubborn(peal::pool& pool) {
    for (;;) co_await pool.schedule();
}

}  // namespace

TEST_CASE("signal: SIGTERM and SIGINT end what runs, orderly") {
    for (unsigned workers : {1u, 3u}) {
        peal::pool pool{peal::pool_options(workers)};
        for (int number : {SIGTERM, SIGINT, SIGTERM}) {  // and the same pool serves again
            std::atomic<int> ended{0};
            CHECK(run_until_terminated(pool, serve_and_signal, number, std::ref(ended)) == number);
            CHECK(ended == 1);
        }
        auto report = pool.shutdown(10s, 10s);
        CHECK(report.drained);
    }
}

TEST_CASE("signal: without a signal, main ends by itself and its watcher with it") {
    auto before = [](int signal) {
        struct sigaction action {};
        ::sigaction(signal, nullptr, &action);
        return action.sa_handler;
    };
    auto body = [](std::atomic<int>& ran) -> peal::task<> {
        co_await peal::sleep_for(1ms);
        ++ran;
    };
    peal::pool pool(peal::pool_options(2));
    auto handler = before(SIGTERM);
    std::atomic<int> ran{0};
    for (int i = 0; i < 50; ++i) CHECK(run_until_terminated(pool, body, std::ref(ran)) == 0);
    CHECK(ran == 50);
    CHECK(run_until_terminated(pool, [](std::atomic<int>& counter) { ++counter; }, std::ref(ran)) == 0);  // a plain function
    CHECK(ran == 51);
    CHECK(before(SIGTERM) == handler);
    auto report = pool.shutdown(10s, 10s);
    CHECK(report.drained);
}

TEST_CASE("signal: an exception of main passes, with a signal and without") {
    auto throwing = []() -> peal::task<> {
        co_await peal::sleep_for(1ms);
        throw std::runtime_error("main failed");
    };
    auto failing_at_the_end = []() -> peal::task<> {
        send_self(SIGTERM);
        try {
            co_await peal::sleep_for(1h);
        } catch (const std::system_error&) {
        }
        throw std::runtime_error("could not save");
    };
    auto canceled_by_itself = []() -> peal::task<> {
        throw std::system_error(std::make_error_code(std::errc::operation_canceled), "no signal");
        co_return;
    };
    peal::pool pool(peal::pool_options(1));
    CHECK_THROWS_AS(run_until_terminated(pool, throwing), std::runtime_error);
    CHECK_THROWS_AS(run_until_terminated(pool, failing_at_the_end), std::runtime_error);
    CHECK_THROWS_AS(run_until_terminated(pool, canceled_by_itself), std::system_error);
}

TEST_CASE("signal: main is waited for when the whole pool is asked to stop") {
    // What main refers to lies on the caller's stack.
    auto body = [](peal::pool& pool, std::atomic<bool>& ended) -> peal::task<> {
        pool.request_stop();
        auto end = peal::clock::now() + 50ms;
        while (peal::clock::now() < end) co_await pool.schedule();  // an orderly end takes its time
        ended = true;
    };
    peal::pool pool(peal::pool_options(2));
    std::atomic<bool> ended{false};
    try {
        run_until_terminated(pool, body, pool, std::ref(ended));
    } catch (const std::system_error& failure) {
        CHECK(peal::is_canceled(failure));
    }
    CHECK(ended);
}

TEST_CASE("signal: one that came before the wait is not lost") {
    auto wait = [](peal::process::termination_signal& signal) -> peal::task<int> { co_return co_await signal.wait(); };
    peal::pool pool(peal::pool_options(1));
    peal::process::termination_signal signal;
    CHECK_FALSE(signal.arrived());
    send_self(SIGINT);
    for (int i = 0; i < 5000 && !signal.arrived(); ++i) std::this_thread::sleep_for(1ms);
    CHECK(signal.number() == SIGINT);
    CHECK(pool.run(wait, std::ref(signal)) == SIGINT);
}

// ---- signal_watch ----------------------------------------------------------------------------------------------------------------

namespace {

peal::task<int> next_of(peal::process::signal_watch& watch) { co_return co_await watch.next(); }

bool is_default(int number) {
    struct sigaction action {};
    ::sigaction(number, nullptr, &action);
    return action.sa_handler == SIG_DFL;
}

}  // namespace

TEST_CASE("signal_watch: gives what came before and what comes, each kind once, and restores what was before") {
    auto wait_and_send = [](peal::process::signal_watch& watch) -> peal::task<int> {
        peal::spawn([]() -> peal::task<> {
            co_await peal::sleep_for(2ms);
            send_self(SIGUSR2);
        }).detach();
        co_return co_await watch.next();
    };
    peal::pool pool(peal::pool_options(2));
    {
        peal::process::signal_watch watch({SIGUSR1, SIGUSR2, SIGUSR1});
        for (int i = 0; i < 3; ++i) send_self(SIGUSR1);
        CHECK(pool.run(next_of, std::ref(watch)) == SIGUSR1);
        CHECK(pool.run(wait_and_send, std::ref(watch)) == SIGUSR2);
        CHECK_FALSE(is_default(SIGUSR1));
    }
    CHECK(is_default(SIGUSR1));
    CHECK(is_default(SIGUSR2));
}

TEST_CASE("signal_watch: all who want a signal get it, beside a termination_signal, too") {
    auto wait = [](peal::process::termination_signal& signal) -> peal::task<int> { co_return co_await signal.wait(); };
    peal::pool pool(peal::pool_options(1));
    peal::process::signal_watch first({SIGTERM, SIGHUP});
    {
        peal::process::signal_watch second({SIGHUP});
        peal::process::termination_signal termination;
        send_self(SIGHUP);
        CHECK(pool.run(next_of, std::ref(first)) == SIGHUP);
        CHECK(pool.run(next_of, std::ref(second)) == SIGHUP);
        send_self(SIGTERM);
        CHECK(pool.run(next_of, std::ref(first)) == SIGTERM);
        CHECK(pool.run(wait, std::ref(termination)) == SIGTERM);
    }
    send_self(SIGTERM);
    CHECK(pool.run(next_of, std::ref(first)) == SIGTERM);
}

TEST_CASE("signal_watch: what cannot be watched is an error, and leaves nothing") {
    auto failure = [](int number) -> std::string {
        try {
            peal::process::signal_watch watch({SIGUSR1, number});
        } catch (const std::system_error& wrong) {
            return wrong.what();
        }
        return "made";
    };
    for (int number : {0, -1, 65, SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) {
        CHECK(failure(number) == "sigaction for signal " + std::to_string(number) + ": Invalid argument");
    }
    CHECK(is_default(SIGUSR1));
    std::vector<std::unique_ptr<peal::process::signal_watch>> many;
    for (int i = 0; i < 32; ++i) many.push_back(std::make_unique<peal::process::signal_watch>(std::initializer_list<int>{SIGUSR1}));
    CHECK(failure(SIGUSR2) == "signal_watch: more than 32 at a time: Resource temporarily unavailable");
    many.clear();
    CHECK(failure(SIGUSR2) == "made");
    CHECK(is_default(SIGUSR1));
}

TEST_CASE("signal_watch: made and destroyed while signals come") {
    std::atomic<bool> enough{false};
    peal::process::signal_watch always({SIGUSR1});
    std::thread sender([&] {
        while (!enough) send_self(SIGUSR1);
    });
    peal::pool pool(peal::pool_options(1));
    for (int i = 0; i < 300; ++i) {
        peal::process::signal_watch watch({SIGUSR1, SIGUSR2});
        if (i % 3 == 0) CHECK(pool.run(next_of, std::ref(watch)) == SIGUSR1);
    }
    enough = true;
    sender.join();
    CHECK(pool.run(next_of, std::ref(always)) == SIGUSR1);
}

TEST_CASE("child: a second signal", "[.child]") {
    auto body = [](peal::pool& pool) -> peal::task<> {
        send_self(SIGTERM);
        pool.spawn([]() -> peal::task<> {
            send_self(SIGTERM);  // at once: the same one, as timeout(1) sends it
            co_await peal::sleep_for(1100ms);
            say("first signal survived\n");
            send_self(SIGTERM);
        }).detach();
        co_await stubborn(pool);
    };
    peal::pool pool(peal::pool_options(1));
    run_until_terminated(pool, body, pool);
}
TEST_CASE("child: a second signal of the other kind", "[.child]") {
    auto body = [](peal::pool& pool) -> peal::task<> {
        send_self(SIGINT);
        pool.spawn([]() -> peal::task<> {
            send_self(SIGTERM);  // at once: the same one, as timeout(1) sends it
            co_await peal::sleep_for(1100ms);
            say("first signal survived\n");
            send_self(SIGTERM);
        }).detach();
        co_await stubborn(pool);
    };
    peal::pool pool(peal::pool_options(1));
    run_until_terminated(pool, body, pool);
}

TEST_CASE("signal: the second one kills a program that does not end") {
    for (const char* name : {"child: a second signal", "child: a second signal of the other kind"}) {
        auto child = support::run_case(name);
        INFO(child.output);
        CHECK(child.says("first signal survived"));
        CHECK_FALSE(child.hung);
        CHECK(child.signal == SIGTERM);
    }
}

TEST_CASE("child: two termination signals", "[.child]") {
    support::expect_abort();
    peal::process::termination_signal first;
    peal::process::termination_signal second;
}
TEST_CASE("signal: two watchers at the same time are a broken contract") {
    auto child = support::run_case("child: two termination signals");
    INFO(child.output);
    CHECK(child.signal == SIGABRT);
    CHECK(child.says("two termination_signal objects exist at the same time"));
}
