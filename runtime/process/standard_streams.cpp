// SPDX-License-Identifier: MIT

#include <peal/process/standard_streams.hpp>

#include <fcntl.h>

#include <cerrno>
#include <system_error>

namespace peal::process {
namespace {

int copy_of(int fd, const char* name) {
    int copy = ::fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) throw std::system_error(errno, std::system_category(), name);
    return copy;
}

}  // namespace

io::pipe_reader standard_input() { return io::pipe_reader(copy_of(0, "standard input")); }
io::pipe_writer standard_output() { return io::pipe_writer(copy_of(1, "standard output")); }
io::pipe_writer standard_error() { return io::pipe_writer(copy_of(2, "standard error")); }

}  // namespace peal::process
