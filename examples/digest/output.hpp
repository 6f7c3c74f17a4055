// SPDX-License-Identifier: MIT
#pragma once

// output: one of the program's standard streams, written on the rings: a reader that is slow, or has stopped,
// blocks no worker.

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include <peal/peal.hpp>

namespace examples {

class output {
  public:
    /// A second descriptor for the stream, so that the stream itself stays open.
    output(int fd, std::string name) : name_(std::move(name)), stream_(::fcntl(fd, F_DUPFD_CLOEXEC, 3)) {
        if (!stream_.is_open()) throw std::system_error(errno, std::system_category(), name_);
    }

    /// Writes everything. One task at a time, or the lines of two may mix. Errors: system_error with the
    /// stream's name.
    peal::task<void> write(std::string_view text) {
        if (text.empty()) co_return;
        peal::result<std::size_t> written =
            co_await peal::as_result(stream_.append(peal::io::bytes_of(text)));
        if (!written) throw std::system_error(written.error().code(), name_);
    }

    /// The same for text whose loss changes nothing else: there is nobody to tell.
    peal::task<void> write_if_possible(std::string_view text) {
        auto writing = stream_.append(peal::io::bytes_of(text));
        static_cast<void>(co_await peal::as_result(writing));
    }

  private:
    std::string name_;
    peal::fs::file stream_;
};

/// A program may be started without some of its standard streams. What is opened next would take the free
/// number, and text for the stream would go there: fill the gap first. For standard output the gap is
/// read-only, so writing to it is an error.
inline void fill_standard_streams() noexcept {
    for (int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
        // open() takes the lowest free number, which is this one.
        if (::fcntl(fd, F_GETFD) < 0) ::open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY);
    }
}

}  // namespace examples
