// SPDX-License-Identifier: MIT
//
// limit_read with peal: so many tasks on a pool of one worker, each with one read at a time.

#include <cstdio>
#include <exception>
#include <functional>
#include <vector>

#include <peal/peal.hpp>

#include "fs/random_reads.hpp"

namespace {

peal::task<> read_some(peal::fs::file& file, bench::page& content, bench::places where, bench::measured_reads& measured) {
    do {
        std::uint64_t block = where.next();
        std::size_t bytes = co_await file.read_at(block * bench::page_bytes, content);
        bench::check_read(content, static_cast<std::int64_t>(bytes), block);
    } while (measured.count());
}

peal::task<> read_together(peal::fs::file& file, std::vector<bench::page>& pages, double seconds) {
    std::uint64_t blocks = bench::blocks_of(file.native_handle());
    bench::measured_reads measured(seconds);
    peal::scope readers;
    std::uint64_t seed = 0;
    for (bench::page& content : pages) {
        bench::places where(++seed, blocks);
        readers.spawn(read_some, std::ref(file), std::ref(content), where, std::ref(measured));
    }
    co_await readers.join();
    measured.print();
}

}  // namespace

int main(int argc, char** argv) {
    bench::read_options options(argc, argv);
    try {
        peal::fs::file file(bench::open_to_read(options));
        std::vector<bench::page> pages(options.depth);
        peal::pool pool(peal::pool_options(1));
        pool.run(read_together, std::ref(file), std::ref(pages), options.seconds);
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "peal_read: %s\n", failure.what());
        return 1;
    }
}
