// SPDX-License-Identifier: MIT
//
// limit_read: random reads of 4 KiB, as many at a time as asked for, as fast as this kernel lets a program be: on liburing alone.
//
//   --mode ring    plain descriptor, own buffers
//   --mode fixed   the file and the buffers registered with the ring
//   --mode pread   the system call in a loop; depth has no meaning
//
// Prints the number of reads, and nanoseconds and CPU nanoseconds per read.

#include <sys/uio.h>

#include <cstdio>
#include <exception>
#include <vector>

#include "fs/random_reads.hpp"
#include "ring.hpp"

namespace {

void by_pread(const bench::read_options& options) {
    const int fd = bench::open_to_read(options);
    bench::places where(1, bench::blocks_of(fd));
    bench::page content;
    bench::measured_reads measured(options.seconds);
    do {
        const std::uint64_t block = where.next();
        const ssize_t bytes = ::pread(fd, content.data(), content.size(), static_cast<off_t>(block * bench::page_bytes));
        bench::check_read(content, bytes < 0 ? -errno : bytes, block);
    } while (measured.count());
    measured.print();
}

class ring_reader {
  public:
    ring_reader(const bench::read_options& options, bool fixed)
        : fd_(bench::open_to_read(options)), fixed_(fixed), pages_(options.depth), blocks_(options.depth),
          where_(1, bench::blocks_of(fd_)), ring_(limit::task_run::deferred, options.depth, {}) {
        if (!fixed) return;
        std::vector<iovec> buffers;
        for (bench::page& content : pages_) buffers.push_back({content.data(), content.size()});
        limit::ring::check(::io_uring_register_files(&ring_.native(), &fd_, 1), "io_uring_register_files");
        limit::ring::check(::io_uring_register_buffers(&ring_.native(), buffers.data(), static_cast<unsigned>(buffers.size())),
                           "io_uring_register_buffers");
    }

    void run(double seconds) {
        bench::measured_reads measured(seconds);
        for (unsigned index = 0; index < pages_.size(); ++index) start(index);
        while (!measured.is_over()) {
            ring_.turn(limit::wait::yes, [&](const io_uring_cqe& completion) {
                const auto index = static_cast<unsigned>(completion.user_data);
                bench::check_read(pages_[index], completion.res, blocks_[index]);
                if (measured.count()) start(index);
            });
        }
        measured.print();
    }

  private:
    void start(unsigned index) {
        blocks_[index] = where_.next();
        const std::uint64_t offset = blocks_[index] * bench::page_bytes;
        io_uring_sqe& entry = ring_.entry();
        if (fixed_) {
            ::io_uring_prep_read_fixed(&entry, 0, pages_[index].data(), bench::page_bytes, offset, static_cast<int>(index));
            entry.flags |= IOSQE_FIXED_FILE;
        } else {
            ::io_uring_prep_read(&entry, fd_, pages_[index].data(), bench::page_bytes, offset);
        }
        entry.user_data = index;
    }

    int fd_;
    bool fixed_;
    std::vector<bench::page> pages_;  // outlives the ring, which may still read into them at the end
    std::vector<std::uint64_t> blocks_;  // what each page is read from
    bench::places where_;
    limit::ring ring_;
};

}  // namespace

int main(int argc, char** argv) {
    bench::read_options options(argc, argv, "--mode", " [--mode ring|fixed|pread]");
    try {
        if (options.chosen == "pread") {
            by_pread(options);
        } else if (options.chosen.empty() || options.chosen == "ring" || options.chosen == "fixed") {
            ring_reader(options, options.chosen == "fixed").run(options.seconds);
        } else {
            std::fprintf(stderr, "limit_read: --mode: there is no %s\n", options.chosen.c_str());
            return 2;
        }
    } catch (const std::exception& error) {
        std::fprintf(stderr, "limit_read: %s\n", error.what());
        return 1;
    }
}
