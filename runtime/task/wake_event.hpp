// SPDX-License-Identifier: MIT
#pragma once

// wake_event: the event descriptor by which other threads wake a worker that sleeps in its driver. Never read: it is watched for edges, so each
// write is an event, and costs nobody a read.

#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <system_error>

#include <peal/detail/config.hpp>

#include "../base/own_descriptor.hpp"

namespace peal::rt {

class wake_event {
  public:
    wake_event() : fd_(own_descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))) {
        if (fd_ < 0) throw std::system_error(errno, std::system_category(), "eventfd for a worker (raise `ulimit -n`?)");
    }
    wake_event(const wake_event&) = delete;
    wake_event& operator=(const wake_event&) = delete;
    ~wake_event() { ::close(fd_); }

    int native_handle() const noexcept { return fd_; }

    /// Any thread.
    void raise() noexcept {
        std::uint64_t one = 1;
        // EAGAIN is impossible before 2^64 wakes; EINTR does not happen on an eventfd that is not full.
        if (::write(fd_, &one, sizeof one) != sizeof one) {
            PEAL_ASSERT(false, "a worker could not be woken: its event descriptor was closed by somebody else");
        }
    }

  private:
    const int fd_;
};

}  // namespace peal::rt
