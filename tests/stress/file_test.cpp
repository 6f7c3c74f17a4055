// SPDX-License-Identifier: MIT

// Files against shadow copies in memory: random reads, writes, truncations, syncs, stats and reopenings, some past the page cache, by several tasks with a
// file each. What is read is compared byte by byte; at the end the whole file is.
//
// PEAL_STRESS_OPERATIONS=10000000 runs so many in all instead of for some seconds, or until PEAL_STRESS_SECONDS are over, if that is set, too. TMPDIR says
// on which file system.

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <peal/fs/file.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>

#include "support/catch.hpp"
#include "support/stress.hpp"
#include "support/temp_folder.hpp"
#include "support/verdict.hpp"

namespace {

using peal::fs::file;

constexpr std::size_t largest = 256 * 1024;   // of a file
constexpr std::size_t block = 4096;           // O_DIRECT wants offsets, lengths and addresses in multiples of the device's block

struct free_it {
    void operator()(std::byte* memory) const { std::free(memory); }
};
using aligned_buffer = std::unique_ptr<std::byte, free_it>;

class facts {
  public:
    support::verdict judged;
    std::atomic<std::uint64_t> operations{0};
    std::atomic<std::uint64_t> direct{0};
};

class shadowed {
  public:
    shadowed(std::string path, std::uint64_t seed, facts& all)
        : path_(std::move(path)), dice_(seed), all_(all), buffer_(static_cast<std::byte*>(std::aligned_alloc(block, largest))) {}

    peal::task<> run(std::uint64_t operations, const support::stress_clock& clock) {
        co_await reopen();
        for (std::uint64_t i = 0; i < operations && clock.goes_on(); ++i) {
            all_.operations.fetch_add(1, std::memory_order_relaxed);
            switch (dice_.below(32)) {
                case 0: co_await reopen(); break;
                case 1: co_await resize(); break;
                case 2: co_await data_.sync(dice_.one_in(2) ? file::durable::data_only : file::durable::everything); break;
                case 3: co_await look(); break;
                default: {
                    if (dice_.one_in(2)) {
                        co_await read();
                    } else {
                        co_await write();
                    }
                }
            }
        }
        co_await compare_all();
    }

  private:
    /// A part of the file, and of the room behind it; whole blocks if the file is open past the page cache.
    std::pair<std::size_t, std::size_t> somewhere() {
        std::size_t longest = dice_.one_in(8) ? 64 * 1024 : 9000;
        std::size_t at = dice_.below(largest - longest - block);
        std::size_t count = 1 + dice_.below(longest);
        if (is_direct_) {
            at = at / block * block;
            count = (count + block - 1) / block * block;
        }
        return {at, count};
    }

    peal::task<> reopen() {
        data_ = co_await file::open(path_, peal::fs::open_mode::read_write);
        is_direct_ = dice_.one_in(3) && ::fcntl(data_.native_handle(), F_SETFL, O_DIRECT) == 0;  // not every file system can
        if (is_direct_) all_.direct.fetch_add(1, std::memory_order_relaxed);
    }
    peal::task<> resize() {
        std::size_t size = dice_.below(largest - 2 * block);
        co_await data_.truncate(size);
        shadow_.resize(size);
    }
    peal::task<> look() {
        peal::fs::file_info info = co_await data_.stat();
        all_.judged.expect(info.size == shadow_.size(), path_ + ": the size is " + std::to_string(info.size));
    }
    peal::task<> read() {
        auto [at, count] = somewhere();
        std::span<std::byte> into(buffer_.get(), count);
        std::size_t expected = at < shadow_.size() ? std::min(count, shadow_.size() - at) : 0;
        std::size_t got = 0;
        if (dice_.one_in(2) && !is_direct_) {
            got = co_await data_.read_exactly_at(at, into);
            all_.judged.expect(got == expected, path_ + ": read_exactly_at gave " + std::to_string(got) + " of " + std::to_string(expected));
        } else {
            got = co_await data_.read_at(at, into);
            all_.judged.expect(got <= expected && (got != 0 || expected == 0), path_ + ": read_at gave " + std::to_string(got));
        }
        std::span<const std::byte> right = std::span(shadow_).subspan(std::min(at, shadow_.size()), std::min(got, expected));
        all_.judged.expect(std::equal(right.begin(), right.end(), into.begin()), path_ + ": wrong bytes at " + std::to_string(at));
    }
    peal::task<> write() {
        auto [at, count] = somewhere();
        std::span<std::byte> bytes(buffer_.get(), count);
        std::uint64_t pattern = dice_.next();
        for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>(pattern >> (i % 8 * 8));
        std::size_t written = co_await data_.write_at(at, bytes);
        all_.judged.expect(written == count, path_ + ": write_at gave " + std::to_string(written));
        if (shadow_.size() < at + count) shadow_.resize(at + count);
        std::copy(bytes.begin(), bytes.end(), shadow_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    peal::task<> compare_all() {
        data_.close();
        std::vector<std::byte> whole = co_await peal::fs::read_file(path_);
        all_.judged.expect(whole == shadow_, path_ + ": the file is not what was written");
    }

    std::string path_;
    support::dice dice_;
    facts& all_;
    aligned_buffer buffer_;
    file data_;
    bool is_direct_ = false;
    std::vector<std::byte> shadow_;
};

peal::task<> one(std::string path, std::uint64_t seed, facts& all, std::uint64_t operations, const support::stress_clock& clock) {
    shadowed subject(std::move(path), seed, all);
    co_await subject.run(operations, clock);
}

constexpr std::uint64_t files = 8;

peal::task<> several(const support::temp_folder& folder, facts& all, std::uint64_t operations, const support::stress_clock& clock) {
    peal::scope tasks;
    for (std::uint64_t i = 0; i < files; ++i) {
        std::uint64_t share = operations / files + (i < operations % files ? 1 : 0);
        tasks.spawn(one, folder / std::to_string(i), i, std::ref(all), share, std::cref(clock));
    }
    co_await tasks.join();
}

}  // namespace

TEST_CASE("stress: files against shadow copies") {
    facts all;
    support::temp_folder folder;
    const std::uint64_t operations = support::stress_operations();
    auto clock = support::stress_clock::beside_operations();
    peal::pool pool(peal::pool_options(2));
    auto begun = std::chrono::steady_clock::now();
    pool.run(several, std::cref(folder), std::ref(all), operations, std::cref(clock));
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    CHECK(all.judged.text() == "");
    CHECK(all.operations > 100);
    std::printf("%llu operations in %.1f s, opened %llu times past the page cache, by %s\n",
                static_cast<unsigned long long>(all.operations.load()), took.count(), static_cast<unsigned long long>(all.direct.load()),
                pool.driver_of(0));
}
