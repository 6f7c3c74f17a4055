// SPDX-License-Identifier: MIT

// Files: modes, positions, sizes, errors that name the path, whole files.

#include <peal/fs/file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>

#include "support/catch.hpp"
#include "support/sockets.hpp"
#include "support/temp_folder.hpp"

using peal::fs::file;
using peal::fs::open_mode;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text_of(const std::vector<std::byte>& bytes) {
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// What a failing task says.
template <class T>
peal::task<std::string> failure_of(peal::task<T> failing) {
    try {
        static_cast<void>(co_await std::move(failing));
    } catch (const std::system_error& failure) {
        co_return failure.what();
    }
    co_return "no failure";
}
template <>
peal::task<std::string> failure_of(peal::task<void> failing) {
    try {
        co_await std::move(failing);
    } catch (const std::system_error& failure) {
        co_return failure.what();
    }
    co_return "no failure";
}

peal::task<file> opened(std::string path, open_mode mode) { co_return co_await file::open(path, mode); }
peal::task<peal::fs::file_info> information(std::string path, peal::fs::follow_links follow) {
    co_return co_await peal::fs::stat(path, follow);
}

}  // namespace

TEST_CASE("file: each mode opens, creates, empties or refuses as it says") {
    auto body = [](support::temp_folder& folder) -> peal::task<> {
        std::string path = folder / "modes";
        std::array<std::byte, 100> buffer;
        auto missing = co_await peal::as_result(file::open(path, open_mode::read));
        REQUIRE_FALSE(missing);
        CHECK(missing.error().code() == std::errc::no_such_file_or_directory);
        CHECK(missing.error().message() == "openat " + path + ": No such file or directory");

        {
            file made = co_await file::open(path, open_mode::create_new, 0600);
            co_await made.write_at(0, bytes_of("0123456789"));
            std::size_t read = co_await made.read_at(0, buffer);  // for reading, too
            CHECK(read == 10);
        }
        auto again = co_await peal::as_result(file::open(path, open_mode::create_new));
        REQUIRE_FALSE(again);
        CHECK(again.error().code() == std::errc::file_exists);

        {
            file reader = co_await file::open(path);
            std::size_t read = co_await reader.read_at(3, buffer);
            CHECK(read == 7);
            auto refused = co_await peal::as_result(reader.write_at(0, bytes_of("x")));
            REQUIRE_FALSE(refused);
            CHECK(refused.error().code() == std::errc::bad_file_descriptor);
        }
        {
            file both = co_await file::open(path, open_mode::read_write);  // kept
            std::size_t read = co_await both.read_at(0, buffer);
            CHECK(read == 10);
            co_await both.write_at(8, bytes_of("abcd"));
        }
        CHECK(support::content_of(path) == "01234567abcd");
        {
            file log = co_await file::open(path, open_mode::append);
            co_await log.append(bytes_of("EFG"));
            co_await log.append(bytes_of("HI"));
        }
        CHECK(support::content_of(path) == "01234567abcdEFGHI");
        {
            file writer = co_await file::open(path, open_mode::write);  // emptied
            auto info = co_await writer.stat();
            CHECK(info.size == 0);
            auto refused = co_await peal::as_result(writer.read_at(0, buffer));
            REQUIRE_FALSE(refused);
            CHECK(refused.error().code() == std::errc::bad_file_descriptor);
        }
        for (open_mode mode : {open_mode::write, open_mode::read_write, open_mode::append}) {
            std::string created = folder / ("created-" + std::to_string(static_cast<int>(mode)));
            file made = co_await file::open(created, mode, 0640);
            auto info = co_await made.stat();
            CHECK(info.permissions == 0640);
        }
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    mode_t mask = ::umask(022);
    pool.run(body, std::ref(folder));
    ::umask(mask);
}

TEST_CASE("file: reads and writes at positions, whatever the order") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    auto body = [](std::string path) -> peal::task<> {
        file data = co_await file::open(path, open_mode::create_new);
        co_await data.write_at(5000, support::pattern(1000, 5000));  // a hole before it
        co_await data.write_at(0, support::pattern(5000, 0));
        std::vector<std::byte> buffer(10'000);
        std::size_t got = co_await data.read_exactly_at(0, buffer);
        CHECK(got == 6000);
        CHECK(support::fits(std::span(buffer).first(got), 0));
        got = co_await data.read_exactly_at(4990, std::span(buffer).first(20));
        CHECK((got == 20 && support::fits(std::span(buffer).first(20), 4990)));
        got = co_await data.read_at(6000, buffer);
        CHECK(got == 0);
        got = co_await data.read_exactly_at(1'000'000, buffer);
        CHECK(got == 0);
        got = co_await data.read_at(0, std::span<std::byte>());
        CHECK(got == 0);

        co_await data.truncate(100);
        auto info = co_await data.stat();
        CHECK(info.size == 100);
        co_await data.truncate(300);  // grows with zeros
        got = co_await data.read_exactly_at(0, buffer);
        CHECK(got == 300);
        CHECK(support::fits(std::span(buffer).first(100), 0));
        CHECK(std::all_of(buffer.begin() + 100, buffer.begin() + 300, [](std::byte each) { return each == std::byte{0}; }));
        co_await data.sync();
        co_await data.sync(file::durable::data_only);
    };
    pool.run(body, folder / "positions");
}

TEST_CASE("file: stat tells what the system tells") {
    support::temp_folder folder;
    support::put(folder / "five", "12345");
    REQUIRE(::chmod((folder / "five").c_str(), 04751) == 0);
    REQUIRE(::symlink("five", (folder / "link").c_str()) == 0);
    REQUIRE(::link((folder / "five").c_str(), (folder / "second").c_str()) == 0);
    struct stat expected {};
    REQUIRE(::stat((folder / "five").c_str(), &expected) == 0);

    peal::pool pool(peal::pool_options(1));
    auto info = pool.run(information, folder / "link", peal::fs::follow_links::yes);
    CHECK(info.type == peal::fs::file_type::regular);
    CHECK(info.size == 5);
    CHECK(info.permissions == 04751);
    CHECK(info.inode == expected.st_ino);
    CHECK(info.links == 2);
    auto modified = std::chrono::duration_cast<std::chrono::nanoseconds>(info.modified.time_since_epoch()).count();
    CHECK(modified == expected.st_mtim.tv_sec * 1'000'000'000 + expected.st_mtim.tv_nsec);

    CHECK(pool.run(information, folder / "link", peal::fs::follow_links::no).type == peal::fs::file_type::symlink);
    CHECK(pool.run(information, folder.path(), peal::fs::follow_links::yes).type == peal::fs::file_type::directory);
    CHECK(pool.run(information, "/dev/null", peal::fs::follow_links::yes).type == peal::fs::file_type::other);
    std::string missing = folder / "missing";
    CHECK(pool.run(failure_of<peal::fs::file_info>, information(missing, peal::fs::follow_links::yes)) ==
          "statx " + missing + ": No such file or directory");
}

TEST_CASE("file: reads of what lies in the page cache let others have their turn, and can be stopped") {
    support::temp_folder folder;
    std::string path = folder / "cached";
    peal::pool pool(peal::pool_options(1));
    pool.run(peal::fs::write_file, path, support::pattern(4096));
    constexpr int limit = 100'000;
    auto read_until = [](std::string from, std::atomic<int>& reads, const std::atomic<bool>& over) -> peal::task<bool> {
        file data = co_await file::open(from);
        std::vector<std::byte> content(4096);
        do {
            static_cast<void>(co_await data.read_at(0, content));
            ++reads;
        } while (!over && reads < limit);
        co_return support::fits(content, 0);
    };
    auto beside = [&](std::string from) -> peal::task<int> {
        std::atomic<int> reads = 0;
        std::atomic<bool> over = false;
        auto reading = peal::spawn(read_until, from, std::ref(reads), std::ref(over));
        while (reads == 0) co_await pool.schedule();
        for (int turn = 0; turn < 10; ++turn) co_await pool.schedule();  // to the back of the queue
        over = true;
        bool right = co_await reading;
        co_return right ? reads.load() : -1;
    };
    int reads = pool.run(beside, path);
    CHECK(reads > 0);
    CHECK(reads < limit);

    auto read_forever = [](std::string from, std::atomic<bool>& begun) -> peal::task<> {
        file data = co_await file::open(from);
        std::vector<std::byte> content(4096);
        for (;;) {
            static_cast<void>(co_await data.read_at(0, content));
            begun = true;
        }
    };
    std::atomic<bool> begun = false;
    auto reading = pool.spawn(read_forever, path, std::ref(begun));
    while (!begun) std::this_thread::yield();
    reading.request_stop();
    auto end_of = [](peal::join_handle<> of) -> peal::task<bool> {
        try {
            co_await of;
        } catch (const std::system_error& failure) {
            co_return peal::is_canceled(failure);
        }
        co_return false;
    };
    CHECK(pool.run(end_of, std::move(reading)));
}

TEST_CASE("file: errors of paths name the path") {
    support::temp_folder folder;
    support::put(folder / "plain", "x");
    peal::pool pool(peal::pool_options(1));
    std::string below = folder / "plain/below";
    CHECK(pool.run(failure_of<file>, opened(below, open_mode::read)) == "openat " + below + ": Not a directory");
    CHECK(pool.run(failure_of<file>, opened(folder.path(), open_mode::write)) == "openat " + folder.path() + ": Is a directory");
    CHECK(pool.run(failure_of<file>, opened("", open_mode::read)) == "openat : No such file or directory");
    std::string missing = folder / "missing";
    CHECK(pool.run(failure_of<std::vector<std::byte>>, peal::fs::read_file(missing)) ==
          "openat " + missing + ": No such file or directory");
    CHECK(pool.run(failure_of<std::vector<std::byte>>, peal::fs::read_file(folder.path())) ==
          "read_file " + folder.path() + ": Is a directory");
    CHECK(pool.run(failure_of<void>, peal::fs::remove(missing)) == "unlink " + missing + ": No such file or directory");
    CHECK(pool.run(failure_of<void>, peal::fs::remove(folder.path())) == "unlink " + folder.path() + ": Is a directory");
}

TEST_CASE("file: remove removes a file, and a link instead of what it points to") {
    support::temp_folder folder;
    support::put(folder / "target", "x");
    REQUIRE(::symlink("target", (folder / "link").c_str()) == 0);
    peal::pool pool(peal::pool_options(1));
    pool.run(peal::fs::remove, folder / "link");
    CHECK(folder.names() == std::vector<std::string>{"target"});
    pool.run(peal::fs::remove, folder / "target");
    CHECK(folder.names().empty());
}

namespace {

constexpr std::size_t part = 1 << 20;
constexpr std::size_t parts = 64;

peal::task<> write_part(file& data, std::size_t index) {
    std::vector<std::byte> bytes = support::pattern(part, index * part);
    std::size_t written = co_await data.write_at(index * part, bytes);
    if (written != part) throw std::runtime_error("a part was not written as a whole");
}

peal::task<> write_parts(std::string path) {
    file data = co_await file::open(path, open_mode::create_new);
    std::vector<peal::join_handle<>> writing;
    for (std::size_t i = 0; i < parts; ++i) writing.push_back(peal::spawn(write_part, std::ref(data), i));
    for (auto& each : writing) co_await each;
}

}  // namespace

TEST_CASE("file: 64 MiB go out and come back, by many tasks on several workers") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(3));
    pool.run(write_parts, folder / "large");
    std::vector<std::byte> back = pool.run(peal::fs::read_file, folder / "large");
    REQUIRE(back.size() == part * parts);
    CHECK(support::fits(back, 0));
}

TEST_CASE("file: read_file reads files of every size, and those that do not tell it") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    for (std::size_t size : {0, 1, 4095, 4096, 65535, 65536, 65537, 131072, 200'000}) {
        INFO(size << " bytes");
        std::vector<std::byte> bytes = support::pattern(size);
        support::put(folder / "some", std::string_view(reinterpret_cast<const char*>(bytes.data()), size));
        CHECK(pool.run(peal::fs::read_file, folder / "some") == bytes);
    }
    CHECK(text_of(pool.run(peal::fs::read_file, "/proc/sys/kernel/ostype")) == "Linux\n");
    CHECK(text_of(pool.run(peal::fs::read_file, "/proc/self/status")).starts_with("Name:"));
    // Longer than the first read: the system says size 0, and gives it in pages.
    CHECK(text_of(pool.run(peal::fs::read_file, "/proc/self/smaps")).find("[stack]") != std::string::npos);
    CHECK(pool.run(peal::fs::read_file, "/dev/null").empty());
}

TEST_CASE("file: a moved file works, a closed one says so") {
    support::temp_folder folder;
    support::put(folder / "some", "text");
    peal::pool pool(peal::pool_options(1));
    auto body = [](std::string path) -> peal::task<> {
        file first = co_await file::open(path);
        file second = std::move(first);
        std::array<std::byte, 10> buffer;
        std::size_t got = co_await second.read_at(0, buffer);
        CHECK(got == 4);
        CHECK_FALSE(first.is_open());
        auto refused = co_await peal::as_result(first.read_at(0, buffer));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().code() == std::errc::bad_file_descriptor);
        CHECK(refused.error().operation() == "read");
        auto unknown = co_await peal::as_result(first.stat());
        REQUIRE_FALSE(unknown);
        CHECK(unknown.error().code() == std::errc::bad_file_descriptor);
        second.close();
        CHECK_FALSE(second.is_open());
        second = co_await file::open(path);
        CHECK(second.is_open());
    };
    pool.run(body, folder / "some");
}

TEST_CASE("file: an open whose result nobody takes leaves no descriptor") {
    // The leak check of the runner would see it.
    support::temp_folder folder;
    support::put(folder / "some", "text");
    peal::pool pool(peal::pool_options(2));
    auto body = [](std::string path) -> peal::task<> {
        for (int i = 0; i < 20; ++i) static_cast<void>(co_await file::open(path));
        for (int i = 0; i < 20; ++i) static_cast<void>(file::open(path));  // never awaited
        for (int i = 0; i < 50; ++i) {
            auto opening = peal::spawn(opened, path, open_mode::read);
            if (i % 2 == 0) co_await peal::pool::current()->schedule();
            opening.request_stop();
        }
    };
    pool.run(body, folder / "some");
}

TEST_CASE("file: files of the kernel that can be waited for are read at the position that was named, again and again") {
    auto body = []() -> peal::task<> {
        file name = co_await file::open("/proc/sys/kernel/hostname");
        std::array<std::byte, 256> buffer;
        std::size_t whole = co_await name.read_at(0, buffer);
        CHECK(whole > 1);
        for (int i = 0; i < 3; ++i) {
            std::size_t again = co_await name.read_at(0, buffer);
            CHECK(again == whole);
            std::size_t rest = co_await name.read_at(1, buffer);
            CHECK(rest == whole - 1);
        }
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}
