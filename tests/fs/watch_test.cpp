// SPDX-License-Identifier: MIT

// change_watch: what happens in folders and to files is told, in order, and a stop takes nothing.

#include <peal/fs/watch.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using kind = peal::fs::change::kind;

namespace {

/// The next changes that are not of the kinds `modified` and `attributes`, which come as often as the system likes.
peal::task<peal::fs::change> next_of(peal::fs::change_watch& changes) {
    for (;;) {
        peal::fs::change next = co_await changes.next();
        if (next.what != kind::modified && next.what != kind::attributes) co_return next;
    }
}

bool is(const peal::fs::change& change, kind what, const std::string& path, const std::string& name) {
    INFO(static_cast<int>(change.what) << ' ' << change.path << ' ' << change.name);
    CHECK(change.what == what);
    CHECK(change.path == path);
    CHECK(change.name == name);
    return change.what == what && change.path == path && change.name == name;
}

}  // namespace

TEST_CASE("change_watch: names that come, go and move, and files that were written") {
    auto body = [](support::temp_folder& folder) -> peal::task<> {
        peal::fs::change_watch changes;
        std::string a = folder / "a";
        std::string b = folder / "b";
        std::filesystem::create_directory(a);
        std::filesystem::create_directory(b);
        co_await changes.add(a);
        co_await changes.add(b);
        support::put(a + "/file", "x");
        auto made = co_await next_of(changes);
        is(made, kind::created, a, "file");
        CHECK_FALSE(made.is_directory);
        auto written = co_await next_of(changes);
        is(written, kind::written, a, "file");
        std::filesystem::rename(a + "/file", b + "/other");
        auto from = co_await next_of(changes);
        auto to = co_await next_of(changes);
        is(from, kind::moved_away, a, "file");
        is(to, kind::moved_here, b, "other");
        CHECK(from.pair == to.pair);
        CHECK(from.pair != 0);
        std::filesystem::create_directory(b + "/folder");
        auto folder_made = co_await next_of(changes);
        is(folder_made, kind::created, b, "folder");
        CHECK(folder_made.is_directory);
        CHECK(changes.remove(a));
        auto ended = co_await next_of(changes);
        is(ended, kind::ended, a, "");
        CHECK_FALSE(changes.remove(a));
        std::filesystem::remove_all(b);
        auto gone_file = co_await next_of(changes);
        auto gone_folder = co_await next_of(changes);
        CHECK(gone_file.what == kind::removed);
        CHECK(gone_folder.what == kind::removed);
        auto itself = co_await next_of(changes);
        is(itself, kind::itself_removed, b, "");
        auto end = co_await next_of(changes);
        is(end, kind::ended, b, "");
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(2));
    pool.run(body, std::ref(folder));
}

TEST_CASE("change_watch: more changes than fit into one read are all told") {
    auto body = [](support::temp_folder& folder) -> peal::task<> {
        peal::fs::change_watch changes;
        co_await changes.add(folder.path());
        std::string name(100, 'n');
        for (int i = 0; i < 500; ++i) support::put(folder / (name + std::to_string(i)), "");
        for (int i = 0; i < 500; ++i) {
            std::string expected = name + std::to_string(i);
            auto made = co_await next_of(changes);
            bool made_it = made.what == kind::created && made.name == expected;
            REQUIRE(made_it);
            auto written = co_await next_of(changes);
            bool wrote_it = written.what == kind::written && written.name == expected;
            REQUIRE(wrote_it);
        }
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, std::ref(folder));
}

TEST_CASE("change_watch: a next() that is stopped has taken nothing, and a path that is missing is an error") {
    auto body = [](support::temp_folder& folder) -> peal::task<> {
        peal::fs::change_watch changes;
        auto missing = co_await peal::as_result(changes.add(folder / "missing"));
        REQUIRE_FALSE(missing);
        CHECK(missing.error().message() == "inotify_add_watch " + folder / "missing" + ": No such file or directory");
        co_await changes.add(folder.path());
        for (int i = 0; i < 3; ++i) {
            peal::task<peal::fs::change> waiting = changes.next();
            auto limited = peal::timeout(5ms, std::move(waiting));
            auto nothing = co_await peal::as_result(limited);
            REQUIRE_FALSE(nothing);
            CHECK(nothing.error().code() == std::errc::timed_out);
        }
        std::filesystem::create_directory(folder / "made");
        auto made = co_await changes.next();
        is(made, kind::created, folder.path(), "made");
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, std::ref(folder));
}

TEST_CASE("change_watch: what is removed and added again can be removed again, and then tells nothing") {
    auto body = [](support::temp_folder& folder) -> peal::task<> {
        peal::fs::change_watch changes;
        std::string watched = folder / "watched";
        std::filesystem::create_directory(watched);
        co_await changes.add(watched);
        CHECK(changes.remove(watched));
        co_await changes.add(watched);
        CHECK(changes.remove(watched));
        CHECK_FALSE(changes.remove(watched));
        support::put(watched + "/file", "x");
        for (int i = 0; i < 2; ++i) {
            auto ended = co_await next_of(changes);
            is(ended, kind::ended, watched, "");
        }
        auto waiting = next_of(changes);
        auto limited = peal::timeout(20ms, std::move(waiting));
        auto more = co_await peal::as_result(std::move(limited));
        CHECK_FALSE(more);
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, std::ref(folder));
}
