// SPDX-License-Identifier: MIT

#include <peal/uring/raw_operation.hpp>

#include <liburing.h>

#include <cstring>
#include <stdexcept>
#include <string>

namespace peal::uring {

static_assert(sizeof(io_uring_sqe) == 64);

void raw_operation::copy(const void* entry) {
    std::memcpy(entry_, entry, sizeof entry_);
    io_uring_sqe asked;
    std::memcpy(&asked, entry, sizeof asked);
    struct refusal {
        unsigned flag;
        const char* says;
    };
    for (const refusal& each : {
             refusal{IOSQE_IO_LINK, "IOSQE_IO_LINK: the next entry may be another task's"},
             refusal{IOSQE_IO_HARDLINK, "IOSQE_IO_HARDLINK: the next entry may be another task's"},
             refusal{IOSQE_IO_DRAIN, "IOSQE_IO_DRAIN: it would hold up every task of the worker"},
             refusal{IOSQE_BUFFER_SELECT, "IOSQE_BUFFER_SELECT: the worker's buffers are peal's; use receive()"},
             refusal{IOSQE_CQE_SKIP_SUCCESS, "IOSQE_CQE_SKIP_SUCCESS: without a completion nobody is resumed"},
         }) {
        if ((asked.flags & each.flag) != 0) throw std::invalid_argument(std::string("raw_operation with ") + each.says);
    }
    address = entry_;
    if ((asked.flags & IOSQE_FIXED_FILE) == 0) fd = asked.fd;  // its number is kept meanwhile
}

peal::result<completion> raw_operation::result() {
    if (outcome < 0) return failure();
    return completion(outcome, flags);
}

}  // namespace peal::uring
