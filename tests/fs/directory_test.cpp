// SPDX-License-Identifier: MIT

// directory: names are looked up in an open folder, and paths lead nowhere else.

#include <peal/fs/directory.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <string>
#include <system_error>
#include <thread>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/leaks.hpp"
#include "support/said.hpp"
#include "support/temp_folder.hpp"

using peal::fs::directory;
using peal::fs::file;
using peal::fs::open_options;
using peal::fs::resolve;
using support::said_by;

namespace {

/// The content of the file, or "!" and what the error says.
peal::task<std::string> content_in(const directory& in, std::string path, resolve rules) {
    auto opened = co_await peal::as_result(in.open_file(std::move(path), open_options().read(), rules));
    if (!opened) co_return '!' + opened.error().message();
    std::array<std::byte, 100> buffer;
    std::size_t size = co_await opened->read_at(0, buffer);
    co_return std::string(reinterpret_cast<const char*>(buffer.data()), size);
}

}  // namespace

TEST_CASE("directory: a path leads no further than it may") {
    support::temp_folder folder;
    std::filesystem::create_directories(folder / "root/sub");
    support::put(folder / "secret", "secret");
    support::put(folder / "root/public", "public");
    support::put(folder / "root/sub/file", "file");
    REQUIRE(::symlink("../secret", (folder / "root/out").c_str()) == 0);
    REQUIRE(::symlink((folder / "secret").c_str(), (folder / "root/absolute").c_str()) == 0);
    REQUIRE(::symlink("sub", (folder / "root/inside").c_str()) == 0);
    REQUIRE(::symlink("/public", (folder / "root/rooted").c_str()) == 0);
    peal::pool pool(peal::pool_options(1));
    directory root = pool.run(directory::open, folder / "root");
    auto content = [&](const char* path, resolve rules) { return pool.run(content_in, std::cref(root), std::string(path), rules); };

    CHECK(content("public", resolve::beneath) == "public");
    CHECK(content("sub/../public", resolve::beneath) == "public");
    CHECK(content("inside/file", resolve::beneath) == "file");
    CHECK(content("../secret", resolve::beneath) == "!openat2 ../secret: Invalid cross-device link");
    CHECK(content("out", resolve::beneath) == "!openat2 out: Invalid cross-device link");
    CHECK(content("absolute", resolve::beneath) == "!openat2 absolute: Invalid cross-device link");
    CHECK(content("/etc/passwd", resolve::beneath) == "!openat2 /etc/passwd: Invalid cross-device link");
    CHECK(content("none", resolve::beneath) == "!openat2 none: No such file or directory");
    CHECK(content("inside/file", resolve::beneath_without_links) == "!openat2 inside/file: Too many levels of symbolic links");
    CHECK(content("sub/file", resolve::beneath_without_links) == "file");
    CHECK(content("rooted", resolve::in_root) == "public");
    CHECK(content("../../public", resolve::in_root) == "public");
    CHECK(content("out", resolve::in_root) == "!openat2 out: No such file or directory");
    CHECK(content("out", resolve::anywhere) == "secret");
    CHECK(content("sub/../public", resolve::beneath_on_this_mount) == "public");
    CHECK(content("out", resolve::beneath_on_this_mount) == "!openat2 out: Invalid cross-device link");
    CHECK(pool.run(content_in, std::cref(root), std::string("public\0x", 8), resolve::beneath) == "!openat2 public?x: Invalid argument");

    directory top = pool.run(directory::open, std::string("/"));
    CHECK_FALSE(pool.run(content_in, std::cref(top), std::string("proc/version"), resolve::beneath).starts_with('!'));
    CHECK(pool.run(content_in, std::cref(top), std::string("proc/version"), resolve::beneath_on_this_mount) ==
          "!openat2 proc/version: Invalid cross-device link");
}

TEST_CASE("directory: names are made, moved and removed in it, also after it was renamed itself") {
    auto body = [](support::temp_folder& folder) -> peal::task<> {
        directory root = co_await directory::open(folder.path());
        co_await root.make_directory("one", 0755);
        co_await root.make_directory("two");
        directory one = co_await root.open_directory("one");
        directory two = co_await root.open_directory("two");
        co_await root.rename("one", root, "moved");
        {
            file made = co_await one.open_file("file", open_options().write().create_new().permissions(0600));
            co_await made.write_at(0, std::as_bytes(std::span("x", 1)));
        }
        CHECK(support::content_of(folder / "moved/file") == "x");
        auto info = co_await one.stat("file");
        CHECK(info.size == 1);
        CHECK(info.permissions == 0600);
        co_await one.link("file", two, "second");
        co_await one.rename("file", two, "third", peal::fs::if_exists::fail);
        auto exists = co_await peal::as_result(two.rename("second", two, "third", peal::fs::if_exists::fail));
        REQUIRE_FALSE(exists);
        CHECK(exists.error().message() == "rename second to third: File exists");
        co_await two.symlink("third", "link");
        auto link = co_await two.stat("link");
        CHECK(link.type == peal::fs::file_type::symlink);
        co_await two.sync();
        co_await two.remove("link");
        co_await two.remove("second");
        co_await two.remove("third");
        co_await root.remove_directory("two");
        CHECK(folder.names() == std::vector<std::string>{"moved"});
    };
    std::size_t before = support::open_descriptors();
    support::temp_folder folder;
    {
        peal::pool pool(peal::pool_options(2));
        pool.run(body, std::ref(folder));
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("directory: what is no single name is refused") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    directory root = pool.run(directory::open, folder.path());
    for (std::string name : {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/a"), std::string("a\0b", 3)}) {
        std::string said = name == std::string("a\0b", 3) ? "a?b" : name;
        std::string refused = "not a single name: \"" + said + "\": Invalid argument";
        CHECK(pool.run(said_by(root.make_directory(name))) == refused);
        CHECK(pool.run(said_by(root.remove(name))) == refused);
        CHECK(pool.run(said_by(root.remove_directory(name))) == refused);
        CHECK(pool.run(said_by(root.rename("x", root, name))) == refused);
        CHECK(pool.run(said_by(root.rename(name, root, "x"))) == refused);
        CHECK(pool.run(said_by(root.symlink("x", name))) == refused);
        CHECK(pool.run(said_by(root.stat(name))) == refused);
    }
    CHECK(pool.run(said_by(directory::open(folder / "none"))) == "openat " + folder / "none" + ": No such file or directory");
    support::put(folder / "file", "");
    CHECK(pool.run(said_by(directory::open(folder / "file"))) == "openat " + folder / "file" + ": Not a directory");
}

TEST_CASE("directory: paths with \"..\" while folders are renamed are found, or refused, and lead nowhere else") {
    support::temp_folder folder;
    std::filesystem::create_directories(folder / "root/a/b");
    support::put(folder / "root/file", "inside");
    support::put(folder / "file", "outside");
    std::atomic<bool> enough{false};
    peal::pool pool(peal::pool_options(1));
    directory root = pool.run(directory::open, folder / "root");
    std::thread renamer([&] {
        while (!enough) {
            ::rename((folder / "root/a").c_str(), (folder / "root/c").c_str());
            ::rename((folder / "root/c").c_str(), (folder / "root/a").c_str());
        }
    });
    std::string wrong;
    int found = 0;
    for (int i = 0; i < 500; ++i) {
        std::string content = pool.run(content_in, std::cref(root), std::string("a/b/../../file"), resolve::beneath);
        found += content == "inside";
        if (content == "outside") wrong = content;
    }
    enough = true;
    renamer.join();
    CHECK(wrong == "");
    CHECK(found > 0);
}

TEST_CASE("directory: one that is closed, or was moved from, leads nowhere: not to the working directory either") {
    auto refuses = [](auto asked) -> peal::task<bool> {
        auto done = co_await peal::as_result(std::move(asked));
        co_return !done && done.error().code() == std::errc::bad_file_descriptor;
    };
    auto body = [refuses](support::temp_folder& folder) -> peal::task<> {
        directory none;
        directory moved = co_await directory::open(folder / ".");
        directory there = std::move(moved);
        for (const directory* each : {&none, &moved}) {
            bool all = co_await refuses(each->make_directory("peal-x"));
            all &= co_await refuses(each->stat("peal-x"));
            all &= co_await refuses(each->open_file("peal-x", open_options().read().write().create()));
            all &= co_await refuses(each->open_directory("."));
            all &= co_await refuses(each->symlink("a", "peal-x"));
            all &= co_await refuses(each->remove("peal-x"));
            all &= co_await refuses(each->remove_directory("peal-x"));
            all &= co_await refuses(each->rename("peal-x", there, "y"));
            CHECK(all);
        }
        co_await there.make_directory("made");
        bool from_there = co_await refuses(there.rename("made", none, "peal-y"));
        CHECK(from_there);
        struct ::stat found{};
        CHECK(::lstat("peal-x", &found) != 0);
        CHECK(::lstat("peal-y", &found) != 0);
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, std::ref(folder));
}
