// SPDX-License-Identifier: MIT

// open_options: each word does what it says. Beside them, what else a file can do: pieces, room on the device, a sync that failed.

#include <peal/fs/open_options.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <system_error>
#include <thread>

#include <peal/fs/file.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using peal::fs::file;
using peal::fs::open_options;

namespace {

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

peal::task<std::string> outcome_of(std::string path, open_options options) {
    auto opened = co_await peal::as_result(file::open(path, options));
    co_return opened ? "opened" : opened.error().message().substr(opened.error().message().rfind(':') + 2);
}

int flags_of(int fd) { return ::fcntl(fd, F_GETFL); }

}  // namespace

TEST_CASE("open_options: each says when a file is opened, made, emptied or refused") {
    support::temp_folder folder;
    std::string path = folder / "file";
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(outcome_of, path, open_options().read()) == "No such file or directory");
    CHECK(pool.run(outcome_of, path, open_options().write()) == "No such file or directory");
    CHECK(pool.run(outcome_of, path, open_options().write().create().permissions(0600)) == "opened");
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0600);
    CHECK(pool.run(outcome_of, path, open_options().write().create_new()) == "File exists");
    support::put(path, "content");
    CHECK(pool.run(outcome_of, path, open_options().write().create()) == "opened");
    CHECK(support::content_of(path) == "content");
    CHECK(pool.run(outcome_of, path, open_options().write().truncate()) == "opened");
    CHECK(support::content_of(path) == "");
    REQUIRE(::symlink("file", (folder / "link").c_str()) == 0);
    CHECK(pool.run(outcome_of, folder / "link", open_options().read()) == "opened");
    CHECK(pool.run(outcome_of, folder / "link", open_options().read().no_follow()) == "Too many levels of symbolic links");
    CHECK(pool.run(outcome_of, path, open_options().read().directory_only()) == "Not a directory");
    CHECK(pool.run(outcome_of, folder.path(), open_options().read().directory_only()) == "opened");
    CHECK(pool.run(outcome_of, folder.path(), open_options().write()) == "Is a directory");
}

TEST_CASE("open_options: flags that stay with the file") {
    auto flags = [](std::string path, open_options options) -> peal::task<int> {
        file opened = co_await file::open(path, options);
        CHECK((::fcntl(opened.native_handle(), F_GETFD) & FD_CLOEXEC) != 0);
        co_return flags_of(opened.native_handle());
    };
    support::temp_folder folder;
    std::string path = folder / "file";
    support::put(path, "x");
    peal::pool pool(peal::pool_options(1));
    CHECK((pool.run(flags, path, open_options().read()) & O_ACCMODE) == O_RDONLY);
    CHECK((pool.run(flags, path, open_options().write()) & O_ACCMODE) == O_WRONLY);
    CHECK((pool.run(flags, path, open_options().read().write()) & O_ACCMODE) == O_RDWR);
    CHECK((pool.run(flags, path, open_options().write().append()) & O_APPEND) != 0);
    CHECK((pool.run(flags, path, open_options().write().sync()) & O_SYNC) == O_SYNC);
    CHECK((pool.run(flags, path, open_options().write().data_sync()) & O_SYNC) == O_DSYNC);
    CHECK((pool.run(flags, path, open_options().read().no_access_time()) & O_NOATIME) != 0);
    CHECK((pool.run(flags, path, open_options().path_only()) & O_PATH) != 0);
}

TEST_CASE("file: several pieces in one call, short at the end of the file") {
    auto body = [](std::string path) -> peal::task<> {
        file target = co_await file::open(path, open_options().read().write().create());
        peal::io::const_buffer out[4] = {bytes_of("one"), bytes_of(""), bytes_of("three"), bytes_of("x")};
        std::size_t written = co_await target.write_at(2, std::span(out));
        CHECK(written == 9);
        std::array<std::byte, 4> first{};
        std::array<std::byte, 10> second{};
        peal::io::mutable_buffer in[2] = {std::span<std::byte>(first), std::span<std::byte>(second)};
        std::size_t read = co_await target.read_at(3, std::span<const peal::io::mutable_buffer>(in));
        CHECK(read == 8);
        CHECK(std::string(reinterpret_cast<char*>(first.data()), 4) == "neth");
        CHECK(std::string(reinterpret_cast<char*>(second.data()), 4) == "reex");
        std::size_t end = co_await target.read_at(100, std::span<const peal::io::mutable_buffer>(in));
        CHECK(end == 0);
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, folder / "file");
    CHECK(support::content_of(folder / "file") == std::string("\0\0onethreex", 11));
}

TEST_CASE("file: pieces larger than a pipe are written to the last byte") {
    auto drain = [](int from, std::string& all) {
        char piece[4096];
        for (ssize_t n; (n = ::read(from, piece, sizeof piece)) > 0;) all.append(piece, static_cast<std::size_t>(n));
    };
    auto body = [](int to, std::span<peal::io::const_buffer> pieces) -> peal::task<std::size_t> {
        file target(to);
        co_return co_await target.write_at(0, pieces);
    };
    int ends[2];
    REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
    std::string all;
    std::thread reader([&] { drain(ends[0], all); });
    std::string large(150'000, 'a');
    std::string larger(250'001, 'b');
    peal::io::const_buffer pieces[3] = {std::string_view(large), std::string_view("middle"), std::string_view(larger)};
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(body, ends[1], std::span(pieces)) == 400'007);
    reader.join();
    ::close(ends[0]);
    CHECK(all == large + "middle" + larger);
}

TEST_CASE("file: room is taken, with and without growing, and given back") {
    auto body = [](std::string path) -> peal::task<std::string> {
        file target = co_await file::open(path, open_options().read().write().create());
        auto allocating = target.allocate(0, 100'000);
        auto allocated = co_await peal::as_result(allocating);
        if (!allocated) co_return allocated.error().message();
        auto info = co_await target.stat();
        CHECK(info.size == 100'000);
        co_await target.allocate(100'000, 100'000, file::grow::no);
        info = co_await target.stat();
        CHECK(info.size == 100'000);
        std::string content(100'000, 'x');
        co_await target.write_at(0, bytes_of(content));
        co_await target.punch_hole(8192, 8192);
        info = co_await target.stat();
        CHECK(info.size == 100'000);
        std::array<std::byte, 3> around;
        co_await target.read_exactly_at(8191, around);
        CHECK((around[0] == std::byte{'x'} && around[1] == std::byte{0}));
        auto wrong = target.punch_hole(0, 0);
        auto refused = co_await peal::as_result(wrong);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message() == "fallocate: Invalid argument");
        co_return "done";
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string said = pool.run(body, folder / "file");
    if (said == "fallocate: Operation not supported") WARN("not tried: this file system cannot");
    else CHECK(said == "done");
}

TEST_CASE("file: after a failed sync it claims durability no more; another file with its number does") {
    auto body = [](std::string path) -> peal::task<> {
        int number = -1;
        {
            file target = co_await file::open(path, open_options().write().create());
            co_await target.sync();
            auto failing = target.sync(file::durable::data_only);
            failing.outcome = -EIO;  // as the driver tells it
            REQUIRE(failing.step != nullptr);
            CHECK_FALSE(failing.step(failing));
            for (int i = 0; i < 2; ++i) {
                auto syncing = target.sync();
                auto synced = co_await peal::as_result(syncing);
                REQUIRE_FALSE(synced);
                CHECK(synced.error().code() == std::errc::io_error);
                CHECK(synced.error().operation().starts_with("fsync (an earlier one of this file has failed"));
            }
            file moved = std::move(target);
            auto syncing = moved.sync();
            auto synced = co_await peal::as_result(syncing);
            CHECK_FALSE(synced);
            number = moved.native_handle();
        }
        file other(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        for (int i = 0; i < 1000 && other.native_handle() != number; ++i) {  // until the first has been closed
            co_await peal::sleep_for(std::chrono::milliseconds(1));
            other = file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
        }
        co_await other.sync();
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, folder / "file");
}
