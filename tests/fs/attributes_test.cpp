// SPDX-License-Identifier: MIT

// Attributes of files: permissions, owner, times, extended ones.

#include <peal/fs/attributes.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <system_error>

#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>

#include "support/catch.hpp"
#include "support/said.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::fs::attribute_mode;
using peal::fs::follow_links;

using support::said_by;

namespace {

struct stat status_of(const std::string& path) {
    struct stat status {};
    REQUIRE(::lstat(path.c_str(), &status) == 0);
    return status;
}

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("attributes: permissions, whatever the umask") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string path = folder / "file";
    support::put(path, "x");
    for (mode_t mode : {0600u, 0777u, 0444u, 04755u}) {
        pool.run(peal::fs::set_permissions, path, mode);
        CHECK((status_of(path).st_mode & 07777) == mode);
    }
    CHECK(pool.run(said_by(peal::fs::set_permissions(folder / "none", 0600))) == "chmod " + folder / "none" + ": No such file or directory");
}

TEST_CASE("attributes: owner and group, of a link or of what it leads to") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string path = folder / "file";
    support::put(path, "x");
    REQUIRE(::symlink("file", (folder / "link").c_str()) == 0);
    pool.run(peal::fs::set_owner, path, std::optional<std::uint32_t>(::getuid()), std::optional<std::uint32_t>(::getgid()), follow_links::yes);
    CHECK(status_of(path).st_uid == ::getuid());
    CHECK(pool.run(said_by(peal::fs::set_owner(folder / "none", std::nullopt, std::nullopt))) ==
          "chown " + folder / "none" + ": No such file or directory");
    if (::geteuid() != 0) return;
    pool.run(peal::fs::set_owner, folder / "link", std::optional<std::uint32_t>(12), std::optional<std::uint32_t>(), follow_links::no);
    CHECK(status_of(folder / "link").st_uid == 12);
    CHECK(status_of(path).st_uid == 0);
    pool.run(peal::fs::set_owner, folder / "link", std::optional<std::uint32_t>(), std::optional<std::uint32_t>(13), follow_links::yes);
    CHECK(status_of(path).st_gid == 13);
    CHECK(status_of(path).st_uid == 0);
}

TEST_CASE("attributes: times, each for itself, also before 1970") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string path = folder / "file";
    support::put(path, "x");
    using time = std::optional<std::chrono::system_clock::time_point>;
    std::chrono::system_clock::time_point when(1'600'000'000s + 123'456'789ns);
    pool.run(peal::fs::set_times, path, time(when), time(when + 5s), follow_links::yes);
    CHECK(status_of(path).st_atim.tv_sec == 1'600'000'000);
    CHECK(status_of(path).st_mtim.tv_sec == 1'600'000'005);
    CHECK(status_of(path).st_mtim.tv_nsec == 123'456'789);
    pool.run(peal::fs::set_times, path, time(), time(when + 9s), follow_links::yes);
    CHECK(status_of(path).st_atim.tv_sec == 1'600'000'000);
    CHECK(status_of(path).st_mtim.tv_sec == 1'600'000'009);
    pool.run(peal::fs::set_times, path, time(std::chrono::system_clock::time_point(-1500ms)), time(), follow_links::yes);
    CHECK(status_of(path).st_atim.tv_sec == -2);
    CHECK(status_of(path).st_atim.tv_nsec == 500'000'000);
    CHECK(pool.run(said_by(peal::fs::set_times(folder / "none", time(when), time()))) ==
          "utimensat " + folder / "none" + ": No such file or directory");
}

TEST_CASE("attributes: extended ones are set, read, listed and removed") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    std::string path = folder / "file";
    support::put(path, "x");
    std::string first = pool.run(said_by(peal::fs::set_attribute(path, "user.one", bytes_of("value"))));
    if (first.ends_with("Operation not supported")) {
        WARN("not tried: this file system has none");
        return;
    }
    CHECK(first == "done");
    CHECK(pool.run(said_by(peal::fs::set_attribute(path, "user.one", bytes_of("x"), attribute_mode::create))) ==
          "setxattr user.one of " + path + ": File exists");
    CHECK(pool.run(said_by(peal::fs::set_attribute(path, "user.two", bytes_of(""), attribute_mode::replace))) ==
          "setxattr user.two of " + path + ": No data available");
    CHECK(pool.run(said_by(peal::fs::set_attribute(path, "user.two", bytes_of("")))) == "done");
    auto value = pool.run(peal::fs::get_attribute, path, std::string("user.one"));
    CHECK(std::ranges::equal(value, bytes_of("value")));
    CHECK(pool.run(peal::fs::get_attribute, path, std::string("user.two")).empty());
    auto names = pool.run(peal::fs::list_attributes, path);
    CHECK(std::ranges::count(names, "user.one") == 1);
    CHECK(std::ranges::count(names, "user.two") == 1);
    pool.run(peal::fs::remove_attribute, path, std::string("user.one"));
    CHECK(pool.run(said_by(peal::fs::get_attribute(path, "user.one"))) == "getxattr user.one of " + path + ": No data available");
    CHECK(pool.run(said_by(peal::fs::list_attributes(folder / "none"))) == "listxattr " + folder / "none" + ": No such file or directory");
}
