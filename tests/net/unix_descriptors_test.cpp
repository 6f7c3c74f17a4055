// SPDX-License-Identifier: MIT

// Passing descriptors: they arrive, are closed at exec, and are closed if nobody takes them: with the message, with a buffer that is read
// without them, with a receive that nobody looks at. What this process may not have is told.

#include <peal/net/unix.hpp>

#include <fcntl.h>

#include <array>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/leaks.hpp"
#include "support/rights.hpp"
#include "support/sockets.hpp"

using namespace std::chrono_literals;
using peal::net::descriptor;
using peal::net::unix_datagram;
using peal::net::unix_message;
using peal::net::unix_seqpacket;
using peal::net::unix_stream;

namespace {

/// Until as many are open as `wanted`: a worker's ring closes in its own time.
bool becomes_count(std::size_t wanted) {
    auto deadline = std::chrono::steady_clock::now() + 20s;  // a guard against a hang
    while (support::open_descriptors() != wanted) {
        if (std::chrono::steady_clock::now() > deadline) return false;
        std::this_thread::sleep_for(1ms);
    }
    return true;
}

class ends_of_pipe {
  public:
    ends_of_pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
        reading = support::raw_socket(ends[0]);
        writing = support::raw_socket(ends[1]);
    }
    support::raw_socket reading;
    support::raw_socket writing;
};

bool leads_to(int fd, const ends_of_pipe& pipe) {
    char sent = 'p';
    char got = 0;
    return ::write(fd, &sent, 1) == 1 && ::read(pipe.reading.get(), &got, 1) == 1 && got == 'p';
}

peal::task<> drop_message(unix_seqpacket& from, std::size_t wanted) {
    std::array<std::byte, 10> buffer;
    unix_message got = co_await from.receive(buffer);
    CHECK(got.descriptors().size() == wanted);
}

}  // namespace

TEST_CASE("unix descriptors: arrive with a stream's bytes, a message, a datagram") {
    auto with_stream = [](ends_of_pipe& pipe) -> peal::task<> {
        auto ends = unix_stream::pair();
        std::vector<std::byte> bytes = support::pattern(300'000);  // more than goes at once
        std::vector<int> passed{pipe.writing.get(), pipe.reading.get()};
        auto write = [](unix_stream& to, std::span<const std::byte> what, std::span<const int> with) -> peal::task<std::size_t> {
            co_return co_await to.write_all(what, with);
        };
        auto writing = peal::spawn(write, std::ref(ends.first), std::span<const std::byte>(bytes), std::span<const int>(passed));
        std::vector<std::byte> buffer(bytes.size());
        unix_message got = co_await ends.second.receive(std::span(buffer).first(100));
        CHECK(got.size() == 100);
        CHECK_FALSE(got.is_truncated());
        CHECK_FALSE(got.has_lost_descriptors());
        REQUIRE(got.descriptors().size() == 2);
        for (descriptor& each : got.descriptors()) CHECK(::fcntl(each.get(), F_GETFD) == FD_CLOEXEC);
        CHECK(leads_to(got.descriptors()[0].get(), pipe));
        std::size_t rest = co_await ends.second.read_exactly(std::span(buffer).subspan(100));
        CHECK(rest == buffer.size() - 100);
        CHECK(buffer == bytes);
        std::size_t written = co_await writing;
        CHECK(written == bytes.size());
        int kept = got.descriptors()[0].release();
        got = unix_message(got.sender(), 0, 0, {}, false);
        CHECK(leads_to(kept, pipe));
        ::close(kept);
    };
    auto with_messages = [](ends_of_pipe& pipe) -> peal::task<> {
        int passed = pipe.writing.get();
        std::array<std::byte, 10> buffer;
        auto ends = unix_seqpacket::pair();
        std::vector<std::byte> bytes = support::pattern(6);
        co_await ends.first.send(std::span(bytes).first(5), std::span(&passed, 1));
        co_await ends.first.send(bytes);
        unix_message got = co_await ends.second.receive(buffer);
        CHECK(got.size() == 5);
        CHECK(got.descriptors().size() == 1);
        unix_message next = co_await ends.second.receive(buffer);
        CHECK(next.size() == 6);
        CHECK(next.descriptors().empty());

        auto datagrams = unix_datagram::pair();
        co_await datagrams.first.send({}, std::span(&passed, 1));  // a datagram may carry nothing else
        unix_message datagram = co_await datagrams.second.receive(buffer);
        CHECK(datagram.size() == 0);
        REQUIRE(datagram.descriptors().size() == 1);
        CHECK(leads_to(datagram.descriptors()[0].get(), pipe));
    };
    ends_of_pipe pipe;
    peal::pool pool(peal::pool_options(1));
    pool.run(with_stream, std::ref(pipe));
    pool.run(with_messages, std::ref(pipe));
}

TEST_CASE("unix descriptors: the most that go with one message, and what cannot be sent") {
    auto body = [](ends_of_pipe& pipe) -> peal::task<> {
        auto ends = unix_seqpacket::pair();
        std::vector<int> passed(peal::net::descriptors_per_message_max, pipe.writing.get());
        std::vector<std::byte> bytes = support::pattern(5);
        std::array<std::byte, 2> buffer;
        co_await ends.first.send(bytes, passed);
        unix_message got = co_await ends.second.receive(buffer);
        CHECK(got.is_truncated());  // bytes; the descriptors are all there
        CHECK(got.descriptors().size() == passed.size());
        CHECK_FALSE(got.has_lost_descriptors());
        passed.back() = -1;
        auto sending = ends.first.send(bytes, passed);
        auto sent = co_await peal::as_result(sending);
        CHECK_FALSE(sent);
        if (!sent) CHECK(sent.error().code() == std::errc::bad_file_descriptor);
    };
    ends_of_pipe pipe;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, std::ref(pipe));
}

TEST_CASE("unix descriptors: what nobody takes is closed") {
    ends_of_pipe pipe;
    int passed = pipe.writing.get();
    peal::pool pool(peal::pool_options(2));
    auto ends = unix_seqpacket::pair();
    auto streams = unix_stream::pair();
    std::size_t before = support::open_descriptors();
    auto send = [&] {
        auto body = [](unix_seqpacket& to, int fd) -> peal::task<> {
            std::vector<std::byte> bytes = support::pattern(1);
            co_await to.send(bytes, std::span(&fd, 1));
        };
        pool.run(body, std::ref(ends.first), passed);
    };
    // With the message.
    send();
    pool.run(drop_message, std::ref(ends.second), std::size_t{1});
    CHECK(becomes_count(before));
    // By a read that has no room for them.
    auto read = [](std::pair<unix_stream, unix_stream>& over, int fd) -> peal::task<> {
        std::vector<std::byte> bytes = support::pattern(10);
        co_await over.first.write_all(bytes, std::span(&fd, 1));
        std::size_t got = co_await over.second.read(bytes);
        CHECK(got == 10);
    };
    pool.run(read, std::ref(streams), passed);
    CHECK(becomes_count(before));
    // With a receive whose message nobody asks for: it comes too late for its group.
    auto race = [](unix_seqpacket& from, unix_seqpacket& to, int fd) -> peal::task<> {
        std::vector<std::byte> bytes = support::pattern(1);
        for (int i = 0; i < 200; ++i) {
            auto sending = peal::spawn(
                [](unix_seqpacket& over, std::span<const std::byte> what, int with) -> peal::task<> { co_await over.send(what, std::span(&with, 1)); },
                std::ref(to), std::span<const std::byte>(bytes), fd);
            std::array<std::byte, 10> buffer;
            auto first = co_await peal::when_any(from.receive(buffer), peal::sleep_for(std::chrono::microseconds(i)));
            co_await sending;
            if (first.index == 0) continue;
            std::array<std::byte, 10> rest;
            auto receiving = from.receive(rest);
            auto late = co_await peal::as_result(peal::timeout(1ms, receiving));
            static_cast<void>(late);
        }
    };
    pool.run(race, std::ref(ends.second), std::ref(ends.first), passed);
    CHECK(becomes_count(before));
    // With a socket that is closed before they are received.
    send();
    ends.second.close();
    CHECK(becomes_count(before - 1));
}

TEST_CASE("child: descriptors beyond the limit", "[.child]") {
    ends_of_pipe pipe;
    peal::pool pool(peal::pool_options(1));
    auto ends = unix_seqpacket::pair();
    auto body = [](std::pair<unix_seqpacket, unix_seqpacket>& over, int fd, std::size_t wanted, bool lost) -> peal::task<> {
        std::vector<int> passed(5, fd);
        std::vector<std::byte> bytes = support::pattern(3);
        std::array<std::byte, 10> buffer;
        co_await over.first.send(bytes, passed);
        unix_message got = co_await over.second.receive(buffer);
        CHECK(got.size() == 3);
        CHECK(got.descriptors().size() == wanted);
        CHECK(got.has_lost_descriptors() == lost);
    };
    std::size_t before = support::open_descriptors();
    pool.run(body, std::ref(ends), pipe.writing.get(), std::size_t{5}, false);
    REQUIRE(becomes_count(before));
    int lowest_free = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
    ::close(lowest_free);
    support::set_limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free) + 1);
    pool.run(body, std::ref(ends), pipe.writing.get(), std::size_t{1}, true);
    support::set_limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free) + 20);
    REQUIRE(becomes_count(before));
    support::set_limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free));
    pool.run(body, std::ref(ends), pipe.writing.get(), std::size_t{0}, true);
    support::set_limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free) + 20);
}

TEST_CASE("unix descriptors: those that this process may not have are lost, and that is told") {
    auto child = support::run_case("child: descriptors beyond the limit");
    INFO(child.output);
    CHECK(child.succeeded());
}
