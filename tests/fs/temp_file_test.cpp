// SPDX-License-Identifier: MIT

// temp_file: nobody sees it before it has a name, and nothing is left of one that gets none. copy_file.

#include <peal/fs/temp_file.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <random>
#include <string>
#include <system_error>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/leaks.hpp"
#include "support/stopper.hpp"
#include "support/temp_folder.hpp"

using peal::fs::if_exists;
using peal::fs::temp_file;

namespace {

using creator = peal::task<temp_file> (*)(std::string folder, std::uint32_t permissions);

std::uint32_t permissions_of(const std::string& path) {
    struct stat status {};
    ::stat(path.c_str(), &status);
    return status.st_mode & 07777;
}

peal::task<std::string> made(creator create, std::string folder, std::string path, if_exists what) {
    peal::task<temp_file> creating = create(folder, 0640);
    temp_file temp = co_await std::move(creating);
    co_await temp.content().write_at(0, std::as_bytes(std::span("new", 3)));
    auto named = co_await peal::as_result(temp.give_name(path, what));
    co_return named ? "named" : named.error().message();
}

peal::task<bool> canceled_or_done(peal::join_handle<std::uint64_t> handle) {
    try {
        co_await handle;
    } catch (const std::system_error& failure) {
        CHECK(peal::is_canceled(failure));
        co_return true;
    }
    co_return false;
}

template <class T>
peal::task<std::string> said_by(peal::task<T> call) {
    auto done = co_await peal::as_result(std::move(call));
    co_return done ? "done" : done.error().message();
}

}  // namespace

TEST_CASE("temp_file: gets a name, replaces or refuses, and goes without one") {
    auto unnamed = [](creator create, support::temp_folder& folder, std::size_t names) -> peal::task<> {
        peal::task<temp_file> creating = create(folder.path(), 0600);
        temp_file temp = co_await std::move(creating);
        CHECK(folder.names().size() == names);
        temp_file moved = std::move(temp);
        co_await moved.content().write_at(0, std::as_bytes(std::span("x", 1)));
    };
    std::size_t before = support::open_descriptors();
    for (creator create : {creator(temp_file::create), creator(temp_file::create_with_name)}) {
        support::temp_folder folder;
        peal::pool pool(peal::pool_options(1));
        std::string path = folder / "file";
        CHECK(pool.run(made, create, folder.path(), path, if_exists::fail) == "named");
        CHECK(support::content_of(path) == "new");
        CHECK(permissions_of(path) == 0640);
        std::string refused = pool.run(made, create, folder.path(), path, if_exists::fail);
        INFO(refused);
        CHECK(refused.find(path) != std::string::npos);
        CHECK(refused.ends_with("File exists"));
        support::put(path, "old content");
        CHECK(pool.run(made, create, folder.path(), path, if_exists::replace) == "named");
        CHECK(support::content_of(path) == "new");
        CHECK(pool.run(made, create, folder.path(), folder / "missing/file", if_exists::replace).ends_with("No such file or directory"));
        pool.run(unnamed, create, std::ref(folder), create == creator(temp_file::create) ? 1u : 2u);
        CHECK(folder.names() == std::vector<std::string>{"file"});
        CHECK(pool.run(said_by(create(folder / "missing", 0600))).ends_with("No such file or directory"));
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("copy_file: content of any size, permissions, and what is refused") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(2));
    for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{100'000}, std::size_t{40'000'000}}) {
        std::string content(size, 'c');
        support::put(folder / "from", content);
        REQUIRE(::chmod((folder / "from").c_str(), 0741) == 0);
        CHECK(pool.run(peal::fs::copy_file, folder / "from", folder / "to", if_exists::replace) == size);
        CHECK(support::content_of(folder / "to") == content);
        CHECK(permissions_of(folder / "to") == 0741);
    }
    CHECK(pool.run(said_by(peal::fs::copy_file(folder / "from", folder / "to", if_exists::fail))).ends_with("File exists"));
    CHECK(pool.run(said_by(peal::fs::copy_file(folder / "none", folder / "to"))) == "openat " + folder / "none" + ": No such file or directory");
    CHECK(pool.run(said_by(peal::fs::copy_file(folder.path(), folder / "to"))) == "copy_file " + folder.path() + ": Is a directory");
    CHECK(folder.names().size() == 2);
    CHECK(pool.run(peal::fs::copy_file, std::string("/proc/self/status"), folder / "status", if_exists::replace) > 100);  // of no known size
    CHECK(support::content_of(folder / "status").starts_with("Name:"));
}

TEST_CASE("copy_file: to another file system") {
    support::temp_folder folder;
    struct stat here {};
    struct stat there {};
    if (::stat("/dev/shm", &there) != 0 || ::stat(folder.path().c_str(), &here) != 0 || here.st_dev == there.st_dev || ::access("/dev/shm", W_OK) != 0) {
        WARN("not tried: there is no other file system");
        return;
    }
    std::string target = "/dev/shm/peal-test-copy-" + std::to_string(::getpid());
    std::string content(1'000'003, 'd');
    support::put(folder / "from", content);
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(peal::fs::copy_file, folder / "from", target, if_exists::replace) == content.size());
    CHECK(support::content_of(target) == content);
    ::unlink(target.c_str());
}

TEST_CASE("copy_file: stopped at any moment it leaves the target as it was, or complete") {
    support::temp_folder folder;
    support::put(folder / "from", std::string(3'000'000, 'n'));
    std::string path = folder / "to";
    peal::pool pool(peal::pool_options(2));
    std::mt19937_64 random(7);
    support::stopper outside;
    int canceled = 0;
    for (int i = 0; i < 60; ++i) {
        support::put(path, "old");
        auto copying = pool.spawn(peal::fs::copy_file, folder / "from", path, if_exists::replace);
        outside.stop_after(std::chrono::nanoseconds(random() % 1'500'000), copying.stop_handle());
        bool was_canceled = pool.run(canceled_or_done, std::move(copying));
        canceled += was_canceled;
        std::string content = support::content_of(path);
        bool whole = content.size() == 3'000'000 || (was_canceled && content == "old");
        REQUIRE(whole);
        REQUIRE(folder.names().size() == 2);
    }
    CHECK(canceled > 0);
}
