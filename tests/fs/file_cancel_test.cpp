// SPDX-License-Identifier: MIT

// Files and cancellation: asked for, and not asked for (the kernel ends operations as canceled when it cannot make a thread for
// them); and files that go while operations are underway.

#include <peal/fs/file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <random>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>

#include <peal/fs/walk.hpp>
#include <peal/net/resolve.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/rights.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/temp_folder.hpp"
#include "support/verdict.hpp"

using namespace std::chrono_literals;
using peal::fs::file;
using peal::fs::open_mode;

namespace {

template <class T>
peal::task<std::string> end_of(peal::join_handle<T> handle) {
    try {
        if constexpr (std::is_void_v<T>) {
            co_await handle;
        } else {
            static_cast<void>(co_await handle);
        }
    } catch (const std::system_error& failure) {
        co_return peal::is_canceled(failure) ? "canceled" : failure.what();
    }
    co_return "done";
}

peal::task<std::size_t> read_for_ever(file& source, std::span<std::byte> buffer) { co_return co_await source.read_at(0, buffer); }

/// A pipe whose ends are files.
std::pair<file, file> pipe_of_files() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
    return {file(ends[0]), file(ends[1])};
}

peal::task<> busy_reader(file& source, std::uint64_t seed, support::verdict& judged) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> buffer(10'000);
    for (;;) {
        std::uint64_t at = random() % 1'000'000;
        std::size_t n = co_await source.read_exactly_at(at, buffer);
        judged.expect(support::fits(std::span(buffer).first(n), at), "wrong bytes");
        judged.expect(n == buffer.size(), "less than the file holds");
    }
}

}  // namespace

TEST_CASE("file cancel: a read that waits ends as canceled") {
    peal::pool pool(peal::pool_options(2));
    std::pair<file, file> pipe = pipe_of_files();
    std::array<std::byte, 10> buffer;
    auto reading = pool.spawn(read_for_ever, std::ref(pipe.first), std::span<std::byte>(buffer));
    std::this_thread::sleep_for(20ms);
    reading.request_stop();
    CHECK(pool.run(end_of<std::size_t>, std::move(reading)) == "canceled");
}

namespace {

peal::task<> cancel_readers(std::string path, peal::pool& pool, support::verdict& judged) {
    file data = co_await file::open(path);
    std::mt19937_64 random(8);
    for (int i = 0; i < 100; ++i) {
        std::vector<peal::join_handle<>> readers;
        for (std::uint64_t j = 0; j < 8; ++j) readers.push_back(pool.spawn(busy_reader, std::ref(data), j, judged));
        co_await peal::sleep_for(std::chrono::microseconds(random() % 2000));
        for (auto& each : readers) each.request_stop();
        for (auto& each : readers) {
            std::string end = co_await end_of(std::move(each));
            judged.expect(end == "canceled", "a reader ended as " + end);
        }
    }
}

void put_pattern(const std::string& path, std::size_t size) {
    std::vector<std::byte> bytes = support::pattern(size);
    support::put(path, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

peal::task<> read_all(file& data, std::size_t size, support::verdict& judged) {
    std::vector<std::byte> buffer(size);
    std::size_t n = co_await data.read_exactly_at(0, buffer);
    judged.expect(n == size && support::fits(buffer, 0), "not what the file holds");
}

/// On one worker: readers begin, then the file goes in the same round, and the next file gets its number.
peal::task<> close_under_readers(support::temp_folder& folder, std::size_t size, support::verdict& judged) {
    for (int i = 0; i < 30; ++i) {
        peal::scope readers;
        auto data = std::make_unique<file>(co_await file::open(folder / "data"));
        for (int j = 0; j < 5; ++j) readers.spawn(read_all, std::ref(*data), size, std::ref(judged));
        co_await peal::pool::current()->schedule();
        if (i % 2 == 0) {
            data->close();
        } else {
            data.reset();
        }
        int next = ::open((folder / "other").c_str(), O_RDONLY | O_CLOEXEC);
        co_await readers.join();
        ::close(next);
    }
}

}  // namespace

TEST_CASE("file cancel: readers of a file are canceled at random, and every read is right or not there") {
    support::temp_folder folder;
    put_pattern(folder / "data", 1'100'000);
    peal::pool pool(peal::pool_options(2));
    support::verdict judged;
    pool.run(cancel_readers, folder / "data", pool, judged);
    CHECK(judged.text() == "");
}

TEST_CASE("file cancel: a file may be closed and destroyed while operations are underway") {
    support::temp_folder folder;
    put_pattern(folder / "data", 100'000);
    support::put(folder / "other", std::string(100'000, 'x'));
    peal::pool pool(peal::pool_options(1));
    support::verdict judged;
    pool.run(close_under_readers, std::ref(folder), 100'000u, judged);
    CHECK(judged.text() == "");
}

// ---- the kernel cannot make threads -----------------------------------------------------------------------------------------------

namespace {

peal::task<> every_operation(peal::pool& pool, support::temp_folder& folder) {
    co_await pool.schedule_on(1);
    std::string path = folder / "data";
    std::vector<std::byte> content = support::pattern(100'000);
    for (int i = 0; i < 2; ++i) {  // the kernel tries for 0.1 s each time before it gives up
        co_await peal::fs::write_file(path, content);  // open, write, sync, rename, and a folder's sync
        std::vector<std::byte> back = co_await peal::fs::read_file(path);
        CHECK(back == content);
        file data = co_await file::open(path, open_mode::read_write);
        co_await data.truncate(5000);
        auto info = co_await data.stat();
        CHECK(info.size == 5000);
        co_await data.write_at(5000, support::pattern(1000, 5000));
        std::vector<std::byte> buffer(10'000);
        std::size_t n = co_await data.read_exactly_at(0, buffer);
        CHECK((n == 6000 && support::fits(std::span(buffer).first(n), 0)));
        co_await data.sync();
        data.close();
        co_await peal::fs::remove(path);
        auto gone = co_await peal::as_result(peal::fs::stat(path));
        CHECK_FALSE(gone);
        if (!gone) CHECK(gone.error().code() == std::errc::no_such_file_or_directory);
    }
    // What runs on blocking threads, too.
    peal::fs::directory_walk walk(folder.path());
    std::vector<peal::fs::entry> entries = co_await walk.next();
    CHECK(entries.size() == 1);
    std::vector<peal::net::address> addresses = co_await peal::net::resolve("127.0.0.1", "80");
    CHECK(addresses.size() == 1);
}

}  // namespace

TEST_CASE("child: every file operation without a thread to be had", "[.child]") {
    support::give_up_root();
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(2));
    support::set_limit(RLIMIT_NPROC, 1);  // what runs already goes on
    REQUIRE_THROWS_AS(std::thread([] {}), std::system_error);
    pool.run(every_operation, pool, std::ref(folder));
}

TEST_CASE("file cancel: where the kernel can make no thread, operations are done another way") {
    auto child = support::run_case("child: every file operation without a thread to be had");
    INFO(child.output);
    CHECK(child.succeeded());
}

TEST_CASE("file cancel: opens that wait for the other end of a FIFO can be stopped, and keep nobody from other files for ever") {
    auto open = [](std::string path) -> peal::task<> { static_cast<void>(co_await file::open(path, open_mode::append)); };
    auto stop_all = [](std::vector<peal::join_handle<>> waiting) -> peal::task<int> {
        int canceled = 0;
        for (auto& each : waiting) each.request_stop();
        for (auto& each : waiting) {
            std::string end = co_await end_of(std::move(each));
            canceled += end == "canceled";
            if (end != "canceled") UNSCOPED_INFO(end);
        }
        co_return canceled;
    };
    support::temp_folder folder;
    const std::string fifo = folder / "fifo";
    REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
    peal::pool pool(peal::pool_options(1));
    const bool by_threads = pool.driver_of(0) == std::string_view("epoll");  // a thread that waits in open() is not interrupted
    constexpr int more_than_threads = 20;
    std::vector<peal::join_handle<>> waiting;
    for (int i = 0; i < more_than_threads; ++i) waiting.push_back(pool.spawn(open, fifo));
    std::this_thread::sleep_for(20ms);
    std::vector<peal::join_handle<>> queued;
    if (by_threads) {
        while (waiting.size() > 8) {  // the first ones have the threads
            queued.push_back(std::move(waiting.back()));
            waiting.pop_back();
        }
    } else {
        queued.swap(waiting);
    }
    const int count = static_cast<int>(queued.size());
    CHECK(pool.run(stop_all, std::move(queued)) == count);
    int reader = ::open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // lets the others go on
    pool.run(open, folder / "ordinary");
    CHECK(pool.run(stop_all, std::move(waiting)) >= 0);
    ::close(reader);
}
