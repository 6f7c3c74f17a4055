// SPDX-License-Identifier: MIT

#include <peal/combine/retry.hpp>

#include <atomic>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/death.hpp"
#include "support/rounds.hpp"

namespace {

using namespace std::chrono_literals;

/// Fails so often, then gives the number of the attempt.
class flaky {
  public:
    explicit flaky(int failures) : failures_(failures) {}
    peal::task<int> attempt() {
        co_await peal::sleep_for(1us);
        if (++attempts_ <= failures_) throw std::runtime_error("attempt " + std::to_string(attempts_));
        co_return attempts_;
    }
    int attempts() const { return attempts_; }

  private:
    int failures_;
    int attempts_ = 0;
};

peal::task<> succeeds_at_last(peal::pool&) {
    for (int failures : {0, 1, 3}) {
        flaky server(failures);
        auto started = peal::clock::now();
        auto attempt = [&server] { return server.attempt(); };
        int got = co_await peal::retry(peal::retry_policy(4), attempt);
        CHECK(got == failures + 1);
        auto time = peal::clock::now() - started;
        std::chrono::milliseconds whole = failures == 0 ? 0ms : failures == 1 ? 100ms : 700ms;  // 100 + 200 + 400
        CHECK(time >= whole / 2);
        CHECK(time <= whole + 1ms);
    }
}

peal::task<> gives_up(peal::pool&) {
    for (unsigned attempts : {0u, 1u, 3u}) {
        flaky server(100);
        auto attempt = [&server] { return server.attempt(); };
        std::string last;
        try {
            static_cast<void>(co_await peal::retry(peal::retry_policy(attempts), attempt));
        } catch (const std::runtime_error& failure) {
            last = failure.what();
        }
        int expected = attempts == 0 ? 1 : static_cast<int>(attempts);
        CHECK(server.attempts() == expected);
        CHECK(last == "attempt " + std::to_string(expected));
    }
}

peal::task<> not_worth_it(peal::pool&) {
    peal::retry_policy policy(10);
    policy.is_worth_it = [](const std::exception_ptr& failure) {
        try {
            std::rethrow_exception(failure);
        } catch (const std::runtime_error& thrown) {
            return thrown.what() != std::string("attempt 3");
        }
    };
    flaky server(100);
    auto attempt = [&server] { return server.attempt(); };
    bool thrown = false;
    try {
        static_cast<void>(co_await peal::retry(policy, attempt));
    } catch (const std::runtime_error&) {
        thrown = true;
    }
    CHECK(thrown);
    CHECK(server.attempts() == 3);
}

peal::task<> canceled(peal::pool&) {
    for (auto pause : {0ms, 2ms, 20ms}) {  // before, in the first attempt, in the first pause
        int attempts = 0;
        auto attempt = [&attempts]() -> peal::task<> {
            ++attempts;
            co_await peal::sleep_for(10ms);
            throw std::runtime_error("again");
        };
        auto tries = [&attempt]() -> peal::task<> { co_await peal::retry(peal::retry_policy(5), attempt); };
        auto waiting = peal::spawn(std::ref(tries));
        if (pause != 0ms) co_await peal::sleep_for(pause);
        waiting.request_stop();
        bool is_canceled = false;
        try {
            co_await waiting;
        } catch (const std::system_error& failure) {
            is_canceled = peal::is_canceled(failure);
        }
        CHECK(is_canceled);
        CHECK(attempts == 1);
    }
}

peal::task<> limited(peal::pool&) {
    // Around it: all attempts together. Within: each alone, and then there is another.
    int attempts = 0;
    auto slow = [&attempts]() -> peal::task<int> {
        ++attempts;
        co_await peal::sleep_for(30ms);
        throw std::runtime_error("slow");
    };
    bool timed_out = false;
    try {
        auto all = peal::retry(peal::retry_policy(100), slow);
        static_cast<void>(co_await peal::timeout(50ms, std::move(all)));
    } catch (const std::system_error& failure) {
        timed_out = failure.code() == std::errc::timed_out;
    }
    CHECK(timed_out);
    CHECK(attempts == 1);

    int tries = 0;
    auto each = [&tries]() -> peal::task<int> {
        ++tries;
        auto attempt = peal::sleep_for(tries < 3 ? 1h : 1ms);
        co_await peal::timeout(5ms, attempt);
        co_return tries;
    };
    int got = co_await peal::retry(peal::retry_policy(5), each);
    CHECK(got == 3);
}

peal::task<> gives_what_cannot_be_copied(peal::pool&) {
    auto attempt = []() -> peal::task<std::unique_ptr<int>> { co_return std::make_unique<int>(1); };
    auto got = co_await peal::retry(peal::retry_policy(), attempt);
    CHECK(*got == 1);
}

}  // namespace

TEST_CASE("retry: tries again, after longer and longer pauses, until it succeeds") {
    support::in_simulations(succeeds_at_last);
    support::in_simulations(gives_what_cannot_be_copied, 1);
}

TEST_CASE("retry: throws what the last attempt threw") { support::in_simulations(gives_up); }

TEST_CASE("retry: does not repeat what is not worth it") { support::in_simulations(not_worth_it); }

TEST_CASE("retry: canceled, it ends the attempt or the pause, and there is no other") { support::in_simulations(canceled); }

TEST_CASE("retry: a timeout limits all attempts, or each") { support::in_simulations(limited); }

TEST_CASE("retry: pauses are between a half and the whole of the back-off, and bounded") {
    peal::retry_policy policy;
    for (unsigned number = 1; number < 3000; ++number) {
        auto pause = peal::detail::pause_after(policy, number);
        std::chrono::milliseconds whole = number < 8 ? 100ms * (1 << (number - 1)) : 10'000ms;
        whole = std::min(whole, 10'000ms);
        REQUIRE(pause >= whole / 2);
        REQUIRE(pause <= whole);
    }
}

// ---- map_concurrent -------------------------------------------------------------------------------------------------------------

namespace {

class lanes {
  public:
    peal::task<int> square(int number) {
        most_ = std::max(most_, ++running_);
        co_await peal::sleep_for(std::chrono::milliseconds(10 - number % 10));
        --running_;
        ++ended_;
        co_return number * number;
    }
    int most() const { return most_; }
    int ended() const { return ended_; }

  private:
    int running_ = 0;
    int most_ = 0;
    int ended_ = 0;
};

peal::task<> maps_in_order(peal::pool&) {
    std::vector<int> numbers;
    for (int i = 0; i < 25; ++i) numbers.push_back(i);
    for (std::size_t limit : {1u, 4u, 100u}) {
        lanes all;
        auto square = [&all](int number) { return all.square(number); };
        std::vector<int> squares = co_await peal::map_concurrent(numbers, limit, square);
        REQUIRE(squares.size() == 25);
        for (int i = 0; i < 25; ++i) CHECK(squares[static_cast<std::size_t>(i)] == i * i);
        CHECK(all.most() == static_cast<int>(std::min<std::size_t>(limit, 25)));
    }
    lanes none;
    auto square = [&none](int number) { return none.square(number); };
    std::vector<int> nothing = co_await peal::map_concurrent(std::vector<int>(), 3, square);
    CHECK(nothing.empty());

    int seen = 0;
    auto without_value = [&seen](int number) -> peal::task<> {
        co_await peal::sleep_for(1ms);
        seen += number;
    };
    auto ended = co_await peal::map_concurrent(std::span<const int>(numbers), 5, without_value);
    CHECK(ended.size() == 25);
    CHECK(seen == 300);
}

peal::task<> first_failure_stops(peal::pool&) {
    std::vector<int> numbers{1, 2, 3, 4, 5, 6, 7, 8};
    int begun = 0;
    int canceled = 0;
    auto each = [&](int number) -> peal::task<int> {
        ++begun;
        if (number == 2) {
            co_await peal::sleep_for(1ms);
            throw std::runtime_error("two");
        }
        try {
            co_await peal::sleep_for(1h);
        } catch (const std::system_error&) {
            ++canceled;
            throw;
        }
        co_return number;
    };
    std::string thrown;
    try {
        static_cast<void>(co_await peal::map_concurrent(numbers, 3, each));
    } catch (const std::runtime_error& failure) {
        thrown = failure.what();
    }
    CHECK(thrown == "two");
    CHECK(begun == 3);
    CHECK(canceled == 2);
}

}  // namespace

TEST_CASE("map_concurrent: gives results in the order of the elements, so many at a time") { support::in_simulations(maps_in_order, 5); }

TEST_CASE("map_concurrent: the first failure stops the others and is thrown") { support::in_simulations(first_failure_stops); }

TEST_CASE("map_concurrent: with real threads each element is done once") {
    std::vector<int> numbers(5000);
    for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
    std::vector<std::atomic<int>> times(numbers.size());
    auto each = [&](int number) -> peal::task<int> {
        co_await peal::yield();
        times[static_cast<std::size_t>(number)].fetch_add(1);
        co_return number + 1;
    };
    auto all = [&]() -> peal::task<std::vector<int>> { co_return co_await peal::map_concurrent(numbers, 8, std::ref(each)); };
    peal::pool pool(peal::pool_options(3));
    std::vector<int> results = pool.run(std::ref(all));
    int wrong = 0;
    for (std::size_t i = 0; i < numbers.size(); ++i) wrong += times[i].load() != 1 || results[i] != numbers[i] + 1;
    CHECK(wrong == 0);
}

TEST_CASE("map_concurrent: a limit of 0 is a broken contract") {
    auto seen = support::death_of([] {
        peal::simulation sim(1);
        auto scene = []() -> peal::task<> {
            auto each = [](int number) -> peal::task<int> { co_return number; };
            std::vector<int> numbers(3);
            static_cast<void>(co_await peal::map_concurrent(numbers, 0, each));
        };
        sim.pool().run(scene);
    });
    CHECK(seen.says("limit of 0"));
}
