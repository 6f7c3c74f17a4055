// SPDX-License-Identifier: MIT

#include "submission.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "../task/arrivals.hpp"
#include "../task/faults.hpp"
#include "../task/names.hpp"

namespace peal::rt {

using detail::operation_kind;

namespace {

constexpr unsigned op_ftruncate = 55;             // IORING_OP_FTRUNCATE, Linux 6.9: newer than the oldest supported headers

std::uint64_t address_of(const void* pointer) noexcept { return reinterpret_cast<std::uint64_t>(pointer); }

void transfer(io_uring_sqe& entry, const detail::operation& op) noexcept {
    entry.fd = op.fd;
    entry.addr = address_of(op.address);
    entry.len = static_cast<std::uint32_t>(std::min(op.length, longest_transfer));
    entry.off = op.offset;
}

}  // namespace

unsigned opcode_of(operation_kind kind) noexcept {
    switch (kind) {
        case operation_kind::nop: return IORING_OP_NOP;
        case operation_kind::accept: return IORING_OP_ACCEPT;
        case operation_kind::connect: return IORING_OP_CONNECT;
        case operation_kind::receive: return IORING_OP_RECV;
        case operation_kind::send: return IORING_OP_SEND;
        case operation_kind::send_zero_copy: return IORING_OP_SEND_ZC;
        case operation_kind::receive_lease:
        case operation_kind::receive_leases: return IORING_OP_RECV;
        case operation_kind::receive_many: return IORING_OP_RECVMSG;
        case operation_kind::send_many: return IORING_OP_SENDMSG;
        case operation_kind::read: return IORING_OP_READ;
        case operation_kind::write: return IORING_OP_WRITE;
        case operation_kind::read_many: return IORING_OP_READV;
        case operation_kind::write_many: return IORING_OP_WRITEV;
        case operation_kind::open: return IORING_OP_OPENAT;
        case operation_kind::close: return IORING_OP_CLOSE;
        case operation_kind::sync: return IORING_OP_FSYNC;
        case operation_kind::stat: return IORING_OP_STATX;
        case operation_kind::truncate: return op_ftruncate;
        case operation_kind::rename: return IORING_OP_RENAMEAT;
        case operation_kind::unlink: return IORING_OP_UNLINKAT;
        case operation_kind::make_directory: return IORING_OP_MKDIRAT;
        case operation_kind::link: return IORING_OP_LINKAT;
        case operation_kind::symlink: return IORING_OP_SYMLINKAT;
        case operation_kind::open_in: return IORING_OP_OPENAT2;
        case operation_kind::allocate: return IORING_OP_FALLOCATE;
        case operation_kind::raw: return IORING_OP_NOP;  // the entry says it
        case operation_kind::wait_readable:
        case operation_kind::wait_writable: return IORING_OP_POLL_ADD;
    }
    return IORING_OP_NOP;
}

void prepare(io_uring_sqe& entry, detail::operation& op) noexcept {
    entry.opcode = static_cast<std::uint8_t>(opcode_of(op.kind));
    switch (op.kind) {
        case operation_kind::nop:
            break;
        case operation_kind::accept:
            entry.fd = op.fd;
            entry.accept_flags = SOCK_CLOEXEC;
            break;
        case operation_kind::connect:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.off = op.length;
            break;
        case operation_kind::receive_lease:
        case operation_kind::receive_leases:
            entry.ioprio = IORING_RECVSEND_POLL_FIRST;
            entry.fd = op.fd;
            if (op.address != nullptr) {
                entry.addr = address_of(op.address);
                entry.len = static_cast<std::uint32_t>(op.length);
            } else {
                entry.flags = IOSQE_BUFFER_SELECT;  // of the only group; all of a buffer
                if (op.kind == operation_kind::receive_leases && op.flags != plain) {
                    entry.ioprio |= IORING_RECV_MULTISHOT;
                    entry.file_index = arrivals::enough_at_once;  // optlen: newer than the oldest supported headers
                }
            }
            break;
        case operation_kind::receive:
            // The first attempt would fail most of the time: wait for data first (echo at 64 connections: 1.16 -> 1.20 of epoll).
            entry.ioprio = IORING_RECVSEND_POLL_FIRST;
            [[fallthrough]];
        case operation_kind::send:
        case operation_kind::send_zero_copy:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.len = static_cast<std::uint32_t>(std::min(op.length, longest_transfer));
            entry.msg_flags = op.flags;
            break;
        case operation_kind::receive_many:
        case operation_kind::send_many:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);  // a msghdr
            entry.len = 1;
            entry.msg_flags = op.flags;
            break;
        case operation_kind::read:
        case operation_kind::write:
        case operation_kind::read_many:
        case operation_kind::write_many:
            transfer(entry, op);
            break;
        case operation_kind::open:
            entry.fd = AT_FDCWD;
            entry.addr = address_of(op.address);
            entry.len = static_cast<std::uint32_t>(op.length);
            entry.open_flags = op.flags;
            break;
        case operation_kind::close:
            entry.fd = op.fd;
            break;
        case operation_kind::sync:
            entry.fd = op.fd;
            entry.fsync_flags = op.flags != 0 ? IORING_FSYNC_DATASYNC : 0u;
            break;
        case operation_kind::stat:
            entry.fd = op.fd;
            entry.addr = address_of(op.address != nullptr ? op.address : "");
            entry.len = STATX_BASIC_STATS;
            entry.off = address_of(op.extra);
            entry.statx_flags = op.flags;
            break;
        case operation_kind::truncate:
            entry.fd = op.fd;
            entry.off = op.length;
            break;
        case operation_kind::rename:
        case operation_kind::link:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.len = static_cast<std::uint32_t>(second_folder_of(op));
            entry.off = address_of(op.extra);
            entry.rename_flags = op.flags;  // and hardlink_flags: the same place
            break;
        case operation_kind::unlink:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.unlink_flags = op.flags;
            break;
        case operation_kind::make_directory:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.len = static_cast<std::uint32_t>(op.length);
            break;
        case operation_kind::symlink:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.off = address_of(op.extra);
            break;
        case operation_kind::open_in:
            entry.fd = op.fd;
            entry.addr = address_of(op.address);
            entry.len = sizeof(open_rules);
            entry.off = address_of(op.extra);
            break;
        case operation_kind::allocate:
            entry.fd = op.fd;
            entry.off = op.offset;
            entry.addr = op.length;
            entry.len = op.flags;
            break;
        case operation_kind::raw:
            std::memcpy(&entry, op.address, sizeof entry);
            break;
        case operation_kind::wait_readable:
        case operation_kind::wait_writable:
            entry.fd = op.fd;
            entry.poll32_events = op.kind == operation_kind::wait_readable ? POLLIN | POLLRDHUP : POLLOUT;
            break;
    }
}

}  // namespace peal::rt
