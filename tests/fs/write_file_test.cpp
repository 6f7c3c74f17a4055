// SPDX-License-Identifier: MIT

// write_file: replaces a file as a whole or not at all, and leaves nothing beside it.

#include <peal/fs/file.hpp>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <string>
#include <system_error>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/rights.hpp"
#include "support/sockets.hpp"
#include "support/stopper.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;

namespace {

using bytes = std::vector<std::byte>;

peal::task<std::string> failure_of_writing(std::string path, std::span<const std::byte> content) {
    try {
        co_await peal::fs::write_file(path, content);
    } catch (const std::system_error& failure) {
        co_return failure.what();
    }
    co_return "written";
}

peal::task<bool> canceled_or_done(peal::join_handle<> handle) {
    try {
        co_await handle;
    } catch (const std::system_error& failure) {
        if (!peal::is_canceled(failure)) throw;
        co_return true;
    }
    co_return false;
}

mode_t permissions_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

/// Runs as the version's number says: its length, and each byte.
bytes version(std::uint64_t number) { return bytes(100 + number % 50'000, static_cast<std::byte>(number)); }

}  // namespace

TEST_CASE("write_file: makes a file, replaces it, longer and shorter, and leaves nothing beside it") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    for (std::size_t size : {10, 100'000, 0, 5}) {
        bytes content = support::pattern(size);
        pool.run(peal::fs::write_file, folder / "target", std::span<const std::byte>(content));
        CHECK(pool.run(peal::fs::read_file, folder / "target") == content);
        CHECK(folder.names() == std::vector<std::string>{"target"});
    }
}

TEST_CASE("write_file: a path without a folder is in the current one") {
    auto child = support::run_case("child: write_file in the current folder");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: write_file in the current folder", "[.child]") {
    support::temp_folder folder;
    REQUIRE(::chdir(folder.path().c_str()) == 0);
    peal::pool pool(peal::pool_options(1));
    bytes content = support::pattern(10);
    pool.run(peal::fs::write_file, "plain", std::span<const std::byte>(content));
    CHECK(folder.names() == std::vector<std::string>{"plain"});
}

TEST_CASE("write_file: keeps the permissions of a file that exists, whatever the umask") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    bytes content = support::pattern(10);
    mode_t mask = ::umask(027);
    pool.run(peal::fs::write_file, folder / "new", std::span<const std::byte>(content));
    CHECK(permissions_of(folder / "new") == 0640);  // 0644 less the umask
    for (mode_t wanted : {0600u, 0666u, 0444u, 0755u, 02775u}) {
        REQUIRE(::chmod((folder / "new").c_str(), wanted) == 0);
        pool.run(peal::fs::write_file, folder / "new", std::span<const std::byte>(content));
        CHECK(permissions_of(folder / "new") == wanted);
    }
    ::umask(mask);
}

TEST_CASE("write_file: a reader sees whole versions only") {
    auto write_versions = [](std::string path, std::uint64_t begin) -> peal::task<> {
        for (std::uint64_t i = begin; i < begin + 100; ++i) {
            bytes content = version(i * 977);
            co_await peal::fs::write_file(path, content);
        }
    };
    auto both = [](peal::join_handle<> one, peal::join_handle<> two) -> peal::task<> {
        co_await one;
        co_await two;
    };
    support::temp_folder folder;
    std::string path = folder / "versions";
    peal::pool pool(peal::pool_options(2));
    bytes first = version(0);
    pool.run(peal::fs::write_file, path, std::span<const std::byte>(first));
    std::atomic<bool> enough{false};
    std::string wrong;
    unsigned long seen = 0;
    std::thread reader([&] {
        while (!enough) {
            std::string content = support::content_of(path);
            ++seen;
            if (content.size() < 100 || content != std::string(content.size(), content[0])) {
                wrong = "a mixture of " + std::to_string(content.size()) + " bytes";
                return;
            }
        }
    });
    auto one = pool.spawn(write_versions, path, 0u);   // two writers: the last one wins, each as a whole
    auto two = pool.spawn(write_versions, path, 1000u);
    pool.run(both, std::move(one), std::move(two));
    enough = true;
    reader.join();
    CHECK(wrong == "");
    CHECK(seen > 0);
    CHECK(folder.names() == std::vector<std::string>{"versions"});
}

TEST_CASE("write_file: canceled at any moment it leaves the old file or the new one, and nothing beside it") {
    support::temp_folder folder;
    std::string path = folder / "target";
    peal::pool pool(peal::pool_options(2));
    bytes old_content(1000, std::byte{1});
    bytes new_content(200'000, std::byte{2});
    std::mt19937_64 random(7);
    support::stopper outside;
    int canceled = 0;
    for (int i = 0; i < 80; ++i) {
        pool.run(peal::fs::write_file, path, std::span<const std::byte>(old_content));
        auto writing = pool.spawn(peal::fs::write_file, path, std::span<const std::byte>(new_content));
        outside.stop_after(std::chrono::nanoseconds(random() % 1'500'000), writing.stop_handle());
        bool was_canceled = pool.run(canceled_or_done, std::move(writing));
        canceled += was_canceled;
        bytes content = pool.run(peal::fs::read_file, path);
        bool whole = content == new_content || (was_canceled && content == old_content);
        REQUIRE(whole);
        REQUIRE(folder.names() == std::vector<std::string>{"target"});
    }
    CHECK(canceled > 0);
}

// ---- failures leave nothing ----------------------------------------------------------------------------------------------------

TEST_CASE("write_file: a folder that is missing") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    bytes content = support::pattern(10);
    std::string said = pool.run(failure_of_writing, folder / "missing/target", std::span<const std::byte>(content));
    CHECK(said.find(folder / "missing/target") != std::string::npos);
    CHECK(said.ends_with("No such file or directory"));
    CHECK(folder.names().empty());
}

TEST_CASE("write_file: a target that is a folder") {
    support::temp_folder folder;
    REQUIRE(::mkdir((folder / "target").c_str(), 0755) == 0);
    peal::pool pool(peal::pool_options(1));
    bytes content = support::pattern(10);
    std::string said = pool.run(failure_of_writing, folder / "target", std::span<const std::byte>(content));
    INFO(said);
    CHECK(said.ends_with("Is a directory"));
    CHECK(folder.names() == std::vector<std::string>{"target"});
}

TEST_CASE("write_file: a folder that may not be written") {
    auto child = support::run_case("child: write_file into a read-only folder");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: write_file into a read-only folder", "[.child]") {
    support::give_up_root();
    support::temp_folder folder;
    support::put(folder / "target", "old");
    REQUIRE(::chmod(folder.path().c_str(), 0555) == 0);
    peal::pool pool(peal::pool_options(1));
    bytes content = support::pattern(10);
    std::string said = pool.run(failure_of_writing, folder / "target", std::span<const std::byte>(content));
    INFO(said);
    CHECK(said.find(folder / "target") != std::string::npos);
    CHECK(said.ends_with("Permission denied"));
    CHECK(support::content_of(folder / "target") == "old");
    CHECK(folder.names() == std::vector<std::string>{"target"});
    ::chmod(folder.path().c_str(), 0755);
}

TEST_CASE("write_file: a file system that is full") {
    if (::geteuid() != 0) {
        WARN("not tried: mounting a small file system takes root");
        return;
    }
    auto child = support::run_case("child: write_file onto a full file system");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: write_file onto a full file system", "[.child]") {
    support::temp_folder folder;
    // In a mount namespace of its own: nobody else sees it, and it goes with this process.
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("peal-test", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0) {
        WARN("not tried: this root may not mount: " << std::system_category().message(errno));
        SUCCEED();
        return;
    }
    {
        peal::pool pool(peal::pool_options(1));
        bytes fitting = support::pattern(10'000);
        pool.run(peal::fs::write_file, folder / "target", std::span<const std::byte>(fitting));
        bytes content = support::pattern(200'000);
        std::string said = pool.run(failure_of_writing, folder / "target", std::span<const std::byte>(content));
        INFO(said);
        CHECK(said.ends_with("No space left on device"));
        CHECK(pool.run(peal::fs::read_file, folder / "target") == fitting);
        CHECK(folder.names() == std::vector<std::string>{"target"});
    }
    ::umount2(folder.path().c_str(), MNT_DETACH);
}
