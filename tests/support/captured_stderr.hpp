// SPDX-License-Identifier: MIT
#pragma once

// captured_stderr: collects what is written to standard error while it exists, by this process and whatever it links.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

namespace support {

class captured_stderr {
  public:
    captured_stderr() : memory_(::memfd_create("stderr", MFD_CLOEXEC)), before_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
        if (memory_ < 0 || before_ < 0) throw std::system_error(errno, std::system_category(), "captured_stderr");
        std::fflush(stderr);
        ::dup2(memory_, STDERR_FILENO);
    }
    captured_stderr(const captured_stderr&) = delete;
    captured_stderr& operator=(const captured_stderr&) = delete;
    ~captured_stderr() {
        std::fflush(stderr);
        ::dup2(before_, STDERR_FILENO);
        ::close(before_);
        ::close(memory_);
    }

    std::string text() const {
        std::fflush(stderr);
        std::string all;
        char piece[1024];
        off_t at = 0;
        for (ssize_t got; (got = ::pread(memory_, piece, sizeof piece, at)) > 0; at += got) {
            all.append(piece, static_cast<std::size_t>(got));
        }
        return all;
    }

  private:
    int memory_;
    int before_;
};

}  // namespace support
