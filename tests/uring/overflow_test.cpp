// SPDX-License-Identifier: MIT

// The smallest ring against a crowd: completions come by the thousand into a queue of 32, and requests to cancel go out by the
// thousand through a queue of 8. None is lost, and wakes from outside work afterwards.

#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <peal/peal.hpp>

#include "support/catch.hpp"
#include "support/rights.hpp"
#include "support/rings.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::net::tcp_stream;

namespace {

constexpr std::size_t crowd = 1000;

/// Local connections, `crowd` of them; fewer where the limit of descriptors does not allow it.
std::vector<std::pair<tcp_stream, tcp_stream>> connections() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < 2 * crowd + 100 && limit.rlim_max >= 2 * crowd + 100) support::set_limit(RLIMIT_NOFILE, 2 * crowd + 100);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    std::size_t count = std::min<std::size_t>(crowd, (limit.rlim_cur - 100) / 2);
    std::vector<std::pair<tcp_stream, tcp_stream>> made;
    for (std::size_t i = 0; i < count; ++i) made.push_back(support::local_pair());
    return made;
}

peal::pool_options smallest_ring(unsigned workers) {
    peal::pool_options options = support::each_ring_mode(workers);
    options.ring_entries = 8;
    return options;
}

peal::task<std::size_t> read_one(tcp_stream& stream, std::byte expected, support::verdict& judged) {
    std::byte got{0};
    std::size_t count = co_await stream.read(std::span(&got, 1));
    judged.expect(count == 1 && got == expected, "another byte than was sent");
    co_return count;
}

using pairs = std::vector<std::pair<tcp_stream, tcp_stream>>;

/// All readers wait, the worker is busy, and all bytes come at once.
peal::task<> burst(pairs& all, int round, support::verdict& judged, std::atomic<bool>& go) {
    auto byte_of = [round](std::size_t i) { return static_cast<std::byte>(i * 7 + static_cast<std::size_t>(round)); };
    peal::scope readers;
    for (std::size_t i = 0; i < all.size(); ++i) readers.spawn(read_one, std::ref(all[i].first), byte_of(i), std::ref(judged));
    co_await peal::sleep_for(2ms);  // they are in the kernel
    std::thread sender([&all, byte_of, &go] {
        for (std::size_t i = 0; i < all.size(); ++i) {
            std::byte sent = byte_of(i);
            static_cast<void>(::send(all[i].second.native_handle(), &sent, 1, MSG_NOSIGNAL));
        }
        go = true;
    });
    while (!go) std::this_thread::yield();  // this worker looks at its ring only after the last byte was sent
    sender.join();
    co_await readers.join();
}

}  // namespace

TEST_CASE("uring overflow: a thousand completions at once come through a queue of 32") {
    pairs all = connections();
    peal::pool pool(smallest_ring(1));
    support::verdict judged;
    for (int round = 0; round < 10; ++round) {
        std::atomic<bool> go{false};
        pool.run(burst, std::ref(all), round, judged, std::ref(go));
        // The request that hears of wakes ends when the queue overflows: it must be there again.
        REQUIRE(peal::sync_wait(pool.offload([] { return 1; })) == 1);
    }
    CHECK(judged.text() == "");
    CHECK(pool.shutdown(10s, 10s).drained);
    CHECK(pool.counts().completed == 10 * (all.size() + 1));
}

TEST_CASE("uring overflow: a thousand operations are canceled at once") {
    auto count = [](std::vector<peal::join_handle<std::size_t>> handles) -> peal::task<std::size_t> {
        std::size_t canceled = 0;
        for (auto& each : handles) {
            try {
                static_cast<void>(co_await each);
            } catch (const std::system_error& failure) {
                canceled += peal::is_canceled(failure);
            }
        }
        co_return canceled;
    };
    pairs all = connections();
    peal::pool pool(smallest_ring(2));
    support::verdict judged;
    for (int round = 0; round < 5; ++round) {
        std::vector<peal::join_handle<std::size_t>> readers;
        for (auto& each : all) readers.push_back(pool.spawn(read_one, std::ref(each.first), std::byte{0}, judged));
        if (round % 2 == 0) std::this_thread::sleep_for(3ms);
        for (auto& each : readers) each.request_stop();
        REQUIRE(pool.run(count, std::move(readers)) == all.size());
    }
    CHECK(judged.text() == "");
}
