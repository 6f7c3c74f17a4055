// SPDX-License-Identifier: MIT

#include "descriptors.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include "driver.hpp"
#include "this_driver.hpp"

namespace peal::rt {

void close_socket(int fd) noexcept {
    if (driver* here = this_driver(); here != nullptr && here->is_simulated()) {
        here->close(fd);
        return;
    }
    ::shutdown(fd, SHUT_RDWR);
    ::close(fd);
}

void close_file(int fd) noexcept {
    if (driver* here = this_driver()) {
        here->close(fd);
    } else {
        ::close(fd);
    }
}

int shutdown_socket_writing(int fd) noexcept {
    if (driver* here = this_driver(); here != nullptr && here->is_simulated()) return here->shutdown_writing(fd);
    return ::shutdown(fd, SHUT_WR);
}

}  // namespace peal::rt
