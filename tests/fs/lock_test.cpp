// SPDX-License-Identifier: MIT

// Locks: who is kept out, who waits, and what a stop leaves.

#include <peal/fs/lock.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <system_error>

#include <peal/combine/timeout.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/leaks.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::fs::file;
using peal::fs::lock_mode;
using peal::fs::open_mode;

TEST_CASE("lock: shared ones go together, an exclusive one alone, each until it goes") {
    auto body = [](std::string path) -> peal::task<> {
        file one = co_await file::open(path, open_mode::read_write);
        file two = co_await file::open(path, open_mode::read);
        auto first = co_await peal::fs::try_lock(one, lock_mode::shared);
        auto second = co_await peal::fs::try_lock(two, lock_mode::shared);
        REQUIRE(first);
        REQUIRE(second);
        auto refused = co_await peal::fs::try_lock(one, lock_mode::exclusive);
        CHECK_FALSE(refused);
        second->unlock();
        CHECK_FALSE(second->is_held());
        auto changed = co_await peal::fs::try_lock(one, lock_mode::exclusive);  // the one lock of that file
        CHECK(changed);
        auto kept_out = co_await peal::fs::try_lock(two, lock_mode::shared);
        CHECK_FALSE(kept_out);
        one.close();  // the lock has the file open still
        kept_out = co_await peal::fs::try_lock(two, lock_mode::shared);
        CHECK_FALSE(kept_out);
        changed.reset();
        auto free = co_await peal::fs::try_lock(two, lock_mode::exclusive);
        CHECK(free);
        auto wrong = co_await peal::as_result(peal::fs::try_lock(file()));
        REQUIRE_FALSE(wrong);
        CHECK(wrong.error().message() == "flock: Bad file descriptor");
    };
    std::size_t before = support::open_descriptors();
    support::temp_folder folder;
    {
        peal::pool pool(peal::pool_options(1));
        pool.run(body, folder / "file");
    }
    CHECK(support::open_descriptors() == before);
}

TEST_CASE("lock: waiting ones take their turns, and nothing is done by two at a time") {
    auto work = [](std::string path, int& inside, int& done) -> peal::task<> {
        for (int i = 0; i < 20; ++i) {
            file own = co_await file::open(path, open_mode::read_write);
            peal::fs::file_lock held = co_await peal::fs::lock(own);
            CHECK(++inside == 1);  // guarded by the lock alone: a sanitizer sees what it orders
            co_await peal::sleep_for(100us);
            --inside;
            ++done;
        }
    };
    auto all = [&work](std::string path, int& inside, int& done) -> peal::task<> {
        peal::scope workers;
        for (int i = 0; i < 4; ++i) workers.spawn(work, path, std::ref(inside), std::ref(done));
        co_await workers.join();
    };
    support::temp_folder folder;
    int inside = 0;
    int done = 0;
    peal::pool pool(peal::pool_options(1));
    pool.run(all, folder / "file", std::ref(inside), std::ref(done));
    CHECK(done == 80);
}

TEST_CASE("lock: one that waits can be stopped, and has taken nothing") {
    auto body = [](std::string path) -> peal::task<> {
        file mine = co_await file::open(path, open_mode::read_write);
        int theirs = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
        REQUIRE(::flock(theirs, LOCK_EX) == 0);
        for (int i = 0; i < 3; ++i) {
            peal::task<peal::fs::file_lock> locking = peal::fs::lock(mine);
            auto limited = peal::timeout(5ms, std::move(locking));
            auto locked = co_await peal::as_result(limited);
            REQUIRE_FALSE(locked);
            CHECK(locked.error().code() == std::errc::timed_out);
        }
        REQUIRE(::flock(theirs, LOCK_UN) == 0);
        REQUIRE(::flock(theirs, LOCK_EX | LOCK_NB) == 0);
        ::close(theirs);
        peal::fs::file_lock held = co_await peal::fs::lock(mine);
        CHECK(held.is_held());
    };
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    pool.run(body, folder / "file");
}
