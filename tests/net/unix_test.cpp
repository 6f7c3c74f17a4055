// SPDX-License-Identifier: MIT

// Unix sockets: addresses; streams, messages and datagrams; full backlogs and full receivers; closing and canceling while something waits.
// Descriptors: net/unix_descriptors.

#include <peal/net/unix.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <atomic>
#include <cstring>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/ends.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::net::unix_address;
using peal::net::unix_bind_options;
using peal::net::unix_datagram;
using peal::net::unix_listener;
using peal::net::unix_message;
using peal::net::unix_seqpacket;
using peal::net::unix_seqpacket_listener;
using peal::net::unix_stream;
using support::failure_of;
using support::receive_end;
using support::send_end;
using support::take;

namespace {

/// A name of this test alone.
unix_address fresh_name() {
    static std::atomic<int> count{0};
    return unix_address::abstract("peal-test-" + std::to_string(::getpid()) + '-' + std::to_string(++count));
}

/// "done" or the error. `T` may be void.
template <class T>
peal::task<std::string> end_of(peal::task<T> then) {
    auto got = co_await peal::as_result(std::move(then));
    co_return got ? "done" : got.error().message();
}

template <class Socket>
void close(Socket& socket) {
    socket.close();
}

peal::task<> echo_session(unix_stream peer) {
    std::array<std::byte, 4096> buffer;
    while (std::size_t n = co_await peer.read(buffer)) co_await peer.write_all(std::span(buffer).first(n));
}
peal::task<> echo_once(unix_listener& listener, unix_address where) {
    peal::scope all;
    auto connecting = peal::spawn(unix_stream::connect, where);
    all.spawn(echo_session, co_await listener.accept());
    unix_stream stream = co_await connecting;
    CHECK(stream.peer_address() == where);
    CHECK(stream.local_address().is_unnamed());
    std::vector<std::byte> bytes = support::pattern(100'000);
    std::vector<std::byte> answer(bytes.size());
    all.spawn([](unix_stream& to, std::span<const std::byte> what) -> peal::task<> { co_await to.write_all(what); }, std::ref(stream),
              std::span<const std::byte>(bytes));
    std::size_t got = co_await stream.read_exactly(answer);
    CHECK(got == bytes.size());
    CHECK(answer == bytes);
    stream.shutdown_write();
    std::size_t end = co_await stream.read(answer);
    CHECK(end == 0);
    co_await all.join();
}

peal::task<unix_stream> connect_within(std::chrono::milliseconds limit, unix_address to) {
    co_return co_await peal::timeout(limit, unix_stream::connect(to));
}

/// A socket file that its process has left behind.
void leave_stale(const std::string& path) {
    auto gone = unix_listener::bind(unix_address::from_path(path));
    gone.close();
}

}  // namespace

// ---- addresses -------------------------------------------------------------------------------------------------------------------------

TEST_CASE("unix address: paths and abstract names, and what is neither") {
    CHECK(unix_address().is_unnamed());
    CHECK(unix_address().to_string() == "(unnamed)");
    auto path = unix_address::from_path("/run/app.sock");
    CHECK(path.to_string() == "/run/app.sock");
    CHECK_FALSE(path.is_abstract());
    auto name = unix_address::abstract(std::string_view("a\0b", 3));
    CHECK(name.is_abstract());
    CHECK(name.name() == std::string_view("a\0b", 3));
    CHECK_FALSE(name == path);
    CHECK(unix_address::abstract("x") == unix_address::abstract("x"));
    CHECK_FALSE(unix_address::abstract("x") == unix_address::from_path("x"));

    std::string longest(107, 'x');
    CHECK(unix_address::from_path(longest).name() == longest);
    CHECK(unix_address::abstract(longest).name() == longest);
    std::string longer(108, 'x');
    CHECK(failure_of([&] { unix_address::from_path(longer); }) ==
          "unix address '" + longer + "': it has 108 bytes, 107 are possible: File name too long");
    CHECK(failure_of([&] { unix_address::abstract(longer); }) ==
          "unix address '" + longer + "': it has 108 bytes, 107 are possible: File name too long");
    CHECK(failure_of([] { unix_address::from_path(""); }) == "unix address '': it is empty: Invalid argument");
    CHECK(failure_of([] { unix_address::from_path(std::string_view("a\0b", 3)); }) ==
          "unix address 'a?b': a path has no zero byte: Invalid argument");

    sockaddr_un system{};
    system.sun_family = AF_UNIX;
    std::memset(system.sun_path, 'y', sizeof system.sun_path);  // the system takes one byte more, without a zero
    CHECK(unix_address::from_system(&system, sizeof system).name() == std::string(108, 'y'));
    CHECK(unix_address::from_system(&system, 2).is_unnamed());
    system.sun_family = AF_INET;
    CHECK(failure_of([&] { unix_address::from_system(&system, sizeof system); }) != "none");
}

// ---- streams ---------------------------------------------------------------------------------------------------------------------------

TEST_CASE("unix stream: echo by a path and by an abstract name") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(2));
    for (const unix_address& where : {unix_address::from_path(folder / "s"), fresh_name()}) {
        INFO(where.to_string());
        auto listener = unix_listener::bind(where);
        CHECK(listener.local_address() == where);
        pool.run(echo_once, std::ref(listener), where);
    }
}

TEST_CASE("unix stream: errors of connect name the address") {
    support::temp_folder folder;
    std::string path = folder / "s";
    peal::pool pool(peal::pool_options(1));
    auto connect = [](unix_address to) { return end_of(unix_stream::connect(to)); };
    CHECK(pool.run(connect, unix_address::from_path(path)) == "connect " + path + ": No such file or directory");
    leave_stale(path);
    CHECK(pool.run(connect, unix_address::from_path(path)) == "connect " + path + ": Connection refused");
    auto nobody = fresh_name();
    CHECK(pool.run(connect, nobody) == "connect " + nobody.to_string() + ": Connection refused");
    std::string other = folder / "other";
    auto messages = unix_seqpacket_listener::bind(unix_address::from_path(other));
    CHECK(pool.run(connect, unix_address::from_path(other)) == "connect " + other + ": Protocol wrong type for socket");
}

TEST_CASE("unix listener: a stale file is replaced only if one says so, and nothing else ever is") {
    support::temp_folder folder;
    std::string path = folder / "s";
    auto where = unix_address::from_path(path);
    leave_stale(path);
    CHECK(failure_of([&] { static_cast<void>(unix_listener::bind(where)); }) == "bind " + path + ": Address already in use");
    {
        auto listener = unix_listener::bind(where, unix_bind_options().replace_stale().backlog(0));
        for (int i = 0; i < 2; ++i) {  // somebody listens, also when the backlog is full: the first question fills it
            CHECK(failure_of([&] { static_cast<void>(unix_listener::bind(where, unix_bind_options().replace_stale())); }) ==
                  "bind " + path + ": Address already in use");
        }
        // Of another kind, but alive.
        CHECK(failure_of([&] { static_cast<void>(unix_datagram::bind(where, unix_bind_options().replace_stale())); }) ==
              "bind " + path + ": Address already in use");
    }
    auto datagrams = unix_datagram::bind(where, unix_bind_options().replace_stale());
    CHECK(datagrams.local_address() == where);

    std::string file = folder / "file";
    int made = ::open(file.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ::close(made);
    CHECK(failure_of([&] { static_cast<void>(unix_listener::bind(unix_address::from_path(file), unix_bind_options().replace_stale())); }) ==
          "bind " + file + ": Address already in use");
    struct stat facts;
    CHECK(::stat(file.c_str(), &facts) == 0);
    std::string link = folder / "link";  // to a stale one: what it leads to is not ours to judge
    datagrams.close();
    REQUIRE(::symlink(path.c_str(), link.c_str()) == 0);
    CHECK(failure_of([&] { static_cast<void>(unix_listener::bind(unix_address::from_path(link), unix_bind_options().replace_stale())); }) ==
          "bind " + link + ": Address already in use");
}

TEST_CASE("unix stream: connect waits for room in the backlog, and can be stopped") {
    auto where = fresh_name();
    auto listener = unix_listener::bind(where, unix_bind_options().backlog(0));
    auto connect = [](unix_address to) { return end_of(unix_stream::connect(to)); };
    auto limited = [](unix_address to) { return end_of(connect_within(5ms, to)); };
    auto accept = [](unix_listener& at) { return at.accept(); };
    peal::pool pool(peal::pool_options(2));
    CHECK(pool.run(connect, where) == "done");  // the only place
    CHECK(pool.run(limited, where).ends_with("Connection timed out"));
    auto waiting = pool.spawn(connect, where);
    auto stopped = pool.spawn(connect, where);
    std::this_thread::sleep_for(5ms);
    CHECK_FALSE(waiting.has_ended());
    stopped.request_stop();
    CHECK(pool.run(take<std::string>, std::move(stopped)).ends_with("Operation canceled"));
    static_cast<void>(pool.run(accept, std::ref(listener)));
    CHECK(pool.run(take<std::string>, std::move(waiting)) == "done");
    static_cast<void>(pool.run(accept, std::ref(listener)));

    CHECK(pool.run(connect, where) == "done");
    auto refused = pool.spawn(connect, where);
    std::this_thread::sleep_for(5ms);
    listener.close();
    CHECK(pool.run(take<std::string>, std::move(refused)) == "connect " + where.to_string() + ": Connection refused");
}

TEST_CASE("unix stream: pair, half-closing, and who the peer is") {
    auto body = [](unix_stream& here, unix_stream& there) -> peal::task<> {
        peal::net::peer_credentials who = here.peer();
        CHECK(who.pid == ::getpid());
        CHECK(who.uid == ::geteuid());
        CHECK(who.gid == ::getegid());
        std::vector<std::byte> bytes = support::pattern(10);
        co_await here.write_all(bytes);
        here.shutdown_write();
        std::size_t got = co_await there.read_exactly(bytes);
        CHECK(got == 10);
        got = co_await there.read(bytes);
        CHECK(got == 0);
        there.shutdown_read();
        here.shutdown_read();
        auto writing = there.write(bytes);
        auto written = co_await peal::as_result(writing);
        CHECK_FALSE(written);
        if (!written) CHECK(written.error().code() == std::errc::broken_pipe);
    };
    peal::pool pool(peal::pool_options(1));
    auto ends = unix_stream::pair();
    pool.run(body, std::ref(ends.first), std::ref(ends.second));
}

TEST_CASE("unix listener: closing ends the accepts that wait") {
    peal::pool pool(peal::pool_options(1));
    auto accept = [](unix_listener& at) { return end_of(at.accept()); };
    for (int round = 0; round < 20; ++round) {
        auto listener = unix_listener::bind(fresh_name());
        auto waiting = pool.spawn(accept, std::ref(listener));
        std::this_thread::sleep_for(1ms);
        pool.run(close<unix_listener>, std::ref(listener));
        CHECK(pool.run(take<std::string>, std::move(waiting)) == "accept: Invalid argument");
    }
}

// ---- messages --------------------------------------------------------------------------------------------------------------------------

TEST_CASE("unix seqpacket: messages keep their limits, what is cut off is told, and the end is the end") {
    auto body = [](unix_seqpacket_listener& listener, unix_address where) -> peal::task<> {
        auto connecting = peal::spawn(unix_seqpacket::connect, where);
        unix_seqpacket there = co_await listener.accept();
        unix_seqpacket here = co_await connecting;
        CHECK(here.peer_address() == where);
        CHECK(here.peer().pid == ::getpid());
        std::vector<std::byte> bytes = support::pattern(300);
        std::vector<std::byte> buffer(100);
        for (std::size_t size : {100, 1, 300, 2}) co_await here.send(std::span(bytes).first(size));
        for (std::size_t size : {100, 1, 300, 2}) {
            unix_message got = co_await there.receive(buffer);
            CHECK(got.size() == std::min<std::size_t>(size, 100));
            CHECK(got.full_size() == size);
            CHECK(got.is_truncated() == (size > 100));
            CHECK(got.sender().is_unnamed());
            CHECK(support::fits(std::span(buffer).first(got.size()), 0));
        }
        here.shutdown_write();
        unix_message end = co_await there.receive(buffer);
        CHECK(end.size() == 0);
        co_await there.send(bytes);
        unix_message back = co_await here.receive(buffer);
        CHECK(back.full_size() == 300);
    };
    peal::pool pool(peal::pool_options(1));
    auto where = fresh_name();
    auto listener = unix_seqpacket_listener::bind(where);
    pool.run(body, std::ref(listener), where);
    auto ends = unix_seqpacket::pair();
    std::vector<std::byte> much(10 << 20);
    CHECK(pool.run(send_end<unix_seqpacket>, std::ref(ends.first), std::span<const std::byte>(much)) == "sendmsg: Message too long");
}

TEST_CASE("unix seqpacket: a send that waits for room arrives whole, and in order") {
    auto send_all = [](unix_seqpacket& to, int count) -> peal::task<> {
        for (int i = 0; i < count; ++i) {
            std::vector<std::byte> bytes = support::pattern(1 + static_cast<std::size_t>(i) % 9000, static_cast<std::uint64_t>(i));
            std::size_t sent = co_await to.send(bytes);
            CHECK(sent == bytes.size());
        }
    };
    auto body = [send_all](std::pair<unix_seqpacket, unix_seqpacket>& ends) -> peal::task<> {
        auto sending = peal::spawn(send_all, std::ref(ends.first), 2000);
        std::vector<std::byte> buffer(9000);
        for (int i = 0; i < 2000; ++i) {
            if (i % 500 == 0) co_await peal::sleep_for(2ms);
            unix_message got = co_await ends.second.receive(buffer);
            std::size_t wanted = 1 + static_cast<std::size_t>(i) % 9000;
            if (got.size() != wanted || !support::fits(std::span(buffer).first(wanted), static_cast<std::uint64_t>(i))) FAIL("message " << i);
        }
        co_await sending;
    };
    peal::pool pool(peal::pool_options(1));
    auto ends = unix_seqpacket::pair();
    int room = 20'000;
    ::setsockopt(ends.first.native_handle(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    pool.run(body, std::ref(ends));
}

TEST_CASE("unix seqpacket: closing ends what waits on both sides") {
    peal::pool pool(peal::pool_options(1));
    std::vector<std::byte> bytes(10'000);
    for (int round = 0; round < 20; ++round) {
        auto ends = unix_seqpacket::pair();
        while (::send(ends.first.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
        }
        auto sending = pool.spawn(send_end<unix_seqpacket>, std::ref(ends.first), std::span<const std::byte>(bytes));
        auto here = pool.spawn(receive_end<unix_seqpacket>, std::ref(ends.first));
        std::this_thread::sleep_for(1ms);
        CHECK_FALSE(sending.has_ended());
        pool.run(close<unix_seqpacket>, std::ref(round % 2 == 0 ? ends.first : ends.second));
        std::string sent = pool.run(take<std::string>, std::move(sending));
        std::string end = pool.run(take<std::string>, std::move(here));
        INFO(sent << "; " << end);
        CHECK((sent == "sendmsg: Broken pipe" || sent == "sendmsg: Connection reset by peer"));
        CHECK((end == "0 bytes" || end == "recvmsg: Connection reset by peer"));  // the peer has not read all
    }
}

TEST_CASE("unix datagram: arrives whole, with its sender if that has a name") {
    auto body = [](unix_datagram& here, unix_datagram& there) -> peal::task<> {
        std::vector<std::byte> bytes = support::pattern(300);
        std::vector<std::byte> buffer(100);
        for (std::size_t size : {0, 1, 100, 300}) {
            co_await here.send_to(std::span(bytes).first(size), there.local_address());
            unix_message got = co_await there.receive(buffer);
            CHECK(got.size() == std::min<std::size_t>(size, 100));
            CHECK(got.full_size() == size);
            CHECK(got.sender() == here.local_address());
            CHECK(support::fits(std::span(buffer).first(got.size()), 0));
        }
        unix_datagram nameless = unix_datagram::open();
        nameless.set_peer(there.local_address());
        co_await nameless.send(std::span<const std::byte>());
        unix_message got = co_await there.receive(buffer);
        CHECK(got.sender().is_unnamed());
        CHECK(got.size() == 0);
    };
    peal::pool pool(peal::pool_options(1));
    auto here = unix_datagram::bind(fresh_name());
    auto there = unix_datagram::bind(fresh_name());
    pool.run(body, std::ref(here), std::ref(there));
    CHECK(pool.run(send_end<unix_datagram>, std::ref(here), std::span<const std::byte>()).starts_with("sendmsg: Transport endpoint is not connected"));
    auto ends = unix_datagram::pair();
    ends.second.close();
    CHECK(pool.run(send_end<unix_datagram>, std::ref(ends.first), std::span<const std::byte>()) == "sendmsg: Connection refused");
}

TEST_CASE("unix datagram: a sender waits for room, by its peer or by address, and can be stopped and closed") {
    peal::pool pool(peal::pool_options(1));
    std::vector<std::byte> bytes = support::pattern(10);
    auto send_to = [](unix_datagram& from, std::span<const std::byte> what, unix_address to) { return end_of(from.send_to(what, to)); };
    for (bool by_address : {false, true}) {
        for (int ending = 0; ending < 4; ++ending) {
            INFO((by_address ? "by address, " : "by peer, ") << ending);
            auto there = unix_datagram::bind(fresh_name());
            auto filler = unix_datagram::open();
            filler.set_peer(there.local_address());
            int filled = 0;
            while (::send(filler.native_handle(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) ++filled;
            auto here = unix_datagram::open();
            if (!by_address) here.set_peer(there.local_address());
            auto sending = by_address ? pool.spawn(send_to, std::ref(here), std::span<const std::byte>(bytes), there.local_address())
                                      : pool.spawn(send_end<unix_datagram>, std::ref(here), std::span<const std::byte>(bytes));
            std::this_thread::sleep_for(3ms);
            CHECK_FALSE(sending.has_ended());
            std::string wanted;
            if (ending == 0) {
                for (int i = 0; i < filled; ++i) CHECK(pool.run(receive_end<unix_datagram>, std::ref(there)) == "10 bytes");
                wanted = by_address ? "done" : "sent";
            } else if (ending == 1) {
                sending.request_stop();
                wanted = "Operation canceled";
            } else if (ending == 2) {
                pool.run(close<unix_datagram>, std::ref(here));
                wanted = "Broken pipe";
            } else {
                pool.run(close<unix_datagram>, std::ref(there));
                wanted = "Connection refused";
            }
            std::string end = pool.run(take<std::string>, std::move(sending));
            INFO(end);
            CHECK(end.ends_with(wanted));
            if (ending == 0) CHECK(pool.run(receive_end<unix_datagram>, std::ref(there)) == "10 bytes");
        }
    }
}

TEST_CASE("unix datagram: closing ends every receive that waits, and an empty message does not look like it") {
    peal::pool pool(peal::pool_options(1));
    for (int round = 0; round < 40; ++round) {
        auto socket = unix_datagram::bind(fresh_name());
        std::vector<peal::join_handle<std::string>> waiting;
        for (int i = 0; i < 3; ++i) waiting.push_back(pool.spawn(receive_end<unix_datagram>, std::ref(socket)));
        if (round % 3 != 0) std::this_thread::sleep_for(1ms);
        pool.run(close<unix_datagram>, std::ref(socket));
        for (auto& each : waiting) CHECK(pool.run(take<std::string>, std::move(each)) == "recvmsg: Bad file descriptor");
    }
}
