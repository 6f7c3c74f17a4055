// SPDX-License-Identifier: MIT

// receiver: one request that goes on. Nothing is lost or comes twice: whoever stops waiting, is late, goes elsewhere, or takes nothing for a while; and at the
// end nothing of it is left, whichever of the receiver, the stream, the task and the pool goes first.

#include <peal/net/receiver.hpp>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/net/tcp.hpp>
#include <peal/net/unix.hpp>
#include <peal/pool/pool.hpp>
#include <peal/sim/simulation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include <task/faults.hpp>

#include "support/catch.hpp"
#include "support/leaks.hpp"
#include "support/random_text.hpp"
#include "support/rings.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::io::bytes_of;
using peal::io::lease;
using peal::net::receiver;
using peal::net::tcp_stream;
using support::random_text;
using support::write_text;

namespace {

constexpr std::size_t most_buffers = 2048;  // that a worker lends: io/lease.hpp

peal::task<> say(tcp_stream& to, std::string text) { co_await to.write_all(bytes_of(text)); }

peal::task<std::string> receive_all(receiver& from) {
    std::string all;
    while (lease part = co_await from.receive()) all += part.text();
    co_return all;
}

/// "canceled", the error, or what came.
peal::task<std::string> next_of(receiver& from) {
    auto receiving = from.receive();
    peal::result<lease> got = co_await peal::as_result(receiving);
    if (!got) co_return got.error().is_canceled() ? "canceled" : got.error().code().message();
    co_return std::string(got->text());
}

peal::task<bool> arrives(std::size_t size) {
    support::stream_pair ends = co_await support::connected_pair();
    std::string sent = random_text(size, static_cast<unsigned>(size));
    peal::scope both;
    both.spawn(write_text, std::ref(ends.first), sent);
    receiver incoming(ends.second);
    std::string got = co_await receive_all(incoming);
    std::string after_the_end = co_await receive_all(incoming);
    co_await both.join();
    co_return got == sent && after_the_end.empty();
}

}  // namespace

TEST_CASE("receiver: what was written arrives, of any size, and then nothing") {
    peal::pool pool(support::each_ring_mode(2));
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{4097}, std::size_t{3'000'000}}) {
        CAPTURE(size);
        CHECK(pool.run(arrives, size));
    }
}

namespace {

/// Takes nothing for a while again and again: the outside is asked to stop, and begins anew.
peal::task<> arrives_slowly(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    std::string sent = random_text(2'000'000, 5);
    peal::scope both;
    both.spawn(write_text, std::ref(ends.first), sent);
    receiver incoming(ends.second);
    std::string got;
    unsigned parts = 0;
    while (lease part = co_await incoming.receive()) {
        got += part.text();
        if (++parts % 16 == 0) co_await peal::sleep_for(200us);
    }
    judged.expect(got == sent, "the same bytes");
    co_await both.join();
}

}  // namespace

TEST_CASE("receiver: a task that takes nothing for a while gets all of it in the end") {
    support::verdict judged;
    peal::pool pool(peal::pool_options(2));
    pool.run(arrives_slowly, std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

/// `count` sessions that take nothing of peers that never stop, beside one that is served.
peal::task<> leaves_buffers_to_others(std::size_t count, support::verdict& judged) {
    std::vector<support::stream_pair> greedy;
    std::vector<receiver> untaken;
    peal::scope writers(peal::on_error::keep_going);
    std::string much = random_text(200'000, 1);
    for (std::size_t i = 0; i < count; ++i) {
        greedy.push_back(co_await support::connected_pair());
        untaken.emplace_back(greedy.back().second);
    }
    for (std::size_t i = 0; i < count; ++i) {
        co_await say(greedy[i].first, "x");
        std::string got = co_await next_of(untaken[i]);  // it runs now
        judged.expect(got == "x", "the first byte: " + got);
        writers.spawn(say, std::ref(greedy[i].first), much);
    }
    co_await peal::sleep_for(50ms);  // all that would come has come
    support::stream_pair served = co_await support::connected_pair();
    receiver incoming(served.second);
    for (int i = 0; i < 20; ++i) {
        co_await say(served.first, "y");
        std::string got = co_await peal::timeout(30s, next_of(incoming));
        judged.expect(got == "y", "served beside the others: " + got);
    }
    for (support::stream_pair& each : greedy) each.second.close();
    co_await writers.join();
}

}  // namespace

TEST_CASE("receiver: sessions that take nothing leave buffers to others") {
    support::verdict judged;
    peal::pool pool(support::each_ring_mode(1));
    pool.run(leaves_buffers_to_others, std::size_t{200}, std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

/// What is taken from the socket while nobody waits.
peal::task<> takes_while_nobody_waits(std::size_t& taken) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    co_await say(ends.first, "x");
    static_cast<void>(co_await next_of(incoming));
    peal::scope both;
    both.spawn(say, std::ref(ends.first), random_text(100'000, 3));
    co_await both.join();
    co_await peal::sleep_for(20ms);
    int left = 0;
    static_cast<void>(::ioctl(ends.second.native_handle(), FIONREAD, &left));
    taken = 100'000 - static_cast<std::size_t>(left);
}

}  // namespace

TEST_CASE("receiver: few bytes lie with it when nobody takes them") {
    std::size_t taken = 0;
    peal::pool pool(support::each_ring_mode(1));
    pool.run(takes_while_nobody_waits, std::ref(taken));
    CHECK(taken <= 4 * 4096);
}

namespace {

peal::task<> stop_while_it_waits(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    int sent = 0;
    int got = 0;
    for (int i = 0; i < 600; ++i) {
        auto waiting = peal::spawn(next_of, std::ref(incoming));
        if (i % 3 == 0) co_await peal::sleep_for(50us);
        if (i % 2 == 0) {
            co_await say(ends.first, "a");
            ++sent;
        }
        if (i % 5 == 0) co_await peal::yield();
        waiting.request_stop();
        std::string end = co_await waiting;
        if (end != "canceled") got += static_cast<int>(end.size());
        judged.expect(end == "canceled" || end.find_first_not_of('a') == std::string::npos, "stopped, or served: " + end);
    }
    ends.first.shutdown_write();
    std::string left = co_await receive_all(incoming);
    judged.expect(got + static_cast<int>(left.size()) == sent,
                  std::to_string(got) + " and " + std::to_string(left.size()) + " bytes of " + std::to_string(sent));
}

peal::task<> time_out_while_it_waits(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    for (int i = 0; i < 20; ++i) {
        for (int j = 0; j < 3; ++j) {
            auto receiving = incoming.receive();
            auto limited = peal::timeout(1ms, receiving);
            auto early = co_await peal::as_result(limited);
            judged.expect(!early && early.error().code() == std::errc::timed_out, "nothing comes");
        }
        co_await say(ends.first, "now");
        std::string got = co_await next_of(incoming);
        judged.expect(got == "now", "what came after a stopped wait: " + got);
    }
}

}  // namespace

TEST_CASE("receiver: a wait that is stopped at any moment loses nothing") {
    support::verdict judged;
    peal::pool pool(support::each_ring_mode(GENERATE(1u, 2u)));
    pool.run(stop_while_it_waits, std::ref(judged));
    pool.run(time_out_while_it_waits, std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

peal::task<> close_while_it_waits(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    auto waiting = peal::spawn(next_of, std::ref(incoming));
    co_await peal::sleep_for(1ms);
    ends.second.close();
    std::string end = co_await waiting;
    judged.expect(end.empty(), "the end of the stream: " + end);
}

peal::task<> reset_while_it_waits(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    auto waiting = peal::spawn(next_of, std::ref(incoming));
    co_await peal::sleep_for(1ms);
    ends.first.reset();
    std::string end = co_await waiting;
    judged.expect(end == "Connection reset by peer", "reset: " + end);
    end = co_await next_of(incoming);
    judged.expect(end.empty(), "and then its end: " + end);
}

peal::task<> moved_about(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    std::optional<receiver> incoming(ends.second);
    tcp_stream elsewhere = std::move(ends.second);
    co_await say(ends.first, "a");
    std::string got = co_await next_of(*incoming);
    judged.expect(got == "a", "after the stream was moved: " + got);
    receiver other = std::move(*incoming);
    incoming.reset();
    co_await say(ends.first, "b");
    got = co_await next_of(other);
    judged.expect(got == "b", "after the receiver was moved: " + got);
}

/// The number of a closed stream goes to nobody while a receiver holds it.
peal::task<> keeps_the_number(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    std::optional<receiver> incoming(ends.second);
    const int number = ends.second.native_handle();
    ends.second.close();
    std::vector<support::stream_pair> others;
    for (int i = 0; i < 10; ++i) {
        others.push_back(co_await support::connected_pair());
        judged.expect(others.back().first.native_handle() != number && others.back().second.native_handle() != number, "in use");
        co_await say(others.back().first, "not yours");
        co_await say(others.back().second, "not yours");
    }
    std::string got = co_await next_of(*incoming);
    judged.expect(got.empty(), "the end of its own: " + got);
}

/// Dropped in every state.
peal::task<> drop_it(int how, support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    {
        receiver incoming(ends.second);
        if (how == 0) co_return;
        if (how >= 2) {
            co_await say(ends.first, "first");
            std::string got = co_await next_of(incoming);
            judged.expect(got == "first", "the first: " + got);
        } else {
            auto receiving = incoming.receive();
            auto limited = peal::timeout(100us, receiving);
            static_cast<void>(co_await peal::as_result(limited));
        }
        if (how == 3) {  // with something in it, or on its way
            co_await say(ends.first, std::string(10'000, 'x'));
            for (int i = 0; i < 10; ++i) co_await peal::yield();
        }
        if (how == 4) ends.first.shutdown_write();
    }
}

}  // namespace

TEST_CASE("receiver: ends with its stream") {
    support::verdict judged;
    std::size_t before = support::open_descriptors();
    {
        peal::pool pool(peal::pool_options(2));
        pool.run(close_while_it_waits, std::ref(judged));
        pool.run(reset_while_it_waits, std::ref(judged));
        pool.run(moved_about, std::ref(judged));
        pool.run(keeps_the_number, std::ref(judged));
    }
    CHECK(judged.text() == "");
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("receiver: dropped in any state, it leaves nothing") {
    support::verdict judged;
    std::size_t before = support::open_descriptors();
    {
        peal::pool pool(support::each_ring_mode(GENERATE(1u, 2u)));
        for (int i = 0; i < 50; ++i) pool.run(drop_it, i % 5, std::ref(judged));
    }
    CHECK(judged.text() == "");
    CHECK(support::open_descriptors() == before);
}

namespace {

/// With the end of the stream behind what fills it, and the answer to a pause on its way.
peal::task<> drop_while_it_pauses(int yields, support::verdict& judged) {
    auto ends = support::local_pair();
    receiver incoming(ends.second);
    co_await say(ends.first, "x");
    std::string got = co_await next_of(incoming);
    judged.expect(got == "x", "the first: " + got);
    co_await say(ends.first, std::string(20'000, 'y'));
    ends.first.close();
    for (int i = 0; i < yields; ++i) co_await peal::yield();
}

}  // namespace

TEST_CASE("receiver: dropped at any moment of a pause") {
    support::verdict judged;
    std::size_t before = support::open_descriptors();
    {
        peal::pool pool(support::each_ring_mode(1));
        for (int i = 0; i < 200; ++i) pool.run(drop_while_it_pauses, i, std::ref(judged));
    }
    CHECK(judged.text() == "");
    CHECK(support::open_descriptors() == before);
}

namespace {

/// From worker to worker with each message.
peal::task<> wander(peal::pool& pool, support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    std::string got, sent;
    for (unsigned i = 0; i < 300; ++i) {
        co_await pool.schedule_on(i % 2);
        std::string text = random_text(1 + i % 50, i);
        sent += text;
        co_await say(ends.first, text);
        if (i % 7 == 0) continue;  // two at once next time
        if (i % 3 == 0) co_await pool.schedule_on((i + 1) % 2);
        while (got.size() < sent.size()) {
            lease part = co_await incoming.receive();
            if (!judged.expect(static_cast<bool>(part), "not the end")) co_return;
            got += part.text();
        }
    }
    judged.expect(got == sent.substr(0, got.size()), "the same bytes");
}

}  // namespace

TEST_CASE("receiver: its task may go from worker to worker") {
    support::verdict judged;
    peal::pool pool(peal::pool_options(2));
    pool.run(wander, std::ref(pool), std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

struct session {
    support::stream_pair ends;
    std::unique_ptr<receiver> incoming;
};

peal::task<> begin_session(session& made, support::verdict& judged) {
    made.ends = co_await support::connected_pair();
    made.incoming = std::make_unique<receiver>(made.ends.second);
    co_await say(made.ends.first, "a");
    std::string got = co_await next_of(*made.incoming);
    judged.expect(got == "a", "in the first pool: " + got);
    co_await say(made.ends.first, "b");
}

peal::task<> go_on(session& made, support::verdict& judged) {
    co_await say(made.ends.first, "c");
    std::string got = co_await next_of(*made.incoming);
    if (got == "b") got += co_await next_of(*made.incoming);
    judged.expect(got == "bc", "in the second pool: " + got);
}

}  // namespace

TEST_CASE("receiver: outlives its pool, and goes on in another") {
    support::verdict judged;
    {
        session kept;
        {
            peal::pool first(peal::pool_options(2));
            first.run(begin_session, std::ref(kept), std::ref(judged));
        }
        {
            peal::pool second(peal::pool_options(1));
            second.run(go_on, std::ref(kept), std::ref(judged));
        }
    }
    CHECK(judged.text() == "");
}

TEST_CASE("receiver: a pool that ends is not held up by a task of another pool that waits for what it receives") {
    support::verdict judged;
    session kept;
    peal::pool second(peal::pool_options(1));
    auto first = std::make_unique<peal::pool>(peal::pool_options(1));
    first->run(begin_session, std::ref(kept), std::ref(judged));
    auto waits = [](session& of, support::verdict& judge) -> peal::task<> {
        std::string got = co_await next_of(*of.incoming);
        judge.expect(got == "b", "what lies there: " + got);
        got = co_await next_of(*of.incoming);
        judge.expect(got == "canceled", "the home goes: " + got);
        co_await say(of.ends.first, "c");
        got = co_await next_of(*of.incoming);
        judge.expect(got == "c", "here now: " + got);
    };
    auto waiting = second.spawn(waits, std::ref(kept), std::ref(judged));
    std::this_thread::sleep_for(5ms);
    first.reset();
    auto ended = [](peal::join_handle<> handle) -> peal::task<> { co_await handle; };
    second.run(ended, std::move(waiting));
    kept.incoming.reset();
    kept.ends.second.close();
    CHECK(judged.text() == "");
}

namespace {

/// Each message of one byte is a lease of its own.
peal::task<> wait_for_a_buffer(support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    receiver incoming(ends.second);
    std::vector<lease> held;
    for (std::size_t i = 0; i < most_buffers; ++i) {
        co_await say(ends.first, std::string(1, static_cast<char>('a' + i % 26)));
        held.push_back(co_await incoming.receive());
    }
    for (std::size_t i = 0; i < held.size(); ++i) {
        judged.expect(held[i].text() == std::string(1, static_cast<char>('a' + i % 26)), "each lease keeps its own byte");
    }
    co_await say(ends.first, "!");
    auto receiving = incoming.receive();
    auto limited = peal::timeout(20ms, receiving);
    auto early = co_await peal::as_result(limited);
    judged.expect(!early && early.error().code() == std::errc::timed_out, "all buffers are out");
    held[7].release();
    std::string late = co_await next_of(incoming);
    judged.expect(late == "!", "one came back: " + late);
    held.clear();
    for (int i = 0; i < 100; ++i) {
        co_await say(ends.first, "?");
        std::string got = co_await next_of(incoming);
        judged.expect(got == "?", "and on it goes: " + got);
    }
}

}  // namespace

TEST_CASE("receiver: when all buffers are lent it waits until one comes back, and goes on") {
    support::verdict judged;
    peal::pool pool(support::each_ring_mode(1));
    pool.run(wait_for_a_buffer, std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

peal::task<> echo(tcp_stream peer) {
    receiver incoming(peer);
    while (lease part = co_await incoming.receive()) co_await peer.write_all(part.bytes());
}

peal::task<> ask(int seed, support::verdict& judged) {
    support::stream_pair ends = co_await support::connected_pair();
    auto serving = peal::spawn(echo, std::move(ends.second));
    std::string answer;
    for (int round = 0; round < 20; ++round) {
        std::string question = random_text(1 + static_cast<std::size_t>(seed * 37 % 9000), static_cast<unsigned>(seed + round));
        co_await say(ends.first, question);
        answer.resize(question.size());
        std::size_t got = co_await ends.first.read_exactly(std::as_writable_bytes(std::span(answer)));
        judged.expect(got == question.size() && answer == question, "the echo");
    }
    ends.first.shutdown_write();
    co_await serving;
}

peal::task<> ask_all(int count, support::verdict& judged) {
    peal::scope all;
    for (int i = 0; i < count; ++i) all.spawn(ask, i, std::ref(judged));
    co_await all.join();
}

}  // namespace

TEST_CASE("receiver: many at once share the buffers of their workers") {
    support::verdict judged;
    peal::pool pool(support::each_ring_mode(2));
    pool.run(ask_all, 200, std::ref(judged));
    CHECK(judged.text() == "");
}

namespace {

std::atomic<int> handed_over{0};
std::int32_t count_only(const peal::detail::operation& operation) {
    if (operation.kind == peal::detail::operation_kind::receive_leases) ++handed_over;
    return 0;
}

peal::task<int> requests_for_ten_messages() {
    auto ends = support::local_pair();
    receiver incoming(ends.second);
    handed_over = 0;
    for (int i = 0; i < 10; ++i) {
        co_await say(ends.first, "x");
        static_cast<void>(co_await next_of(incoming));
    }
    co_return handed_over.load();
}

peal::task<std::string> without_connection() {
    peal::net::unix_stream alone(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    receiver incoming(alone);
    co_return co_await next_of(incoming);
}

}  // namespace

TEST_CASE("receiver: a socket that cannot receive says so, and takes nothing from the others") {
    peal::rt::the_fault_source = &count_only;
    {
        peal::pool pool(peal::pool_options(1));
        const int before = pool.run(requests_for_ten_messages);
        CHECK(pool.run(without_connection) == "Invalid argument");
        CHECK(pool.run(requests_for_ten_messages) <= before);
    }
    peal::rt::the_fault_source = nullptr;
}

namespace {

peal::task<> leave_it_while_it_pauses(int yields, session& kept, support::verdict& judged) {
    kept.ends = support::local_pair();
    kept.incoming = std::make_unique<receiver>(kept.ends.second);
    co_await say(kept.ends.first, "x");
    std::string got = co_await next_of(*kept.incoming);
    judged.expect(got == "x", "the first: " + got);
    co_await say(kept.ends.first, std::string(20'000, 'y'));
    kept.ends.first.close();
    for (int i = 0; i < yields; ++i) co_await peal::yield();
}

}  // namespace

TEST_CASE("receiver: its pool goes at any moment of a pause") {
    support::verdict judged;
    std::size_t before = support::open_descriptors();
    for (int i = 0; i < 60; ++i) {
        session kept;
        peal::pool pool(peal::pool_options(1));
        pool.run(leave_it_while_it_pauses, i, std::ref(kept), std::ref(judged));
    }
    CHECK(judged.text() == "");
    CHECK(support::open_descriptors() == before);
}

namespace {

peal::task<> wait_in(peal::simulation& sim, std::unique_ptr<receiver>& made) {
    auto ends = sim.stream_pair();
    made = std::make_unique<receiver>(ends.second);
    auto receiving = made->receive();
    auto limited = peal::timeout(20us, receiving);
    static_cast<void>(co_await peal::as_result(limited));
}

}  // namespace

TEST_CASE("receiver: goes before its simulation, and after it") {
    std::unique_ptr<receiver> outlives;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        peal::simulation sim(seed);
        std::unique_ptr<receiver> goes_before;
        sim.pool().run(wait_in, std::ref(sim), std::ref(goes_before));
        sim.pool().run(wait_in, std::ref(sim), std::ref(outlives));
    }
}

TEST_CASE("receiver: in a simulation") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        support::verdict judged;
        auto body = [](peal::simulation& sim, support::verdict& judge) -> peal::task<> {
            auto ends = sim.stream_pair();
            std::string sent = random_text(30'000, 9);
            peal::scope both;
            both.spawn(write_text, std::ref(ends.first), sent);
            receiver incoming(ends.second);
            std::string got;
            for (bool goes_on = true; goes_on;) {
                auto receiving = incoming.receive();
                auto limited = peal::timeout(20us, receiving);
                auto part = co_await peal::as_result(limited);
                if (!part) continue;
                goes_on = static_cast<bool>(*part);
                got += part->text();
            }
            judge.expect(got == sent, "the same bytes");
            co_await both.join();
        };
        peal::simulation sim(seed);
        sim.pool().run(body, std::ref(sim), std::ref(judged));
        CAPTURE(seed);
        CHECK(judged.text() == "");
    }
}
