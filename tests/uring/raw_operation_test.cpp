// SPDX-License-Identifier: MIT

// Entries of the program's own making: answered, canceled, answered twice, refused.

#include <peal/uring/raw_operation.hpp>

#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <stdexcept>
#include <string>
#include <system_error>

#include <peal/combine/timeout.hpp>
#include <peal/io/pipe.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/tcp_pair.hpp"

using namespace std::chrono_literals;
using peal::uring::completion;
using peal::uring::raw_operation;

namespace {

peal::pool_options on_rings(unsigned workers = 1) {
    peal::pool_options options(workers);
    options.driver = peal::driver_choice::uring;
    return options;
}

/// Not in a coroutine: io_uring_sqe ends in an array of no size, which g++ does not like in a frame.
template <class Fill>
raw_operation filled(Fill fill) {
    io_uring_sqe entry{};
    fill(entry);
    return raw_operation(entry);
}

template <class Fill>
peal::task<completion> perform(Fill fill) {
    raw_operation asked = filled(fill);
    co_return co_await asked;
}

template <class Fill>
peal::task<int> errno_of(Fill fill) {
    raw_operation asked = filled(fill);
    auto answered = co_await peal::as_result(asked);
    co_return answered ? 0 : answered.error().code().value();
}

constexpr std::uint8_t op_send_zc = 47;  // IORING_OP_SEND_ZC, Linux 6.0

}  // namespace

TEST_CASE("raw operation: what has no name here: a file spliced into a pipe") {
    char name[] = "/tmp/peal-raw-XXXXXX";
    int file = ::mkstemp(name);
    REQUIRE(file >= 0);
    ::unlink(name);
    REQUIRE(::pwrite(file, "through the kernel", 18, 0) == 18);
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    auto splice = [file, to = ends[1]](io_uring_sqe& entry) { ::io_uring_prep_splice(&entry, file, 8, to, -1, 100, 0); };
    peal::pool pool(on_rings());
    completion moved = pool.run(perform<decltype(splice)>, splice);
    CHECK(moved.result == 10);
    char got[100];
    CHECK(std::string(got, static_cast<std::size_t>(::read(ends[0], got, sizeof got))) == "the kernel");
    ::close(ends[0]);
    ::close(ends[1]);
    ::close(file);
}

TEST_CASE("raw operation: a thousand, interleaved with peal's own") {
    auto body = []() -> peal::task<int> {
        int right = 0;
        peal::io::pipe through = peal::io::make_pipe();
        for (int i = 0; i < 1000; ++i) {
            auto sent = static_cast<std::byte>(i);
            co_await through.writer.write_all(std::span(&sent, 1));
            std::byte got{};
            auto read = [&](io_uring_sqe& entry) {
                ::io_uring_prep_read(&entry, through.reader.native_handle(), &got, 1, static_cast<__u64>(-1));
            };
            completion answered = co_await filled(read);
            right += answered.result == 1 && got == sent;
        }
        co_return right;
    };
    peal::pool pool(on_rings());
    CHECK(pool.run(body) == 1000);
}

TEST_CASE("raw operation: the kernel's refusal is an error with its errno") {
    auto closed = [](io_uring_sqe& entry) { ::io_uring_prep_read(&entry, -1, nullptr, 1, 0); };
    auto unknown = [](io_uring_sqe& entry) { entry.opcode = 255; };
    peal::pool pool(on_rings());
    CHECK(pool.run(errno_of<decltype(closed)>, closed) == EBADF);
    CHECK(pool.run(errno_of<decltype(unknown)>, unknown) == EINVAL);
    try {
        pool.run(perform<decltype(unknown)>, unknown);
        FAIL("no error");
    } catch (const std::system_error& failure) {
        CHECK(std::string(failure.what()).find("io_uring operation") != std::string::npos);
    }
}

TEST_CASE("raw operation: a stop ends it, and waits for the kernel's last word") {
    auto body = []() -> peal::task<bool> {
        peal::io::pipe through = peal::io::make_pipe();
        std::array<std::byte, 16> buffer;  // in the frame: the kernel may not write to it after this
        auto read = [&](io_uring_sqe& entry) {
            ::io_uring_prep_read(&entry, through.reader.native_handle(), buffer.data(), buffer.size(), static_cast<__u64>(-1));
        };
        raw_operation asked = filled(read);
        auto limited = peal::timeout(1ms, asked);
        auto ended = co_await peal::as_result(std::move(limited));
        if (ended || ended.error().code() != std::errc::timed_out) co_return false;
        std::byte late{7};
        co_await through.writer.write_all(std::span(&late, 1));
        std::byte got{};
        std::size_t count = co_await through.reader.read(std::span(&got, 1));
        co_return count == 1 && got == late;  // it was not taken by what had ended
    };
    peal::pool pool(on_rings());
    CHECK(pool.run(body));
}

TEST_CASE("raw operation: what goes on by itself ends when it is stopped") {
    auto body = []() -> peal::task<int> {
        peal::io::pipe through = peal::io::make_pipe();
        auto poll = [&](io_uring_sqe& entry) { ::io_uring_prep_poll_multishot(&entry, through.reader.native_handle(), POLLIN); };
        std::byte sent{1};
        co_await through.writer.write_all(std::span(&sent, 1));
        raw_operation asked = filled(poll);
        auto limited = peal::timeout(20ms, asked);
        auto ended = co_await peal::as_result(std::move(limited));
        if (!ended) co_return -1;
        co_return ended.value().result;
    };
    peal::pool pool(on_rings());
    int found = pool.run(body);
    CHECK((found == -1 || (found & POLLIN) != 0));
}

TEST_CASE("raw operation: a zero-copy send is over when the kernel gives the buffer back") {
    auto body = []() -> peal::task<int> {
        support::stream_pair ends = co_await support::connected_pair();
        auto& [from, to] = ends;
        std::string message(20'000, 'z');
        auto send = [fd = from.native_handle(), &message](io_uring_sqe& entry) {
            entry.opcode = op_send_zc;
            entry.fd = fd;
            entry.addr = reinterpret_cast<std::uint64_t>(message.data());
            entry.len = static_cast<std::uint32_t>(message.size());
        };
        raw_operation asked = filled(send);
        auto sent = co_await peal::as_result(asked);
        if (!sent && sent.error().code().value() == EINVAL) co_return 0;  // Linux before 6.0
        std::string got(static_cast<std::size_t>(sent.value().result), ' ');
        co_await to.read_exactly(std::as_writable_bytes(std::span(got)));
        bool is_over = (sent.value().flags & IORING_CQE_F_MORE) != 0;  // the first answer's: another one came
        co_return got == std::string(got.size(), 'z') && is_over ? 1 : -1;
    };
    peal::pool pool(on_rings());
    CHECK(pool.run(body) >= 0);
}

TEST_CASE("raw operation: an entry that would concern others is refused, and says why") {
    for (unsigned flag : {IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_IO_DRAIN, IOSQE_BUFFER_SELECT, IOSQE_CQE_SKIP_SUCCESS}) {
        auto linked = [flag](io_uring_sqe& entry) { entry.flags = static_cast<__u8>(flag); };
        CHECK_THROWS_AS(filled(linked), std::invalid_argument);
    }
}

TEST_CASE("raw operation: where there is no ring, it says so") {
    peal::pool_options options(1);
    options.driver = peal::driver_choice::epoll;
    peal::pool pool(options);
    auto nothing = [](io_uring_sqe&) {};
    CHECK(pool.run(errno_of<decltype(nothing)>, nothing) == EOPNOTSUPP);
}
