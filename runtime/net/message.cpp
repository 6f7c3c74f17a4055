// SPDX-License-Identifier: MIT

#include <peal/net/message.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <new>

#include "message.hpp"

namespace peal::net::detail {

static_assert(sizeof(msghdr) == 56);

message_operation::message_operation(peal::detail::operation_kind kind, int fd, const void* data, std::size_t bytes) noexcept
    : operation(kind), piece_{const_cast<void*>(data), bytes} {
    auto* header = ::new (header_) msghdr{};
    header->msg_iov = reinterpret_cast<iovec*>(&piece_);
    header->msg_iovlen = 1;
    this->fd = fd;
    this->address = header_;
    this->length = 1;
    this->flags = MSG_NOSIGNAL;
}

void message_operation::use_name(const void* name, std::size_t bytes) noexcept {
    rt::header_of(header_).msg_name = const_cast<void*>(name);
    rt::header_of(header_).msg_namelen = static_cast<socklen_t>(bytes);
}

void message_operation::use_control(void* control, std::size_t bytes) noexcept {
    rt::header_of(header_).msg_control = control;
    rt::header_of(header_).msg_controllen = bytes;
}

bool message_operation::notice_close(operation& self) noexcept {
    // A ring lets a thread of its own wait for it in the end; where none may be made, the receive ends as canceled, although nobody asked.
    bool may_be_closed = self.outcome == 0 || (self.outcome == -ECANCELED && !self.cancel_requested);
    if (!may_be_closed) return false;
    pollfd looked{self.fd, POLLRDHUP, 0};  // the number is ours until this operation has ended
    if (::poll(&looked, 1, 0) > 0 && (looked.revents & POLLRDHUP) != 0) self.outcome = -EBADF;
    return false;
}

}  // namespace peal::net::detail
