// SPDX-License-Identifier: MIT

// Measures: reads of 4 KiB at random places of a file of 64 MiB that lies in the page cache; per read.
//   pread: the plain system call in a loop, to compare with
//   ring: fs::file::read_at() by so many tasks at a time on one worker (depth)
// Not: devices (the file is cached), and files on tmpfs, where the kernel hands every read to a thread of its own: run it in a folder
// on a disk. The file is made in the current folder and has no name.

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include <peal/peal.hpp>

#include "random_reads.hpp"
#include "support/bench.hpp"

namespace {

using bench::check_read, bench::page, bench::page_bytes, bench::places;

/// Block i begins with the number i.
class numbered_file {
  public:
    explicit numbered_file(std::int64_t blocks) : blocks_(static_cast<std::uint64_t>(blocks)) {
        std::string name = "./peal-read-bench-XXXXXX";
        fd_ = ::mkostemp(name.data(), O_CLOEXEC);
        if (fd_ < 0) throw std::system_error(errno, std::system_category(), "a temporary file in the current folder");
        ::unlink(name.c_str());
        page content{};
        for (std::uint64_t i = 0; i < blocks_; ++i) {
            std::memcpy(content.data(), &i, sizeof i);
            if (::write(fd_, content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
                throw std::system_error(errno, std::system_category(), "write");
            }
        }
        ::fsync(fd_);  // or the system writes back while we measure
    }
    numbered_file(const numbered_file&) = delete;
    numbered_file& operator=(const numbered_file&) = delete;
    ~numbered_file() { ::close(fd_); }

    int fd() const noexcept { return fd_; }
    std::uint64_t blocks() const noexcept { return blocks_; }

  private:
    std::uint64_t blocks_;
    int fd_;
};

numbered_file& the_file() {
    static numbered_file file(bench::scaled(16 * 1024, 256));
    return file;
}

void plain(benchmark::State& state) {
    numbered_file& file = the_file();
    places where(1, file.blocks());
    page content;
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) {
        std::uint64_t block = where.next();
        ssize_t bytes = ::pread(file.fd(), content.data(), content.size(), static_cast<off_t>(block * page_bytes));
        check_read(content, bytes, block);
    }
    bench::report(state, state.iterations(), taken);
}

peal::task<> read_some(peal::fs::file& file, page& content, std::uint64_t seed, std::uint64_t blocks, std::int64_t count) {
    places where(seed, blocks);
    for (; count != 0; --count) {
        std::uint64_t block = where.next();
        std::size_t bytes = co_await file.read_at(block * page_bytes, content);
        check_read(content, static_cast<std::int64_t>(bytes), block);
    }
}

/// As many at a time as there are pages.
peal::task<> read_together(peal::fs::file& file, std::vector<page>& pages, std::uint64_t blocks, std::int64_t count_each) {
    peal::scope readers;
    std::uint64_t seed = 0;
    for (page& content : pages) readers.spawn(read_some, std::ref(file), std::ref(content), ++seed, blocks, count_each);
    co_await readers.join();
}

void by_ring(benchmark::State& state) {
    numbered_file& numbered = the_file();
    peal::fs::file file(::dup(numbered.fd()));
    peal::pool pool(peal::pool_options(1));
    std::int64_t depth = state.range(0);
    std::int64_t count_each = bench::scaled(32'000, 320) / depth;
    std::vector<page> pages(static_cast<std::size_t>(depth));
    pool.run(read_together, std::ref(file), std::ref(pages), numbered.blocks(), 1);  // takes the memory for the frames
    bench::allocations taken;
    for ([[maybe_unused]] auto _ : state) pool.run(read_together, std::ref(file), std::ref(pages), numbered.blocks(), count_each);
    bench::report(state, state.iterations() * depth * count_each, taken);
}

}  // namespace

void bench::add_all() {
    add("fs/read/pread", plain);
    add("fs/read/ring", by_ring)->ArgName("depth")->Arg(1)->Arg(32)->Arg(128)->Unit(benchmark::kMillisecond);
}
