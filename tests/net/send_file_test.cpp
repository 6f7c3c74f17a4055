// SPDX-License-Identifier: MIT

// send_file(): every byte arrives once, whatever part of the file it is and however slowly the peer reads; and who is stopped, closed or left by the peer
// hears how far it came, or why not.

#include <peal/net/stream_socket.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/net/tcp.hpp>
#include <peal/net/unix.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/tcp_pair.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::fs::file;
using peal::net::tcp_stream;
using support::stream_pair;

namespace {

constexpr std::size_t file_bytes = 3'000'017;

/// A file whose bytes tell their position.
std::string made_file(const support::temp_folder& folder, std::size_t bytes = file_bytes) {
    std::string path = folder / "data";
    auto write = [](std::string to, std::size_t count) -> peal::task<> {
        std::vector<std::byte> content = support::pattern(count);
        file written = co_await file::open(to, peal::fs::open_mode::write);
        co_await written.write_at(0, content);
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(write, path, bytes);
    return path;
}

/// What arrives until the end, by plain system calls.
std::vector<std::byte> everything_from(int socket) {
    std::vector<std::byte> got;
    std::vector<std::byte> buffer(1 << 16);
    for (ssize_t n; (n = ::recv(socket, buffer.data(), buffer.size(), 0)) > 0;) got.insert(got.end(), buffer.begin(), buffer.begin() + n);
    return got;
}

/// Sends and ends the stream; gives the number.
template <class Stream>
peal::task<std::uint64_t> send_part(Stream& to, std::string path, std::uint64_t offset, std::uint64_t length) {
    file from = co_await file::open(path);
    std::uint64_t sent = co_await to.send_file(from, offset, length);
    to.shutdown_write();
    co_return sent;
}

template <class Stream>
void check_parts(peal::pool& pool, const std::string& path, Stream& to, Stream& peer, std::uint64_t offset, std::uint64_t length) {
    CAPTURE(offset, length);
    std::uint64_t expected = offset >= file_bytes ? 0 : std::min<std::uint64_t>(length, file_bytes - offset);
    auto sending = pool.spawn(send_part<Stream>, std::ref(to), path, offset, length);
    std::vector<std::byte> got = everything_from(peer.native_handle());
    CHECK(got.size() == expected);
    CHECK(support::fits(got, offset));
    CHECK(pool.run([](peal::join_handle<std::uint64_t> handle) -> peal::task<std::uint64_t> { co_return co_await handle; }, std::move(sending)) == expected);
}

constexpr std::pair<std::uint64_t, std::uint64_t> parts[] = {
    {0, file_bytes}, {0, 1}, {1, 32 * 1024}, {32 * 1024 - 1, 100'000}, {file_bytes - 1, 1}, {file_bytes - 10, 1 << 20}, {0, ~std::uint64_t{0}},
    {file_bytes, 10}, {file_bytes + 1000, 10}, {5, 0},
};

}  // namespace

TEST_CASE("send_file: any part of a file arrives whole, and ends where the file ends") {
    support::temp_folder folder;
    std::string path = made_file(folder);
    peal::pool pool(peal::pool_options(2));
    for (auto [offset, length] : parts) {
        stream_pair tcp = pool.run(support::connected_pair);
        check_parts(pool, path, tcp.first, tcp.second, offset, length);
        auto [near, far] = peal::net::unix_stream::pair();
        check_parts(pool, path, near, far, offset, length);
    }
    stream_pair tight = pool.run(support::connected_pair);
    support::make_buffer_tiny(tight.first.native_handle());
    check_parts(pool, path, tight.first, tight.second, 7, 500'000);
}

TEST_CASE("send_file: a file that shrinks or grows meanwhile is sent as it is found") {
    support::temp_folder folder;
    std::string path = made_file(folder, 100'000);
    peal::pool pool(peal::pool_options(1));
    auto twice = [](std::string from, tcp_stream& to) -> peal::task<std::pair<std::uint64_t, std::uint64_t>> {
        file data = co_await file::open(from, peal::fs::open_mode::read_write);
        std::uint64_t before = co_await to.send_file(data, 90'000, 100'000);
        co_await data.truncate(95'000);
        std::uint64_t after = co_await to.send_file(data, 90'000, 100'000);
        co_return std::pair(before, after);
    };
    stream_pair ends = support::local_pair();
    auto [before, after] = pool.run(twice, path, std::ref(ends.first));
    CHECK(before == 10'000);
    CHECK(after == 5'000);
}

TEST_CASE("send_file: who is stopped hears how much the peer gets") {
    support::temp_folder folder;
    std::string path = made_file(folder);
    peal::pool pool(peal::pool_options(2));
    support::stopper outside;
    std::mt19937 random(1);
    auto send = [](std::string from, tcp_stream& to, std::atomic<bool>& begun) -> peal::task<std::uint64_t> {
        file data = co_await file::open(from);
        begun = true;
        auto sent = co_await peal::as_result(to.send_file(data, 0, file_bytes));
        if (!sent && !sent.error().is_canceled()) sent.value();
        co_return sent ? *sent : 0;
    };
    int cut = 0;
    int whole = 0;
    int inside = 0;  // one of the pieces that it sends
    for (int round = 0; round < 300 && (round < 100 || cut == 0 || whole == 0 || inside == 0); ++round) {
        stream_pair ends = round % 2 == 0 ? support::local_pair() : pool.run(support::connected_pair);
        // Every fourth peer reads when all is over: then the stop meets a send that has moved a part of its bytes.
        const bool reads_late = round % 4 == 1;
        if (reads_late) ends.first.set_send_buffer(70'000 + random() % 20'000);
        std::atomic<bool> begun = false;
        std::atomic<bool> over = false;
        std::atomic<std::uint64_t> told = 0;
        auto handle = pool.spawn(send, path, std::ref(ends.first), std::ref(begun));
        std::thread reader([&] {
            while (reads_late && !over) std::this_thread::sleep_for(100us);
            std::vector<std::byte> got = everything_from(ends.second.native_handle());
            told = support::fits(got, 0) ? got.size() : ~std::uint64_t{0};
        });
        while (!begun) std::this_thread::yield();
        outside.stop_after(std::chrono::microseconds(random() % (round % 3 == 0 ? 20'000 : reads_late ? 4'000 : 1'000)), handle.stop_handle());
        std::uint64_t sent = 0;
        try {
            sent = pool.run([](peal::join_handle<std::uint64_t> of) -> peal::task<std::uint64_t> { co_return co_await of; }, std::move(handle));
        } catch (const std::system_error& failure) {
            REQUIRE(peal::is_canceled(failure));  // before the file was open
        }
        over = true;
        ends.first.close();
        reader.join();
        REQUIRE(told == sent);
        ++(sent == file_bytes ? whole : cut);
        if (sent % 32'768 != 0 && sent != file_bytes) ++inside;
    }
    CHECK(cut > 0);
    CHECK(whole > 0);
    CHECK(inside > 0);
}

TEST_CASE("send_file: a peer that goes, a stream and a file that are closed meanwhile") {
    support::temp_folder folder;
    std::string path = made_file(folder);
    peal::pool pool(peal::pool_options(2));
    struct world {
        stream_pair ends;
        file data;
        std::atomic<bool> begun{false};
    };
    auto send = [](world& in, std::string from) -> peal::task<std::string> {
        in.data = co_await file::open(from);
        auto sending = in.ends.first.send_file(in.data, 0, file_bytes);
        in.begun = true;
        auto sent = co_await peal::as_result(std::move(sending));
        co_return sent ? std::to_string(*sent) : sent.error().operation() + ' ' + std::to_string(sent.error().code().value());
    };
    auto join = [](peal::join_handle<std::string> of) -> peal::task<std::string> { co_return co_await of; };
    auto until_the_peer_has_something = [](world& in) {
        while (!in.begun) std::this_thread::yield();
        std::byte one;
        const int peer = in.ends.second.native_handle();
        REQUIRE(::recv(peer, &one, 1, MSG_PEEK) == 1);
    };

    SECTION("the peer closes") {
        world in{pool.run(support::connected_pair), {}};
        support::make_buffer_tiny(in.ends.first.native_handle());  // so that it is not all sent before that
        auto sending = pool.spawn(send, std::ref(in), path);
        until_the_peer_has_something(in);
        in.ends.second.close();
        std::string how = pool.run(join, std::move(sending));
        CHECK((how == "send " + std::to_string(EPIPE) || how == "send " + std::to_string(ECONNRESET)));
    }
    SECTION("the stream is closed") {
        world in{support::local_pair(), {}};
        auto sending = pool.spawn(send, std::ref(in), path);
        until_the_peer_has_something(in);
        in.ends.first.close();
        CHECK(pool.run(join, std::move(sending)) == "send " + std::to_string(EPIPE));
    }
    SECTION("the file is closed, and its number goes to nobody else") {
        world in{support::local_pair(), {}};
        auto sending = pool.spawn(send, std::ref(in), path);
        until_the_peer_has_something(in);
        in.data.close();
        auto other = pool.run([](std::string at) -> peal::task<file> { co_return co_await file::open(at, peal::fs::open_mode::write); }, folder / "other");
        std::vector<std::byte> got(file_bytes);
        std::size_t count = 0;
        for (ssize_t n; count < file_bytes && (n = ::recv(in.ends.second.native_handle(), got.data() + count, file_bytes - count, 0)) > 0;) count += static_cast<std::size_t>(n);
        CHECK(count == file_bytes);
        CHECK(support::fits(got, 0));
        CHECK(pool.run(join, std::move(sending)) == std::to_string(file_bytes));
    }
}

TEST_CASE("send_file: what cannot be read, or is not open, is said by its name") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    auto send = [](std::string path, bool opens) -> peal::task<std::string> {
        auto ends = support::local_pair();
        file data;
        if (opens) data = co_await file::open(path);
        auto sent = co_await peal::as_result(ends.first.send_file(data, 0, 10));
        co_return sent ? "sent" : sent.error().operation() + ' ' + std::to_string(sent.error().code().value());
    };
    CHECK(pool.run(send, folder.path(), true) == "read " + std::to_string(EISDIR));
    CHECK(pool.run(send, folder.path(), false) == "read " + std::to_string(EBADF));
}
