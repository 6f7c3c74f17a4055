// SPDX-License-Identifier: MIT

// Names: folders, links, renames and removals, and what their errors say.

#include <peal/fs/names.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <system_error>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/fs/attributes.hpp>
#include <peal/fs/file.hpp>
#include <peal/fs/temp_file.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/said.hpp"
#include "support/temp_folder.hpp"

using peal::fs::if_exists;
using support::said_by;

namespace {

/// "done" or what the error says.
template <class Function, class... Arguments>
std::string said(peal::pool& pool, Function function, Arguments... arguments) {
    return pool.run(said_by(function(std::move(arguments)...)));
}

bool exists(const std::string& path) {
    struct stat status;
    return ::lstat(path.c_str(), &status) == 0;
}

}  // namespace

TEST_CASE("names: folders are made and removed") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string path = folder / "one";
    CHECK(said(pool, peal::fs::make_directory, path, 0750u) == "done");
    struct stat status {};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0750);
    CHECK(said(pool, peal::fs::make_directory, path, 0777u) == "mkdir " + path + ": File exists");
    CHECK(said(pool, peal::fs::make_directory, folder / "x/y", 0777u) == "mkdir " + folder / "x/y" + ": No such file or directory");
    for (const char* deep : {"a/b/c", "a/b/c", "a/b/c/", "a//d/../e"}) CHECK(said(pool, peal::fs::make_directories, folder / deep, 0777u) == "done");
    CHECK(exists(folder / "a/b/c"));
    CHECK(exists(folder / "a/e"));
    support::put(folder / "file", "x");
    CHECK(said(pool, peal::fs::make_directories, folder / "file", 0777u) == "mkdir " + folder / "file" + ": Not a directory");
    CHECK(said(pool, peal::fs::make_directories, folder / "file/below", 0777u) == "mkdir " + folder / "file" + ": Not a directory");
    CHECK(said(pool, peal::fs::make_directories, std::string(), 0777u) == "mkdir : No such file or directory");
    CHECK(said(pool, peal::fs::remove_directory, folder / "a") == "rmdir " + folder / "a" + ": Directory not empty");
    CHECK(said(pool, peal::fs::remove_directory, path) == "done");
    CHECK_FALSE(exists(path));
}

TEST_CASE("names: one that holds a zero byte is refused: the system would read another one") {
    support::temp_folder folder;
    support::put(folder / "file", "kept");
    peal::pool pool(peal::pool_options(1));
    const std::string cut = folder / "file" + std::string("\0x", 2);
    const std::string seen = folder / "file?x";
    const std::string refused = ": Invalid argument";
    auto open = [](std::string path) -> peal::task<void> { co_await peal::fs::file::open(std::move(path)); };
    auto stat = [](std::string path) -> peal::task<void> { co_await peal::fs::stat(std::move(path)); };

    CHECK(said(pool, open, cut) == "openat " + seen + refused);
    CHECK(said(pool, stat, cut) == "statx " + seen + refused);
    CHECK(said(pool, peal::fs::read_file, cut) == "openat " + seen + refused);
    CHECK(said(pool, peal::fs::write_file, cut, std::span<const std::byte>()).ends_with(refused));
    CHECK(said(pool, peal::fs::remove, cut) == "unlink " + seen + refused);
    CHECK(said(pool, peal::fs::remove_all, cut) == "remove_all " + seen + refused);
    CHECK(said(pool, peal::fs::make_directory, cut, 0777u) == "mkdir " + seen + refused);
    CHECK(said(pool, peal::fs::make_directories, folder / "new/" + cut, 0777u).ends_with(refused));
    CHECK(said(pool, peal::fs::rename, cut, folder / "other", if_exists::replace) == "rename " + seen + " to " + folder / "other" + refused);
    CHECK(said(pool, peal::fs::rename, folder / "file", cut, if_exists::replace).ends_with(refused));
    CHECK(said(pool, peal::fs::link, folder / "file", folder / "second" + std::string("\0x", 2)).ends_with(refused));
    CHECK(said(pool, peal::fs::symlink, cut, folder / "second").ends_with(refused));
    CHECK(said(pool, peal::fs::symlink, folder / "file", folder / "second" + std::string("\0x", 2)).ends_with(refused));
    CHECK(said(pool, peal::fs::read_link, cut) == "readlink " + seen + refused);
    CHECK(said(pool, peal::fs::list, cut, std::size_t{10}).ends_with(refused));
    CHECK(said(pool, peal::fs::copy_file, folder / "file", cut, if_exists::replace).ends_with(refused));
    CHECK(said(pool, peal::fs::set_permissions, cut, 0600u) == "chmod " + seen + refused);
    CHECK(said(pool, peal::fs::get_attribute, folder / "file", std::string("user.a\0b", 8)).ends_with(refused));
    CHECK(support::content_of(folder / "file") == "kept");
    CHECK(folder.names() == std::vector<std::string>{"file"});
}

TEST_CASE("names: rename replaces, refuses or exchanges") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string one = folder / "one";
    std::string two = folder / "two";
    support::put(one, "1");
    support::put(two, "2");
    CHECK(said(pool, peal::fs::rename, one, two, if_exists::fail) == "rename " + one + " to " + two + ": File exists");
    CHECK(said(pool, peal::fs::rename, one, two, if_exists::exchange) == "done");
    CHECK(support::content_of(one) == "2");
    CHECK(support::content_of(two) == "1");
    CHECK(said(pool, peal::fs::rename, one, two, if_exists::replace) == "done");
    CHECK(support::content_of(two) == "2");
    CHECK(said(pool, peal::fs::rename, two, one, if_exists::fail) == "done");
    CHECK(said(pool, peal::fs::rename, two, one, if_exists::exchange) == "rename " + two + " to " + one + ": No such file or directory");
}

TEST_CASE("names: links, and what they say") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    support::put(folder / "file", "x");
    CHECK(said(pool, peal::fs::link, folder / "file", folder / "second") == "done");
    CHECK(support::content_of(folder / "second") == "x");
    CHECK(said(pool, peal::fs::link, folder / "file", folder / "second").ends_with(": File exists"));
    std::string long_target(3000, 't');
    CHECK(said(pool, peal::fs::symlink, long_target, folder / "symlink") == "done");
    CHECK(pool.run(peal::fs::read_link, folder / "symlink") == long_target);
    CHECK(said(pool, peal::fs::symlink, long_target, folder / "symlink") == "symlink " + folder / "symlink" + ": File exists");
    CHECK(said(pool, peal::fs::read_link, folder / "file") == "readlink " + folder / "file" + ": Invalid argument");
    CHECK(said(pool, peal::fs::read_link, folder / "none") == "readlink " + folder / "none" + ": No such file or directory");
}

TEST_CASE("names: a folder is listed, its folders are not entered, and the bound holds") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::filesystem::create_directories(folder / "sub/below");
    for (int i = 0; i < 300; ++i) support::put(folder / ("file" + std::to_string(i)), "");
    auto all = pool.run(peal::fs::list, folder.path(), std::size_t{301});
    CHECK(all.size() == 301);
    auto sub = std::find_if(all.begin(), all.end(), [&](const peal::fs::entry& each) { return each.path == folder / "sub"; });
    REQUIRE(sub != all.end());
    CHECK(sub->type == peal::fs::file_type::directory);
    CHECK(said(pool, peal::fs::list, folder.path(), std::size_t{300}).ends_with("more than 300 names: Value too large for defined data type"));
    CHECK(said(pool, peal::fs::list, folder / "file1", std::size_t{10}) == "opendir " + folder / "file1" + ": Not a directory");
    CHECK(said(pool, peal::fs::list, folder / "none", std::size_t{10}) == "opendir " + folder / "none" + ": No such file or directory");
    CHECK(pool.run(peal::fs::list, folder / "sub/below", std::size_t{10}).empty());
}

TEST_CASE("names: remove_all removes everything below, and nothing that is linked there") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(2));
    support::put(folder / "outside", "stays");
    std::filesystem::create_directories(folder / "elsewhere");
    support::put(folder / "elsewhere/inside", "stays");
    std::string path = folder / "tree";
    std::uint64_t made = 1;
    std::filesystem::create_directory(path);
    for (int i = 0; i < 20; ++i) {
        std::string sub = path + "/sub" + std::to_string(i);
        std::filesystem::create_directory(sub);
        for (int j = 0; j < 50; ++j) support::put(sub + "/file" + std::to_string(j), "");
        made += 51;
    }
    std::string deep = path;
    for (int i = 0; i < 60; ++i) {
        deep += "/d";
        std::filesystem::create_directory(deep);
        ++made;
    }
    REQUIRE(::symlink("../outside", (path + "/link").c_str()) == 0);
    REQUIRE(::symlink("../elsewhere", (path + "/sub0/link").c_str()) == 0);
    made += 2;
    CHECK(pool.run(peal::fs::remove_all, path) == made);
    CHECK_FALSE(exists(path));
    CHECK(support::content_of(folder / "outside") == "stays");
    CHECK(support::content_of(folder / "elsewhere/inside") == "stays");
    CHECK(pool.run(peal::fs::remove_all, path) == 0);
    CHECK(pool.run(peal::fs::remove_all, folder / "outside") == 1);
    REQUIRE(::symlink("elsewhere", (folder / "link").c_str()) == 0);
    CHECK(pool.run(peal::fs::remove_all, folder / "link") == 1);
    CHECK(exists(folder / "elsewhere/inside"));
    CHECK(said(pool, peal::fs::remove_all, std::string("/")) == "remove_all /: Operation not permitted");
    CHECK(said(pool, peal::fs::remove_all, folder / "elsewhere/inside/x") == "unlink " + folder / "elsewhere/inside/x" + ": Not a directory");
}

TEST_CASE("names: remove_all that is stopped leaves the rest") {
    auto body = [](std::string path) -> peal::task<std::string> {
        peal::task<std::uint64_t> removing = peal::fs::remove_all(path);
        auto limited = peal::timeout(std::chrono::milliseconds(1), std::move(removing));
        auto ended = co_await peal::as_result(limited);
        co_return ended ? "all" : ended.error().code() == std::errc::timed_out ? "timed out" : ended.error().message();
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string path = folder / "tree";
    std::filesystem::create_directory(path);
    for (int i = 0; i < 5000; ++i) support::put(path + "/file" + std::to_string(i), "");
    std::string end = pool.run(body, path);
    INFO(end);
    CHECK((end == "all" || end == "timed out"));
    CHECK(exists(path) == (end != "all"));
    pool.run(peal::fs::remove_all, path);
    CHECK_FALSE(exists(path));
}
