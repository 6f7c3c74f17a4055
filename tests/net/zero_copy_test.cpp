// SPDX-License-Identifier: MIT

// set_zero_copy(): what write_all() sends from where it lies arrives whole, and the memory is the kernel's until it says that it has let go: also for who is
// stopped in between. All of it to this machine, where a program would never get it.

#include <net/zero_copy.hpp>
#include <task/faults.hpp>

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <peal/net/tcp.hpp>
#include <peal/net/unix.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/cancel_matrix.hpp"
#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/tcp_pair.hpp"

using namespace std::chrono_literals;
using peal::detail::operation_kind;
using peal::net::tcp_stream;
using support::stream_pair;

namespace {

std::atomic<int> without_copy{0};  // operations that were begun so
int refused_with = 0;              // errno; set while nothing runs

std::int32_t count_them(const peal::detail::operation& operation) {
    if (operation.kind != operation_kind::send_zero_copy) return 0;
    without_copy.fetch_add(1);  // what the task did before is seen by who sees this
    return -refused_with;
}

/// While it lives, operations are counted; `to_this_machine`: and take effect.
class watched {
  public:
    explicit watched(bool to_this_machine, int refusal = 0) {
        refused_with = refusal;
        without_copy = 0;
        peal::rt::zero_copy_on_this_machine = to_this_machine;
        peal::rt::the_fault_source = count_them;
    }
    watched(const watched&) = delete;
    watched& operator=(const watched&) = delete;
    ~watched() {
        peal::rt::the_fault_source = nullptr;
        peal::rt::zero_copy_on_this_machine = false;
    }
};

int number_of(int fd, unsigned long question) {
    int bytes = 0;
    return ::ioctl(fd, question, &bytes) == 0 ? bytes : -1;
}
/// What the kernel has taken and the peer has not read.
int on_the_way(const stream_pair& ends) { return number_of(ends.first.native_handle(), SIOCOUTQ) + number_of(ends.second.native_handle(), FIONREAD); }

std::vector<std::byte> read_raw(int socket, std::size_t bytes) {
    std::vector<std::byte> got(bytes);
    std::size_t count = 0;
    for (ssize_t n; count < bytes && (n = ::recv(socket, got.data() + count, bytes - count, 0)) > 0;) count += static_cast<std::size_t>(n);
    got.resize(count);
    return got;
}

peal::task<std::string> write_once(tcp_stream& to, std::span<const std::byte> bytes) {
    auto writing = to.write_all(bytes);
    auto written = co_await peal::as_result(writing);
    co_return written ? std::to_string(*written) : written.error().operation() + ' ' + std::to_string(written.error().code().value());
}

peal::task<std::string> join(peal::join_handle<std::string> of) { co_return co_await of; }

/// Parts of all sizes through one piece of memory, which is written to again as soon as each is sent. From position 0 on.
peal::task<std::uint64_t> write_parts(tcp_stream& to, int count, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> memory(200'000);
    std::uint64_t position = 0;
    for (int i = 0; i < count; ++i) {
        std::span<std::byte> part = std::span(memory).first(1 + random() % memory.size());
        support::fill(part, position);
        position += co_await to.write_all(part);
        std::fill(memory.begin(), memory.end(), std::byte{0xee});
    }
    to.shutdown_write();
    co_return position;
}

bool is_uring(peal::pool& pool) { return pool.driver_of(0) == std::string_view("uring"); }

}  // namespace

TEST_CASE("zero copy: only where it was asked for, from that size on, and never to this machine") {
    peal::pool pool(peal::pool_options(1));
    std::vector<std::byte> bytes = support::pattern(1000);
    auto begun_by = [&](tcp_stream& stream, std::size_t size) {
        without_copy = 0;
        CHECK(pool.run(write_once, std::ref(stream), std::span<const std::byte>(bytes).first(size)) == std::to_string(size));
        return without_copy.load();
    };
    stream_pair ends = pool.run(support::connected_pair);
    {
        watched counting(false);
        CHECK(begun_by(ends.first, 1000) == 0);
        ends.first.set_zero_copy(1);
        CHECK(begun_by(ends.first, 1000) == 0);
    }
    watched counting(true);
    CHECK(begun_by(ends.first, 1000) == 0);  // decided when it was set
    ends.first.set_zero_copy(600);
    CHECK(begun_by(ends.first, 599) == 0);
    CHECK(begun_by(ends.first, 600) == 1);
    tcp_stream moved = std::move(ends.first);
    CHECK(begun_by(moved, 600) == 1);
    moved.set_zero_copy(0);
    CHECK(begun_by(moved, 1000) == 0);
    tcp_stream none;
    none.set_zero_copy(1);
    CHECK(pool.run(write_once, std::ref(none), std::span<const std::byte>(bytes)) == "send " + std::to_string(EBADF));
}

TEST_CASE("zero copy: all bytes arrive as they were when they were written, though the memory is used again at once") {
    peal::pool pool(peal::pool_options(2));
    watched counting(true);
    for (unsigned seed = 1; seed <= 4; ++seed) {
        stream_pair ends = pool.run(support::connected_pair);
        ends.first.set_zero_copy(1);
        if (seed % 2 == 0) support::make_buffer_tiny(ends.first.native_handle());
        auto writing = pool.spawn(write_parts, std::ref(ends.first), 30, seed);
        std::uint64_t position = 0;
        for (;;) {
            std::vector<std::byte> got = read_raw(ends.second.native_handle(), 50'000);
            REQUIRE(support::fits(got, position));
            position += got.size();
            if (got.size() < 50'000) break;
            if (position % 400'000 == 0) std::this_thread::sleep_for(1ms);  // so that much lies in the kernel's queue
        }
        auto total = [](peal::join_handle<std::uint64_t> of) -> peal::task<std::uint64_t> { co_return co_await of; };
        CHECK(pool.run(total, std::move(writing)) == position);
    }
    CHECK(without_copy >= 120);
}

TEST_CASE("zero copy: where the system refuses it, a copy goes") {
    peal::pool pool(peal::pool_options(1));
    std::vector<std::byte> bytes = support::pattern(100'000);
    for (int error_number : {EOPNOTSUPP, ENOMEM, ENOBUFS}) {
        CAPTURE(error_number);
        watched refusing(true, error_number);
        stream_pair ends = pool.run(support::connected_pair);
        ends.first.set_zero_copy(1);
        auto writing = pool.spawn(write_once, std::ref(ends.first), std::span<const std::byte>(bytes));
        std::vector<std::byte> got = read_raw(ends.second.native_handle(), bytes.size());
        CHECK(got == bytes);
        CHECK(pool.run(join, std::move(writing)) == "100000");
        CHECK(without_copy == 1);
    }
    // A socket that really cannot.
    watched counting(true);
    stream_pair ends = support::local_pair();
    ends.first.set_zero_copy(1);
    CHECK(pool.run(write_once, std::ref(ends.first), std::span<const std::byte>(bytes).first(1000)) == "1000");
    CHECK(read_raw(ends.second.native_handle(), 1000) == support::pattern(1000));
    CHECK(without_copy == 1);
}

TEST_CASE("zero copy: between the result and the kernel's last word") {
    peal::pool pool(peal::pool_options(2));
    if (!is_uring(pool)) return;
    watched counting(true);
    stream_pair ends = pool.run(support::connected_pair);
    // The peer does not read: what fits into its window, and the rest in the queue of this end.
    ends.first.set_send_buffer(1 << 20);
    std::vector<std::byte> before = support::pattern(150'000);
    REQUIRE(::send(ends.first.native_handle(), before.data(), before.size(), MSG_DONTWAIT) == static_cast<ssize_t>(before.size()));
    std::vector<std::byte> bytes = support::pattern(50'000, before.size());
    ends.first.set_zero_copy(1);
    auto writing = pool.spawn(write_once, std::ref(ends.first), std::span<const std::byte>(bytes));
    REQUIRE(support::becomes([&] { return without_copy == 1 && on_the_way(ends) == static_cast<int>(before.size() + bytes.size()); }));
    REQUIRE(without_copy == 1);

    SECTION("it is stopped: that takes effect when the peer has read, and nothing was lost") {
        writing.request_stop();
        std::this_thread::sleep_for(20ms);
        CHECK_FALSE(writing.has_ended());
        std::vector<std::byte> got = read_raw(ends.second.native_handle(), before.size() + bytes.size());
        CHECK(got.size() == before.size() + bytes.size());
        CHECK(support::fits(got, 0));
        CHECK(pool.run(join, std::move(writing)) == "50000");
    }
    SECTION("the peer resets") {
        ends.second.reset();
        CHECK(pool.run(join, std::move(writing)) == "50000");
        std::string next = pool.run(write_once, std::ref(ends.first), std::span<const std::byte>(bytes));
        CHECK((next == "send " + std::to_string(ECONNRESET) || next == "send " + std::to_string(EPIPE)));
    }
    SECTION("this end resets, after a stop") {
        writing.request_stop();
        ends.first.reset();
        CHECK(pool.run(join, std::move(writing)) == "50000");
    }
    SECTION("this end closes: what was written still arrives, and so does the end") {
        ends.first.close();
        std::vector<std::byte> got = read_raw(ends.second.native_handle(), 1 << 20);
        CHECK(got.size() == before.size() + bytes.size());
        CHECK(support::fits(got, 0));
        CHECK(pool.run(join, std::move(writing)) == "50000");
    }
}
