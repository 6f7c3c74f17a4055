// SPDX-License-Identifier: MIT

// Pipes, and what else stands behind such a descriptor: terminals, files, /dev/null, descriptors that others made non-blocking.

#include <peal/io/pipe.hpp>

#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <array>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/io/buffered_reader.hpp>
#include <peal/io/copy.hpp>
#include <peal/pool/pool.hpp>
#include <peal/process/standard_streams.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/yield.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/leaks.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::io::pipe_reader;
using peal::io::pipe_writer;

static_assert(peal::io::readable<pipe_reader> && peal::io::writable<pipe_writer>);

namespace {

peal::task<> write_and_close(pipe_writer& to, std::span<const std::byte> bytes) {
    std::size_t written = co_await to.write_all(bytes);
    CHECK(written == bytes.size());
    to.close();
}

peal::task<std::vector<std::byte>> read_to_the_end(pipe_reader& from) {
    std::vector<std::byte> all;
    std::array<std::byte, 1000> piece;
    while (std::size_t n = co_await from.read(piece)) all.insert(all.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(n));
    co_return all;
}

peal::task<bool> passes_everything(peal::io::pipe& through, std::span<const std::byte> bytes) {
    auto [nothing, got] = co_await peal::when_all(write_and_close(through.writer, bytes), read_to_the_end(through.reader));
    co_return std::equal(got.begin(), got.end(), bytes.begin(), bytes.end());
}

void set_nonblocking(int fd) { REQUIRE(::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK) == 0); }


class terminal {
  public:
    terminal() : outside(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
        REQUIRE(outside >= 0);
        REQUIRE(::grantpt(outside) == 0);
        REQUIRE(::unlockpt(outside) == 0);
        inside = ::open(::ptsname(outside), O_RDWR | O_NOCTTY | O_CLOEXEC);
        REQUIRE(inside >= 0);
        termios settings{};
        ::tcgetattr(inside, &settings);
        settings.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        ::tcsetattr(inside, TCSANOW, &settings);
    }
    terminal(const terminal&) = delete;
    terminal& operator=(const terminal&) = delete;
    ~terminal() { ::close(outside); }
    int outside;
    int inside = -1;
};

}  // namespace

TEST_CASE("pipe: more than it holds passes through, and then its end") {
    peal::pool pool(peal::pool_options(2));
    std::vector<std::byte> bytes = support::pattern(1'000'000);
    for (bool nonblocking : {false, true}) {  // as another program may have made it
        peal::io::pipe through = peal::io::make_pipe();
        if (nonblocking) {
            set_nonblocking(through.reader.native_handle());
            set_nonblocking(through.writer.native_handle());
        }
        CHECK(pool.run(passes_everything, std::ref(through), std::span<const std::byte>(bytes)));
        CHECK_FALSE(through.writer.is_open());
    }
}

TEST_CASE("pipe: a write after the reader has gone is an error and no signal") {
    auto body = [](peal::io::pipe& through) -> peal::task<> {
        int number = through.reader.native_handle();
        through.reader.close();
        while (::fcntl(number, F_GETFD) >= 0) co_await peal::sleep_for(1ms);  // the worker's ring, or a thread, closes it soon
        for (int i = 0; i < 3; ++i) {
            auto written = co_await peal::as_result(through.writer.write(peal::io::bytes_of("lost")));
            REQUIRE_FALSE(written);
            CHECK(written.error().code() == std::errc::broken_pipe);
            CHECK(written.error().operation() == "write");
        }
    };
    peal::pool pool(peal::pool_options(1));
    peal::io::pipe through = peal::io::make_pipe();
    pool.run(body, std::ref(through));
}

TEST_CASE("pipe: a writer that waits for room ends with broken_pipe when the reader goes") {
    auto write = [](pipe_writer& to, std::span<const std::byte> bytes) -> peal::task<std::string> {
        auto written = co_await peal::as_result(to.write_all(bytes));
        co_return written ? "written" : written.error().code().message();
    };
    auto close_later = [](pipe_reader& end) -> peal::task<> {
        co_await peal::sleep_for(5ms);
        end.close();
    };
    auto both = [&](peal::io::pipe& through, std::span<const std::byte> bytes) -> peal::task<std::string> {
        auto [said, nothing] = co_await peal::when_all(write(through.writer, bytes), close_later(through.reader));
        co_return said;
    };
    peal::pool pool(peal::pool_options(2));
    std::vector<std::byte> bytes(1'000'000);
    peal::io::pipe through = peal::io::make_pipe();
    CHECK(pool.run(both, std::ref(through), std::span<const std::byte>(bytes)) == "Broken pipe");
}

TEST_CASE("pipe: a canceled read has taken nothing, and read_exactly reports what it has") {
    auto body = [](peal::io::pipe& through) -> peal::task<> {
        std::array<std::byte, 8> buffer;
        auto nothing = co_await peal::as_result(peal::timeout(3ms, through.reader.read(buffer)));
        CHECK_FALSE(nothing);
        CHECK(nothing.error().code() == std::errc::timed_out);
        co_await through.writer.write_all(peal::io::bytes_of("abc"));
        std::size_t some = co_await peal::timeout(20ms, through.reader.read_exactly(buffer));
        CHECK(some == 3);
        co_await through.writer.write_all(peal::io::bytes_of("defghijk"));
        std::size_t all = co_await through.reader.read_exactly(buffer);
        CHECK(all == 8);
        std::size_t none = co_await through.reader.read(std::span<std::byte>());
        CHECK(none == 0);
    };
    peal::pool pool(peal::pool_options(1));
    for (bool nonblocking : {false, true}) {
        peal::io::pipe through = peal::io::make_pipe();
        if (nonblocking) set_nonblocking(through.reader.native_handle());
        pool.run(body, std::ref(through));
    }
}

TEST_CASE("pipe: lines by a buffered_reader, and copying") {
    auto body = [](peal::io::pipe& from, peal::io::pipe& to) -> peal::task<> {
        co_await from.writer.write_all(peal::io::bytes_of("one\ntwo\n"));
        from.writer.close();
        std::uint64_t copied = co_await peal::io::copy(from.reader, to.writer);
        CHECK(copied == 8);
        to.writer.close();
        peal::io::buffered_reader lines(to.reader);
        auto first = co_await lines.read_line(10);
        CHECK((first && *first == "one"));
        auto second = co_await lines.read_line(10);
        CHECK((second && *second == "two"));
        auto end = co_await lines.read_line(10);
        CHECK_FALSE(end);
    };
    peal::pool pool(peal::pool_options(1));
    peal::io::pipe from = peal::io::make_pipe();
    peal::io::pipe to = peal::io::make_pipe();
    pool.run(body, std::ref(from), std::ref(to));
}

TEST_CASE("pipe: a file is read from where it stands and written at its end, and /dev/null has an end at once") {
    auto body = [](std::string path) -> peal::task<> {
        pipe_writer out(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
        co_await out.write_all(peal::io::bytes_of("0123"));
        co_await out.write_all(peal::io::bytes_of("4567"));
        pipe_reader in(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
        ::lseek(in.native_handle(), 2, SEEK_SET);
        std::array<std::byte, 4> buffer;
        std::size_t first = co_await in.read(buffer);
        CHECK(first == 4);
        CHECK(buffer[0] == std::byte{'2'});
        std::size_t second = co_await in.read_exactly(buffer);
        CHECK(second == 2);
        CHECK(buffer[0] == std::byte{'6'});
        pipe_reader nothing(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        std::size_t end = co_await nothing.read(buffer);
        CHECK(end == 0);
        pipe_writer dropped(::open("/dev/null", O_WRONLY | O_CLOEXEC));
        std::size_t gone = co_await dropped.write_all(peal::io::bytes_of("gone"));
        CHECK(gone == 4);
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, folder / "file");
}

TEST_CASE("pipe: a terminal gives a line when it has one, and a read of it can be stopped") {
    auto body = [](pipe_reader& in, pipe_writer& out, int outside) -> peal::task<> {
        std::array<std::byte, 100> buffer;
        for (int i = 0; i < 3; ++i) {
            auto nothing = co_await peal::as_result(peal::timeout(5ms, in.read(buffer)));
            REQUIRE_FALSE(nothing);
            CHECK(nothing.error().code() == std::errc::timed_out);
        }
        REQUIRE(::write(outside, "hello\n", 6) == 6);
        std::size_t line = co_await in.read(buffer);
        CHECK(line == 6);
        std::size_t written = co_await out.write_all(peal::io::bytes_of("hi"));
        CHECK(written == 2);
        char echo[2] = {};
        CHECK(::read(outside, echo, 2) == 2);
        CHECK(std::string(echo, 2) == "hi");
        REQUIRE(::write(outside, "\x04", 1) == 1);  // Ctrl-D
        std::size_t end = co_await in.read(buffer);
        CHECK(end == 0);
    };
    terminal screen;
    peal::pool pool(peal::pool_options(1));
    pipe_writer out(::fcntl(screen.inside, F_DUPFD_CLOEXEC, 3));
    pipe_reader in(screen.inside);
    pool.run(body, std::ref(in), std::ref(out), screen.outside);
}

TEST_CASE("pipe: standard streams are copies, closed for themselves") {
    std::size_t before = support::open_descriptors();
    {
        pipe_writer out = peal::process::standard_output();
        pipe_writer errors = peal::process::standard_error();
        CHECK(out.native_handle() > 2);
        CHECK(support::open_descriptors() == before + 2);
    }
    CHECK(support::open_descriptors() == before);
    CHECK(::fcntl(1, F_GETFD) >= 0);
}

TEST_CASE("pipe: what is not open is an error") {
    auto body = []() -> peal::task<> {
        pipe_reader none;
        std::array<std::byte, 4> buffer;
        auto read = co_await peal::as_result(none.read(buffer));
        REQUIRE_FALSE(read);
        CHECK(read.error().code() == std::errc::bad_file_descriptor);
        peal::io::pipe through = peal::io::make_pipe();
        auto wrong_end = co_await peal::as_result(pipe_writer(::dup(through.reader.native_handle())).write(peal::io::bytes_of("x")));
        REQUIRE_FALSE(wrong_end);
        CHECK(wrong_end.error().code() == std::errc::bad_file_descriptor);
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

TEST_CASE("pipe: a wait that was stopped says nothing later about what has the number next") {
    auto body = []() -> peal::task<> {
        peal::io::pipe first = peal::io::make_pipe();
        const int copy = ::fcntl(first.reader.native_handle(), F_DUPFD_CLOEXEC, 100);  // the pipe lives on when its reader is gone
        const int number = first.reader.native_handle();
        std::array<std::byte, 16> buffer;
        auto reading = first.reader.read(buffer);
        auto limited = peal::timeout(1ms, reading);
        auto stopped = co_await peal::as_result(std::move(limited));
        CHECK_FALSE(stopped);
        first.reader.close();
        while (::fcntl(number, F_GETFD) >= 0) co_await peal::sleep_for(1ms);  // by a thread
        auto [here, there] = support::local_pair();
        const int moved = ::fcntl(here.native_handle(), F_DUPFD_CLOEXEC, number);
        REQUIRE((here.native_handle() == number || there.native_handle() == number || moved == number));
        ::close(moved);
        auto& receiver = here.native_handle() == number ? here : there;
        auto& sender = here.native_handle() == number ? there : here;
        std::array<std::byte, 16> received;
        auto end_first_and_send = [](peal::io::pipe& ending, peal::net::tcp_stream& to) -> peal::task<> {
            co_await peal::sleep_for(5ms);
            ending.writer.close();
            co_await peal::sleep_for(20ms);
            std::array<std::byte, 5> sent{};
            co_await to.write_all(sent);
        };
        auto read = [](peal::net::tcp_stream& from, std::span<std::byte> into) -> peal::task<std::size_t> {
            co_return co_await from.read(into);
        };
        auto [nothing, count] = co_await peal::when_all(end_first_and_send(first, sender), read(receiver, received));
        CHECK(count == 5);
        ::close(copy);
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

TEST_CASE("pipe: two pools make and close them at once, and the numbers go to and fro between them") {
    const std::size_t before = support::open_descriptors();
    {
        auto make_and_close = []() -> peal::task<> {
            for (int i = 0; i < 2000; ++i) {
                peal::io::pipe made = peal::io::make_pipe();
                co_await peal::yield();
            }
        };
        peal::pool one(peal::pool_options(1));
        peal::pool other(peal::pool_options(1));
        std::thread beside([&] { other.run(make_and_close); });
        one.run(make_and_close);
        beside.join();
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("pipe: in a program without standard streams, no ring and no event takes their place") {
    auto child = support::run_case("child: a pool without standard streams");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: a pool without standard streams", "[.child]") {
    const int out = ::fcntl(1, F_DUPFD_CLOEXEC, 100);
    for (int fd : {0, 1, 2}) ::close(fd);
    bool are_free = true;
    bool is_refused = false;
    {
        peal::pool pool(peal::pool_options(2));
        pool.run([]() -> peal::task<> { co_return; });
        for (int fd : {0, 1, 2}) are_free &= ::fcntl(fd, F_GETFD) < 0;
        try {
            static_cast<void>(peal::process::standard_input());
        } catch (const std::system_error& failure) {
            is_refused = failure.code() == std::errc::bad_file_descriptor;
        }
    }
    for (int fd : {0, 1, 2}) ::dup2(out, fd);
    ::close(out);
    CHECK(are_free);
    CHECK(is_refused);
}
