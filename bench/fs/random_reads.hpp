// SPDX-License-Identifier: MIT
#pragma once

// Reads of 4 KiB at random places of a file whose block i begins with the number i. Without peal: what the programs share that measure
// them, and the command line and output of those that `run.py io` calls.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

namespace bench {

constexpr std::size_t page_bytes = 4096;
/// Where O_DIRECT may read to.
struct alignas(page_bytes) page : std::array<std::byte, page_bytes> {};

/// Places to read; the same for every run.
class places {
  public:
    places(std::uint64_t seed, std::uint64_t blocks) noexcept : state_(seed * 2 + 1), blocks_(blocks) {}
    std::uint64_t next() noexcept {
        state_ = state_ * 6364136223846793005u + 1442695040888963407u;
        return (state_ >> 33) % blocks_;
    }

  private:
    std::uint64_t state_;
    std::uint64_t blocks_;
};

/// `bytes`: what the read gave.
inline void check_read(const page& content, std::int64_t bytes, std::uint64_t block) {
    if (bytes < 0) throw std::system_error(static_cast<int>(-bytes), std::generic_category(), "read");
    std::uint64_t number = 0;
    std::memcpy(&number, content.data(), sizeof number);
    if (bytes != page_bytes || number != block) throw std::logic_error("another block than was asked for");
}

/// `--file FILE --depth N --direct yes|no --seconds S`, and one more option `--NAME VALUE` of the program.
struct read_options {
    std::string file;
    unsigned depth = 1;  // reads at a time
    bool direct = false;  // past the page cache
    double seconds = 1;
    std::string chosen;  // value of the program's own option

    /// Ends the process with status 2 and a message if the command line is wrong.
    read_options(int argc, char** argv, std::string_view own_option = "", const char* own_usage = "") {
        const auto number = [](std::string_view text, auto& value) {
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
            return error == std::errc{} && end == text.data() + text.size() && value > 0 && value < 10'000;
        };
        bool right = argc % 2 == 1;
        for (int i = 1; right && i + 1 < argc; i += 2) {
            const std::string_view name = argv[i];
            const std::string_view value = argv[i + 1];
            if (name == "--file") {
                file = value;
            } else if (name == "--depth") {
                right = number(value, depth);
            } else if (name == "--direct") {
                direct = value == "yes";
                right = direct || value == "no";
            } else if (name == "--seconds") {
                right = number(value, seconds);
            } else {
                chosen = value;
                right = !own_option.empty() && name == own_option;
            }
        }
        if (right && !file.empty()) return;
        std::fprintf(stderr, "usage: %s --file FILE [--depth N] [--direct yes|no] [--seconds S]%s\n", argv[0], own_usage);
        std::exit(2);
    }
};

/// Throws std::system_error.
inline int open_to_read(const read_options& options) {
    const int fd = ::open(options.file.c_str(), O_RDONLY | O_CLOEXEC | (options.direct ? O_DIRECT : 0));
    if (fd < 0) throw std::system_error(errno, std::generic_category(), options.file);
    return fd;
}

inline std::uint64_t blocks_of(int fd) {
    struct stat status {};
    if (::fstat(fd, &status) != 0 || status.st_size < static_cast<off_t>(page_bytes)) {
        throw std::runtime_error("the file is too short");
    }
    return static_cast<std::uint64_t>(status.st_size) / page_bytes;
}

/// Counts reads until the time is over, and prints: READS NS_PER_READ CPU_NS_PER_READ.
class measured_reads {
  public:
    explicit measured_reads(double seconds)
        : begin_(clock::now()), end_(begin_ + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(seconds))),
          cpu_begin_(cpu_ns()) {}

    /// False: that was the last; what is under way may end.
    bool count() {
        if (++reads_ % 64 == 0 && clock::now() >= end_) is_over_ = true;
        return !is_over_;
    }
    bool is_over() const noexcept { return is_over_; }

    void print() const {
        const std::chrono::duration<double, std::nano> took = clock::now() - begin_;
        std::printf("%llu %.1f %.1f\n", static_cast<unsigned long long>(reads_), took.count() / static_cast<double>(reads_),
                    (cpu_ns() - cpu_begin_) / static_cast<double>(reads_));
    }

  private:
    using clock = std::chrono::steady_clock;
    static double cpu_ns() {  // of all threads, the kernel's for this process, too
        rusage used{};
        ::getrusage(RUSAGE_SELF, &used);
        const auto ns = [](const timeval& time) {
            return 1e9 * static_cast<double>(time.tv_sec) + 1e3 * static_cast<double>(time.tv_usec);
        };
        return ns(used.ru_utime) + ns(used.ru_stime);
    }

    clock::time_point begin_;
    clock::time_point end_;
    double cpu_begin_;
    std::uint64_t reads_ = 0;
    bool is_over_ = false;
};

}  // namespace bench
