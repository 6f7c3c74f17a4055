// SPDX-License-Identifier: MIT

// A thousand seeds of a small echo server whose sessions and clients are stopped at random: whatever the order, the counts add up,
// no byte is wrong, and no frame is left.

#include <peal/sim/simulation.hpp>

#include <array>
#include <cstdint>
#include <cstring>
#include <deque>

#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"

namespace {

using namespace std::chrono_literals;
using peal::net::tcp_stream;

struct tally {
    int clients_done = 0;
    int clients_stopped = 0;
    int clients_cut_off = 0;  // their session was stopped
    int sessions_done = 0;
    int sessions_stopped = 0;
    int wrong_bytes = 0;
};

/// Random numbers of the test itself.
class dice {
  public:
    explicit dice(std::uint64_t seed) : state_(seed * 2 + 1) {}
    std::uint32_t below(std::uint32_t bound) {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return static_cast<std::uint32_t>(state_ >> 33) % bound;
    }

  private:
    std::uint64_t state_;
};

peal::task<> session(tcp_stream peer, tally& seen) {
    std::array<std::byte, 40> buffer{};
    try {
        while (std::size_t count = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(count));
        ++seen.sessions_done;
    } catch (const std::system_error& failure) {
        if (peal::is_canceled(failure)) ++seen.sessions_stopped;
        if (failure.code() == std::errc::broken_pipe) {
            ++seen.sessions_done;  // the client went first
            co_return;
        }
        throw;
    }
}

peal::task<> client(tcp_stream server, unsigned number, int requests, tally& seen) {
    std::array<std::byte, 100> sent{};
    std::array<std::byte, 100> answer{};
    try {
        for (int i = 0; i < requests; ++i) {
            sent.fill(static_cast<std::byte>(number * 16 + static_cast<unsigned>(i)));
            auto written = co_await peal::as_result(server.write_all(sent));
            if (!written && written.error().code() == std::errc::broken_pipe) {
                ++seen.clients_cut_off;
                co_return;
            }
            written.value();
            std::size_t count = co_await server.read_exactly(answer);
            if (std::memcmp(sent.data(), answer.data(), count) != 0) ++seen.wrong_bytes;
            if (count < answer.size()) {
                ++seen.clients_cut_off;
                co_return;
            }
            if (i % 2 == 0) co_await peal::sleep_for(std::chrono::microseconds(number * 10));
        }
        ++seen.clients_done;
    } catch (const std::system_error& failure) {
        if (peal::is_canceled(failure)) ++seen.clients_stopped;
        throw;
    }
}

peal::task<> echo_with_random_stops(peal::simulation& sim, std::uint64_t seed, tally& seen) {
    dice random(seed);
    peal::scope tasks;
    std::deque<peal::stop_handle> all;
    unsigned pairs = 1 + random.below(4);
    for (unsigned i = 0; i < pairs; ++i) {
        auto ends = sim.stream_pair();
        all.push_back(tasks.spawn(peal::spawn_options("session"), session, std::move(ends.first), std::ref(seen)).stop_handle());
        all.push_back(tasks.spawn(peal::spawn_options("client"), client, std::move(ends.second), i,
                                  1 + static_cast<int>(random.below(4)), std::ref(seen)).stop_handle());
    }
    for (unsigned stops = random.below(4); stops != 0; --stops) {
        co_await peal::sleep_for(std::chrono::microseconds(random.below(300)));
        all[random.below(static_cast<std::uint32_t>(all.size()))].request_stop();
    }
    if (random.below(4) == 0) co_return;  // the scope's destructor cancels the rest
    co_await tasks.join();
}

}  // namespace

TEST_CASE("simulation: a thousand seeds of an echo with random stops: every task ends once, nothing is left (P1)") {
    std::int64_t frames = peal::detail::live_frames();
    tally all;
    for (std::uint64_t seed = 0; seed < 1000; ++seed) {
        CAPTURE(seed);
        tally seen;
        peal::pool_counts counts;
        {
            peal::simulation sim(seed, seed % 2 == 0 ? 1 : 4);
            sim.pool().run(echo_with_random_stops, std::ref(sim), seed, std::ref(seen));
            counts = sim.pool().counts();
        }
        auto ends = static_cast<std::uint64_t>(seen.clients_done + seen.clients_stopped + seen.clients_cut_off + seen.sessions_done +
                                               seen.sessions_stopped);
        REQUIRE(counts.live == 0);
        REQUIRE(counts.accepted == counts.completed + counts.failed + counts.canceled);
        REQUIRE(counts.accepted == ends + 1);  // and the task that started them
        REQUIRE(counts.failed == 0);
        REQUIRE(counts.canceled == static_cast<std::uint64_t>(seen.clients_stopped + seen.sessions_stopped));
        REQUIRE(seen.wrong_bytes == 0);
        REQUIRE(peal::detail::live_frames() == frames);
        all.clients_done += seen.clients_done;
        all.clients_stopped += seen.clients_stopped;
        all.clients_cut_off += seen.clients_cut_off;
        all.sessions_done += seen.sessions_done;
        all.sessions_stopped += seen.sessions_stopped;
    }
    // Every kind of end was met.
    CHECK(all.clients_done > 100);
    CHECK(all.clients_stopped > 100);
    CHECK(all.clients_cut_off > 100);
    CHECK(all.sessions_done > 100);
    CHECK(all.sessions_stopped > 100);
}
