// SPDX-License-Identifier: MIT

// directory_walk: meets everything below a folder once, goes on where it may not enter, and ends.

#include <peal/fs/walk.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/leaks.hpp"
#include "support/rights.hpp"
#include "support/temp_folder.hpp"

using peal::fs::directory_walk;
using peal::fs::entry;
using peal::fs::file_type;

namespace {

peal::task<std::vector<entry>> walk_all(std::string root, std::size_t batch_size, std::size_t& largest) {
    std::vector<entry> all;
    directory_walk walk(root, batch_size);
    for (std::vector<entry> batch = co_await walk.next(); !batch.empty(); batch = co_await walk.next()) {
        largest = std::max(largest, batch.size());
        for (entry& each : batch) all.push_back(std::move(each));
    }
    std::vector<entry> after = co_await walk.next();
    if (!after.empty()) throw std::runtime_error("entries after the end");
    co_return all;
}

std::vector<entry> walked(const std::string& root, std::size_t batch_size = 256) {
    peal::pool pool(peal::pool_options(1));
    std::size_t largest = 0;
    auto all = pool.run(walk_all, root, batch_size, std::ref(largest));
    CHECK(largest <= batch_size);
    return all;
}

const entry* find(const std::vector<entry>& all, const std::string& path) {
    auto found = std::find_if(all.begin(), all.end(), [&path](const entry& each) { return each.path == path; });
    return found == all.end() ? nullptr : &*found;
}

void make_folder(const std::string& path) { REQUIRE(::mkdir(path.c_str(), 0755) == 0); }

}  // namespace

TEST_CASE("walk: meets everything once, a folder before what is in it, in batches of every size") {
    support::temp_folder folder;
    std::set<std::string> expected{folder.path()};
    for (std::string below : {"a", "a/b", "a/b/c", "d", "empty"}) {
        make_folder(folder / below);
        expected.insert(folder / below);
    }
    for (std::string name : {"a/1", "a/2", "a/b/c/deep", "d/x y", "d/\xff\n", "top"}) {
        support::put(folder / name, "x");
        expected.insert(folder / name);
    }
    for (std::size_t batch_size : {0, 1, 2, 3, 7, 256}) {
        INFO("batches of " << batch_size);
        std::vector<entry> all = walked(folder.path(), std::max<std::size_t>(batch_size, 1));
        std::map<std::string, std::size_t> order;
        for (const entry& each : all) {
            CHECK(each.error_number == 0);
            CHECK(order.emplace(each.path, order.size()).second);  // once
            CHECK((each.type == file_type::directory) == std::filesystem::is_directory(each.path));
        }
        std::set<std::string> met;
        for (auto& [path, place] : order) {
            met.insert(path);
            if (path != folder.path()) CHECK(order[path.substr(0, path.rfind('/'))] < place);
        }
        CHECK(met == expected);
    }
}

TEST_CASE("walk: a root with a slash at its end, and the current folder") {
    support::temp_folder folder;
    support::put(folder / "file", "x");
    auto all = walked(folder.path() + "/");
    REQUIRE(all.size() == 2);
    CHECK(all[1].path == folder / "file");
}

TEST_CASE("walk: reports links and does not follow them, so that loops end") {
    support::temp_folder folder;
    make_folder(folder / "a");
    REQUIRE(::symlink("..", (folder / "a/up").c_str()) == 0);
    REQUIRE(::symlink("a", (folder / "again").c_str()) == 0);
    REQUIRE(::symlink("nowhere", (folder / "dangling").c_str()) == 0);
    REQUIRE(::symlink("self", (folder / "self").c_str()) == 0);
    auto all = walked(folder.path());
    CHECK(all.size() == 6);
    for (std::string link : {"a/up", "again", "dangling", "self"}) {
        const entry* found = find(all, folder / link);
        REQUIRE(found != nullptr);
        CHECK(found->type == file_type::symlink);
        CHECK(found->error_number == 0);
    }
    // A root that is a link is what the caller asked for.
    auto by_link = walked(folder / "again");
    REQUIRE(by_link.size() == 2);
    CHECK(by_link[1].path == folder / "again/up");
}

TEST_CASE("walk: a root that is a file, or other, or missing") {
    support::temp_folder folder;
    support::put(folder / "file", "x");
    auto all = walked(folder / "file");
    REQUIRE(all.size() == 1);
    CHECK(all[0].path == folder / "file");
    CHECK(all[0].type == file_type::regular);
    CHECK(all[0].error_number == 0);

    all = walked("/dev/null");
    REQUIRE(all.size() == 1);
    CHECK(all[0].type == file_type::other);

    all = walked(folder / "missing");
    REQUIRE(all.size() == 1);
    CHECK(all[0].path == folder / "missing");
    CHECK(all[0].error_number == ENOENT);
    all = walked("");
    REQUIRE(all.size() == 1);
    CHECK(all[0].error_number == ENOENT);
}

TEST_CASE("walk: a folder that may not be read is reported, and the walk goes on") {
    auto child = support::run_case("child: walk past an unreadable folder");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: walk past an unreadable folder", "[.child]") {
    support::give_up_root();
    support::temp_folder folder;
    for (std::string below : {"open", "shut", "no entry"}) {
        make_folder(folder / below);
        support::put(folder / (below + "/inside"), "x");
    }
    REQUIRE(::chmod((folder / "shut").c_str(), 0000) == 0);
    REQUIRE(::chmod((folder / "no entry").c_str(), 0444) == 0);  // its names can be read, nothing more
    auto all = walked(folder.path());
    const entry* shut = find(all, folder / "shut");
    REQUIRE(shut != nullptr);
    CHECK(shut->type == file_type::directory);
    CHECK(shut->error_number == EACCES);
    CHECK(find(all, folder / "shut/inside") == nullptr);
    CHECK(find(all, folder / "open/inside") != nullptr);
    CHECK(find(all, folder / "no entry/inside") != nullptr);
    CHECK(all.size() == 6);
    auto root = walked(folder / "shut");
    REQUIRE(root.size() == 1);
    CHECK(root[0].error_number == EACCES);
    ::chmod((folder / "shut").c_str(), 0755);
    ::chmod((folder / "no entry").c_str(), 0755);
}

TEST_CASE("walk: abandoned in the middle, it leaves no folder open") {
    support::temp_folder folder;
    std::string path = folder.path();
    for (int i = 0; i < 20; ++i) {
        path += "/deeper";
        make_folder(path);
    }
    auto body = [](std::string root, std::size_t& before, std::size_t& inside, std::size_t& after) -> peal::task<> {
        {
            directory_walk first(root, 1);  // never begun
        }
        before = support::open_descriptors();
        {
            directory_walk walk(root, 1);
            for (int i = 0; i < 15; ++i) static_cast<void>(co_await walk.next());
            inside = support::open_descriptors();
            directory_walk moved = std::move(walk);
            static_cast<void>(co_await moved.next());
        }
        after = support::open_descriptors();
    };
    peal::pool pool(peal::pool_options(1));
    std::size_t before = 0, inside = 0, after = 0;
    pool.run(body, folder.path(), std::ref(before), std::ref(inside), std::ref(after));
    CHECK(inside == before + 15);
    CHECK(after == before);
}

TEST_CASE("walk: deeper than paths may be long, and than descriptors last: an error, and an end") {
    auto child = support::run_case("child: walk deeper than descriptors last");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: walk deeper than descriptors last", "[.child]") {
    support::temp_folder folder;
    std::string path = folder.path();
    for (int i = 0; i < 100; ++i) {
        path += "/d";
        make_folder(path);
    }
    peal::pool pool(peal::pool_options(1));
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    support::set_limit(RLIMIT_NOFILE, 50);
    std::size_t largest = 0;
    auto all = pool.run(walk_all, folder.path(), 256u, std::ref(largest));
    support::set_limit(RLIMIT_NOFILE, before.rlim_cur);
    CHECK(all.size() > 10);
    CHECK(all.size() < 50);
    CHECK(all.back().error_number == EMFILE);
    CHECK(all.back().type == file_type::directory);
}

namespace {

peal::task<std::vector<entry>> take_share(directory_walk& walk) {
    std::vector<entry> mine;
    for (std::vector<entry> batch = co_await walk.next(); !batch.empty(); batch = co_await walk.next()) {
        for (entry& each : batch) mine.push_back(std::move(each));
    }
    co_return mine;
}

peal::task<std::vector<entry>> walk_together(std::string root) {
    directory_walk walk(root, 7);
    std::vector<peal::join_handle<std::vector<entry>>> takers;
    for (int i = 0; i < 6; ++i) takers.push_back(peal::spawn(take_share, std::ref(walk)));
    std::vector<entry> all;
    for (auto& each : takers) {
        std::vector<entry> part = co_await each;
        for (entry& one : part) all.push_back(std::move(one));
    }
    co_return all;
}

}  // namespace

TEST_CASE("walk: several tasks share one walk, each gets other entries") {
    support::temp_folder folder;
    for (int i = 0; i < 300; ++i) support::put(folder / std::to_string(i), "x");
    peal::pool pool(peal::pool_options(2));
    std::vector<entry> all = pool.run(walk_together, folder.path());
    std::set<std::string> paths;
    for (const entry& each : all) paths.insert(each.path);
    CHECK(all.size() == 301);
    CHECK(paths.size() == 301);
}
