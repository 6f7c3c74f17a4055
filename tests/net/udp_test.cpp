// SPDX-License-Identifier: MIT

// UDP: what is sent arrives with its sender and its limits; what goes wrong is told; closing and canceling while a receive waits.

#include <peal/net/udp.hpp>

#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

#include <array>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/ends.hpp"
#include "support/sockets.hpp"

using namespace std::chrono_literals;
using peal::net::address;
using peal::net::datagram;
using peal::net::udp_options;
using peal::net::udp_socket;
using support::failure_of;
using support::receive_end;
using support::send_end;
using support::take;

namespace {

peal::task<std::string> send_to_end(udp_socket& socket, std::span<const std::byte> bytes, address to) {
    auto sending = socket.send_to(bytes, to);
    auto sent = co_await peal::as_result(sending);
    co_return sent ? "sent" : sent.error().message();
}
peal::task<datagram> receive_into(udp_socket& socket, std::span<std::byte> buffer) { co_return co_await socket.receive(buffer); }

bool has_ipv6() { return failure_of([] { static_cast<void>(udp_socket::bind("[::1]:0")); }) == "none"; }

}  // namespace

TEST_CASE("udp: a datagram arrives whole, with its sender") {
    auto body = [](udp_socket& here, udp_socket& there) -> peal::task<> {
        std::vector<std::byte> buffer(70'000);
        for (std::size_t size : {0, 1, 1472, 9000, 65'507}) {
            std::vector<std::byte> bytes = support::pattern(size, size);
            co_await here.send_to(bytes, there.local_address());
            datagram got = co_await there.receive(buffer);
            CHECK(got.size() == size);
            CHECK(got.full_size() == size);
            CHECK_FALSE(got.is_truncated());
            CHECK(got.sender() == here.local_address());
            CHECK(got.segment_count() == 1);
            CHECK(support::fits(std::span(buffer).first(got.size()), size));
        }
    };
    peal::pool pool(peal::pool_options(1));
    for (const char* where : {"127.0.0.1:0", "[::1]:0"}) {
        if (where[0] == '[' && !has_ipv6()) {
            WARN("this machine has no IPv6");
            continue;
        }
        udp_socket here = udp_socket::bind(where, udp_options().send_buffer(200'000));
        udp_socket there = udp_socket::bind(where, udp_options().receive_buffer(200'000));
        pool.run(body, std::ref(here), std::ref(there));
    }
}

TEST_CASE("udp: what has no room is cut off, and that is told") {
    auto body = [](udp_socket& here, udp_socket& there) -> peal::task<> {
        std::vector<std::byte> bytes = support::pattern(300);
        co_await here.send_to(bytes, there.local_address());
        co_await here.send_to(std::span(bytes).first(7), there.local_address());
        std::array<std::byte, 100> buffer;
        datagram got = co_await there.receive(buffer);
        CHECK(got.size() == 100);
        CHECK(got.full_size() == 300);
        CHECK(got.is_truncated());
        CHECK(support::fits(buffer, 0));
        datagram next = co_await there.receive(buffer);
        CHECK(next.size() == 7);  // the rest of the first is gone
        CHECK_FALSE(next.is_truncated());
    };
    peal::pool pool(peal::pool_options(1));
    udp_socket here = udp_socket::bind("127.0.0.1:0");
    udp_socket there = udp_socket::bind("127.0.0.1:0");
    pool.run(body, std::ref(here), std::ref(there));
}

TEST_CASE("udp: with a peer, others are not heard, and nobody there is an error") {
    peal::pool pool(peal::pool_options(1));
    udp_socket server = udp_socket::bind("127.0.0.1:0");
    udp_socket client = udp_socket::connect(server.local_address());
    udp_socket stranger = udp_socket::bind("127.0.0.1:0");
    std::vector<std::byte> bytes = support::pattern(50);
    CHECK(pool.run(send_to_end, std::ref(stranger), std::span<const std::byte>(bytes).first(1), client.local_address()) == "sent");
    CHECK(pool.run(send_to_end, std::ref(server), std::span<const std::byte>(bytes), client.local_address()) == "sent");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(client)) == "50 bytes");
    CHECK(pool.run(send_end<udp_socket>, std::ref(client), std::span<const std::byte>(bytes)) == "sent");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(server)) == "50 bytes");
    CHECK(pool.run(send_end<udp_socket>, std::ref(server), std::span<const std::byte>(bytes)) == "sendmsg: Destination address required");

    auto waiting = pool.spawn(receive_end<udp_socket>, std::ref(client));
    std::this_thread::sleep_for(2ms);
    server.close();
    CHECK(pool.run(send_end<udp_socket>, std::ref(client), std::span<const std::byte>(bytes)) == "sent");
    CHECK(pool.run(take<std::string>, std::move(waiting)) == "recvmsg: Connection refused");
    CHECK(pool.run(send_end<udp_socket>, std::ref(client), std::span<const std::byte>(bytes)) == "sent");
    CHECK(pool.run(send_end<udp_socket>, std::ref(client), std::span<const std::byte>(bytes)) == "sendmsg: Connection refused");

    udp_socket second = udp_socket::bind("127.0.0.1:0");
    client.set_peer(second.local_address());
    CHECK(pool.run(send_end<udp_socket>, std::ref(client), std::span<const std::byte>(bytes)) == "sent");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(second)) == "50 bytes");
}

TEST_CASE("udp: what cannot be sent is an error, and nothing was sent") {
    peal::pool pool(peal::pool_options(1));
    udp_socket socket = udp_socket::bind("127.0.0.1:0");
    std::vector<std::byte> bytes(65'508);
    CHECK(pool.run(send_to_end, std::ref(socket), std::span<const std::byte>(bytes), socket.local_address()) == "sendmsg: Message too long");
    auto broadcast = address::parse("127.255.255.255:9");
    CHECK(pool.run(send_to_end, std::ref(socket), std::span<const std::byte>(bytes).first(1), broadcast) == "sendmsg: Permission denied");
    socket.set_broadcast(true);
    CHECK(pool.run(send_to_end, std::ref(socket), std::span<const std::byte>(bytes).first(1), broadcast) == "sent");
    CHECK(failure_of([] { static_cast<void>(udp_socket::bind("192.0.2.77:1")); }) == "bind 192.0.2.77:1: Cannot assign requested address");
    std::string taken = socket.local_address().to_string();
    CHECK(failure_of([&] { static_cast<void>(udp_socket::bind(taken)); }) == "bind " + taken + ": Address already in use");
    udp_socket closed;
    CHECK(pool.run(receive_end<udp_socket>, std::ref(closed)) == "recvmsg: Bad file descriptor");
    CHECK(failure_of([&] { closed.set_broadcast(true); }) == "setsockopt SO_BROADCAST: Bad file descriptor");
}

// ---- segments ----------------------------------------------------------------------------------------------------------------------------

namespace {

/// Receives until all bytes of the pattern are there; gives the number of receives.
peal::task<int> receive_all(udp_socket& there, std::size_t total, std::size_t segment_size) {
    std::vector<std::byte> buffer(70'000);
    int receives = 0;
    for (std::size_t position = 0; position < total; ++receives) {
        datagram got = co_await there.receive(buffer);
        CHECK_FALSE(got.is_truncated());
        for (std::size_t i = 0; i < got.segment_count(); ++i) {
            auto segment = got.segment(buffer, i);
            CHECK(segment.size() == std::min(segment_size, total - position));
            CHECK(support::fits(segment, position));
            position += segment.size();
        }
    }
    co_return receives;
}

}  // namespace

TEST_CASE("udp: segments arrive as datagrams of their size, singly or together") {
    auto body = [](udp_socket& here, udp_socket& there, std::size_t total, std::size_t segment_size) -> peal::task<int> {
        std::vector<std::byte> bytes = support::pattern(total);
        here.set_peer(there.local_address());
        auto receiving = peal::spawn(receive_all, std::ref(there), total, segment_size);
        co_await here.send_segments(bytes, segment_size);
        co_return co_await receiving;
    };
    peal::pool pool(peal::pool_options(1));
    for (bool together : {false, true}) {
        udp_socket here = udp_socket::bind("127.0.0.1:0");
        udp_socket there = udp_socket::bind("127.0.0.1:0", udp_options().receive_segments(together).receive_buffer(4 << 20));
        // One; a full one and a rest; as many as go at once; more than that; larger than any two that fit into a packet.
        for (auto [total, size] : {std::pair<std::size_t, std::size_t>(10, 100), {150, 100}, {64 * 100, 100}, {200 * 100 + 1, 100}, {100'000, 40'000}}) {
            INFO(total << " bytes in segments of " << size << (together ? ", together" : ""));
            auto datagrams = static_cast<int>((total + size - 1) / size);
            int receives = pool.run(body, std::ref(here), std::ref(there), std::size_t(total), std::size_t(size));
            CHECK(receives <= datagrams);
            if (!together) CHECK(receives == datagrams);
        }
    }
}

TEST_CASE("udp: segments to an address, and an error in the middle") {
    peal::pool pool(peal::pool_options(1));
    udp_socket here = udp_socket::bind("127.0.0.1:0");
    udp_socket there = udp_socket::bind("127.0.0.1:0");
    auto send = [](udp_socket& from, std::span<const std::byte> bytes, std::size_t segment_size, address to) -> peal::task<std::string> {
        auto sending = from.send_segments_to(bytes, segment_size, to);
        auto sent = co_await peal::as_result(sending);
        co_return sent ? "sent" : sent.error().message();
    };
    std::vector<std::byte> bytes = support::pattern(70'000);
    CHECK(pool.run(send, std::ref(here), std::span<const std::byte>(bytes).first(300), std::size_t{100}, there.local_address()) == "sent");
    CHECK(pool.run(receive_all, std::ref(there), std::size_t{300}, std::size_t{100}) == 3);
    CHECK(pool.run(send, std::ref(here), std::span<const std::byte>(bytes), std::size_t{66'000}, there.local_address()) == "sendmsg: Message too long");
    CHECK(pool.run(send, std::ref(here), std::span<const std::byte>(), std::size_t{100}, there.local_address()) == "sent");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(there)) == "0 bytes");
}

TEST_CASE("udp: where the system does not divide, segments are sent one by one") {
    auto body = [](udp_socket& here, udp_socket& there) -> peal::task<int> {
        std::vector<std::byte> bytes = support::pattern(1001);
        auto receiving = peal::spawn(receive_all, std::ref(there), bytes.size(), std::size_t{100});
        co_await here.send_segments_to(bytes, 100, there.local_address());
        co_return co_await receiving;
    };
    peal::pool pool(peal::pool_options(1));
    udp_socket here = udp_socket::bind("127.0.0.1:0");
    udp_socket there = udp_socket::bind("127.0.0.1:0");
    int on = 1;  // without checksums it refuses to
    REQUIRE(::setsockopt(here.native_handle(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) == 0);
    CHECK(pool.run(body, std::ref(here), std::ref(there)) == 11);
}

// ---- groups ------------------------------------------------------------------------------------------------------------------------------

TEST_CASE("udp: members of a group get what is sent to it, until they leave") {
    peal::pool pool(peal::pool_options(1));
    udp_socket first = udp_socket::bind("0.0.0.0:0", udp_options().reuse_address());
    auto port = std::to_string(first.local_address().port());
    udp_socket second = udp_socket::bind("0.0.0.0:" + port, udp_options().reuse_address());
    address group = address::parse("239.255.77.77:" + port);
    udp_socket sender = udp_socket::bind("127.0.0.1:0");
    try {
        first.join_group(group, "lo");
        second.join_group(group, "lo");
        sender.set_multicast_interface("lo");
    } catch (const std::system_error& none) {
        WARN("this machine has no multicast: " << none.what());
        return;
    }
    sender.set_multicast_hops(1);
    std::vector<std::byte> bytes = support::pattern(50);
    auto send = [&](std::size_t count) {
        return pool.run(send_to_end, std::ref(sender), std::span<const std::byte>(bytes).first(count), group);
    };
    REQUIRE(send(50) == "sent");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(first)) == "50 bytes");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(second)) == "50 bytes");
    second.leave_group(group, "lo");
    REQUIRE(send(20) == "sent");
    CHECK(pool.run(receive_end<udp_socket>, std::ref(first)) == "20 bytes");
    int waiting = -1;
    ::ioctl(second.native_handle(), FIONREAD, &waiting);
    CHECK(waiting == 0);  // although another socket on this machine is still a member
    sender.set_multicast_loop(false);
    int loop = -1;  // over loopback itself it makes no difference
    socklen_t bytes_of_loop = sizeof loop;
    ::getsockopt(sender.native_handle(), IPPROTO_IP, IP_MULTICAST_LOOP, &loop, &bytes_of_loop);
    CHECK(loop == 0);

    CHECK(failure_of([&] { second.leave_group(group, "lo"); }) == "leaving a multicast group: Cannot assign requested address");
    CHECK(failure_of([&] { second.join_group(address::parse("127.0.0.1:1")); }) == "joining a multicast group: Invalid argument");
    CHECK(failure_of([&] { second.join_group(group, std::string_view("lo\0x", 4)); }) == "network interface lo?x: Invalid argument");
    CHECK(failure_of([&] { second.join_group(group, "no-such-one"); }) == "network interface no-such-one: No such device");
    CHECK(failure_of([&] { sender.set_multicast_hops(-1); }) == "setsockopt IP_MULTICAST_TTL: Invalid argument");
}

TEST_CASE("udp: groups over IPv6 are joined and left") {
    if (!has_ipv6()) return;
    udp_socket socket = udp_socket::bind("[::1]:0");
    address group = address::parse("[ff01::77:77]:1");
    try {
        socket.join_group(group, "lo");
    } catch (const std::system_error& none) {
        WARN("this machine has no multicast over IPv6: " << none.what());
        return;
    }
    socket.leave_group(group, "lo");
    socket.set_multicast_interface("lo");
    socket.set_multicast_hops(2);
    socket.set_multicast_loop(true);
    CHECK(failure_of([&] { socket.leave_group(group, "lo"); }) != "none");
}

// ---- closing and canceling -----------------------------------------------------------------------------------------------------------------

TEST_CASE("udp: closing ends every receive that waits, and an empty datagram does not look like it") {
    peal::pool pool(peal::pool_options(1));
    for (int round = 0; round < 60; ++round) {
        udp_socket socket = udp_socket::bind("127.0.0.1:0", udp_options().receive_segments(round % 2 == 0));
        std::vector<peal::join_handle<std::string>> waiting;
        for (int i = 0; i < 3; ++i) waiting.push_back(pool.spawn(receive_end<udp_socket>, std::ref(socket)));
        if (round % 3 != 0) std::this_thread::sleep_for(1ms);
        bool with_peer = round % 4 == 1;
        if (with_peer) socket.set_peer(address::parse("127.0.0.1:9"));
        auto close = [](udp_socket& closed) { closed.close(); };
        pool.run(close, std::ref(socket));
        for (auto& each : waiting) CHECK(pool.run(take<std::string>, std::move(each)) == "recvmsg: Bad file descriptor");
    }
    udp_socket socket = udp_socket::bind("127.0.0.1:0");
    auto receiving = pool.spawn(receive_end<udp_socket>, std::ref(socket));
    std::this_thread::sleep_for(1ms);
    CHECK(pool.run(send_to_end, std::ref(socket), std::span<const std::byte>(), socket.local_address()) == "sent");
    CHECK(pool.run(take<std::string>, std::move(receiving)) == "0 bytes");
}

TEST_CASE("udp: a canceled receive takes nothing") {
    auto body = [](udp_socket& socket) -> peal::task<> {
        std::array<std::byte, 100> buffer;
        for (int i = 0; i < 20; ++i) {
            auto limited = co_await peal::as_result(peal::timeout(1ms, receive_into(socket, buffer)));
            CHECK_FALSE(limited);
            if (!limited) CHECK(limited.error().code() == std::errc::timed_out);
            std::vector<std::byte> bytes = support::pattern(10);
            co_await socket.send_to(bytes, socket.local_address());
            datagram got = co_await socket.receive(buffer);
            CHECK(got.size() == 10);
        }
    };
    peal::pool pool(peal::pool_options(1));
    udp_socket socket = udp_socket::bind("127.0.0.1:0");
    pool.run(body, std::ref(socket));
}

TEST_CASE("udp: many senders and receivers at once") {
    constexpr int senders = 8;
    constexpr int each = 200;
    // Each number comes back before the next is sent: so none is dropped for want of room.
    auto echo_some = [](udp_socket& socket, std::atomic<std::uint64_t>& sum) -> peal::task<> {
        std::array<std::byte, 16> buffer;
        for (;;) {
            auto receiving = socket.receive(buffer);
            auto got = co_await peal::as_result(receiving);
            if (!got) co_return;  // stopped
            std::uint64_t number;
            std::memcpy(&number, buffer.data(), sizeof number);
            sum += number;
            co_await socket.send_to(std::span(buffer).first(got->size()), got->sender());
        }
    };
    auto ask_some = [](address to, int first) -> peal::task<> {
        udp_socket socket = udp_socket::connect(to);
        for (int i = 0; i < each; ++i) {
            auto number = static_cast<std::uint64_t>(first + i);
            auto answer = number + 1;
            co_await socket.send(std::as_bytes(std::span(&number, 1)));
            co_await socket.receive(std::as_writable_bytes(std::span(&answer, 1)));
            if (answer != number) throw std::runtime_error("the answer to another question");
        }
    };
    std::atomic<std::uint64_t> sum{0};
    auto body = [&](udp_socket& socket) -> peal::task<> {
        address to = socket.local_address();
        peal::scope echoing;
        peal::scope asking;
        for (int i = 0; i < 4; ++i) echoing.spawn(echo_some, std::ref(socket), std::ref(sum));
        for (int i = 0; i < senders; ++i) asking.spawn(ask_some, to, i * each);
        co_await asking.join();
        echoing.request_stop();
        co_await echoing.join();
    };
    peal::pool pool(peal::pool_options(2));
    udp_socket socket = udp_socket::bind("127.0.0.1:0");
    pool.run(body, std::ref(socket));
    std::uint64_t count = senders * each;
    CHECK(sum == count * (count - 1) / 2);
}
