// SPDX-License-Identifier: MIT

#include "attempt.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "../task/faults.hpp"

namespace peal::rt {

using detail::operation_kind;

namespace {

/// The next connection. A listener is made non-blocking and stays so: another thread may accept there at the same time.
int accept_now(int listener) noexcept {
    int flags = ::fcntl(listener, F_GETFL);
    if (flags < 0) return -1;
    if ((flags & O_NONBLOCK) == 0) ::fcntl(listener, F_SETFL, flags | O_NONBLOCK);
    return ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
}

/// Begins to connect, or asks what has become of it. The socket is this operation's alone, and blocking again after the call.
int connect_now(int socket, const void* peer, std::uint64_t bytes) noexcept {
    int flags = ::fcntl(socket, F_GETFL);
    if (flags < 0) return -1;
    if ((flags & O_NONBLOCK) == 0) ::fcntl(socket, F_SETFL, flags | O_NONBLOCK);
    int connected = ::connect(socket, static_cast<const sockaddr*>(peer), static_cast<socklen_t>(bytes));
    int error_number = errno;
    if ((flags & O_NONBLOCK) == 0) ::fcntl(socket, F_SETFL, flags);
    // EAGAIN: the backlog of a Unix socket is full. Nothing tells when that is over, so it is the answer.
    errno = error_number == EALREADY ? EINPROGRESS : error_number;
    return connected;
}

bool is_read(operation_kind kind) noexcept { return kind == operation_kind::read || kind == operation_kind::read_many; }
bool is_write(operation_kind kind) noexcept { return kind == operation_kind::write || kind == operation_kind::write_many; }

ssize_t transfer(detail::operation& op, readiness known) noexcept {
    iovec single{op.address, std::min<std::size_t>(op.length, longest_transfer)};
    bool many = op.kind == operation_kind::read_many || op.kind == operation_kind::write_many;
    const iovec* pieces = many ? static_cast<const iovec*>(op.address) : &single;
    int count = many ? static_cast<int>(op.length) : 1;
    auto offset = static_cast<off_t>(op.offset);  // no_offset is -1: the file's own
    if (is_write(op.kind)) {
        return ::pwritev2(op.fd, pieces, count, offset, RWF_NOWAIT);
    }
    ssize_t read = ::preadv2(op.fd, pieces, count, offset, RWF_NOWAIT);
    // Terminals, and files of the kernel that can be waited for, do not know the flag. They have something now, and who reads it is asked not to
    // read it twice at the same time.
    if (read < 0 && errno == EOPNOTSUPP && known == readiness::told) return ::preadv2(op.fd, pieces, count, offset, 0);
    return read;
}

/// What is ready of `events`.
int look(int fd, short events) noexcept {
    pollfd asked{fd, events, 0};
    int ready = ::poll(&asked, 1, 0);
    if (ready < 0) return -1;
    errno = ready == 0 ? EAGAIN : EBADF;
    return ready == 0 || (asked.revents & POLLNVAL) != 0 ? -1 : asked.revents;
}

ssize_t call(detail::operation& op, readiness known) noexcept {
    int flags = static_cast<int>(op.flags) | MSG_DONTWAIT;
    std::size_t length = std::min<std::size_t>(op.length, longest_transfer);
    switch (op.kind) {
        case operation_kind::accept: return accept_now(op.fd);
        case operation_kind::connect: return connect_now(op.fd, op.address, op.length);
        case operation_kind::receive:
        case operation_kind::receive_lease:
        case operation_kind::receive_leases: return ::recv(op.fd, op.address, length, flags);
        case operation_kind::send:
        case operation_kind::send_zero_copy: return ::send(op.fd, op.address, length, flags);
        case operation_kind::receive_many: return ::recvmsg(op.fd, static_cast<msghdr*>(op.address), flags);
        case operation_kind::send_many: return ::sendmsg(op.fd, static_cast<const msghdr*>(op.address), flags);
        case operation_kind::read:
        case operation_kind::read_many:
        case operation_kind::write:
        case operation_kind::write_many: return transfer(op, known);
        case operation_kind::wait_readable: return look(op.fd, POLLIN | POLLRDHUP);
        case operation_kind::wait_writable: return look(op.fd, POLLOUT);
        default: break;
    }
    errno = EOPNOTSUPP;
    return -1;
}

}  // namespace

std::int32_t attempt(detail::operation& operation, readiness known) noexcept {
    ssize_t done;
    do {
        done = call(operation, known);
        // A ring takes no notice of an offset in what has none: a pipe behind fs::file.
        if (done < 0 && errno == ESPIPE && operation.offset != detail::no_offset) {
            operation.offset = detail::no_offset;
            errno = EINTR;
        }
    } while (done < 0 && errno == EINTR);
    if (done >= 0) return static_cast<std::int32_t>(done);
    bool is_not_to_wait = operation.kind == operation_kind::send_many && (operation.flags & MSG_DONTWAIT) != 0;
    if (errno == (operation.kind == operation_kind::connect ? EINPROGRESS : EAGAIN)) return is_not_to_wait ? -EAGAIN : would_wait;
    if (errno == EOPNOTSUPP && is_read(operation.kind)) return would_wait;  // it may be a terminal, or a file: epoll knows
    if (errno == EOPNOTSUPP && is_write(operation.kind)) return must_block;
    return -errno;
}

}  // namespace peal::rt
