// SPDX-License-Identifier: MIT

#include "perform.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "faults.hpp"
#include "names.hpp"

namespace peal::rt {

using detail::operation_kind;

bool can_perform(operation_kind kind) noexcept {
    switch (kind) {
        case operation_kind::read:
        case operation_kind::write:
        case operation_kind::read_many:
        case operation_kind::write_many:
        case operation_kind::open:
        case operation_kind::close:
        case operation_kind::sync:
        case operation_kind::stat:
        case operation_kind::truncate:
        case operation_kind::rename:
        case operation_kind::unlink:
        case operation_kind::make_directory:
        case operation_kind::link:
        case operation_kind::symlink:
        case operation_kind::open_in:
        case operation_kind::allocate:
            return true;
        case operation_kind::nop:
        case operation_kind::accept:
        case operation_kind::connect:
        case operation_kind::receive:
        case operation_kind::send:
        case operation_kind::send_zero_copy:
        case operation_kind::receive_many:
        case operation_kind::receive_lease:
        case operation_kind::receive_leases:
        case operation_kind::send_many:
        case operation_kind::wait_readable:
        case operation_kind::wait_writable:
        case operation_kind::raw:
            return false;
    }
    return false;
}

namespace {

ssize_t call(detail::operation& op) noexcept {
    auto* path = static_cast<const char*>(op.address);
    auto* buffers = static_cast<const iovec*>(op.address);
    auto count = static_cast<int>(op.length);
    auto offset = static_cast<off_t>(op.offset);
    int folder = op.fd;
    int second_folder = second_folder_of(op);
    auto* second = static_cast<const char*>(op.extra);
    bool seek = op.offset != detail::no_offset;
    switch (op.kind) {
        case operation_kind::read:
            return seek ? ::pread(op.fd, op.address, op.length, offset) : ::read(op.fd, op.address, op.length);
        case operation_kind::write:
            return seek ? ::pwrite(op.fd, op.address, op.length, offset) : ::write(op.fd, op.address, op.length);
        case operation_kind::read_many:
            return seek ? ::preadv(op.fd, buffers, count, offset) : ::readv(op.fd, buffers, count);
        case operation_kind::write_many:
            return seek ? ::pwritev(op.fd, buffers, count, offset) : ::writev(op.fd, buffers, count);
        case operation_kind::open:
            return ::openat(AT_FDCWD, path, static_cast<int>(op.flags), static_cast<mode_t>(op.length));
        case operation_kind::close:
            return ::close(op.fd);
        case operation_kind::sync:
            return op.flags != 0 ? ::fdatasync(op.fd) : ::fsync(op.fd);
        case operation_kind::stat:
            return ::statx(op.fd, path != nullptr ? path : "", static_cast<int>(op.flags),
                           STATX_BASIC_STATS, static_cast<struct ::statx*>(op.extra));
        case operation_kind::truncate:
            return ::ftruncate(op.fd, static_cast<off_t>(op.length));
        case operation_kind::rename:
            if (op.flags == 0) return ::renameat(folder, path, second_folder, second);
            return ::renameat2(folder, path, second_folder, second, op.flags);
        case operation_kind::unlink:
            return ::unlinkat(folder, path, static_cast<int>(op.flags));
        case operation_kind::make_directory:
            return ::mkdirat(folder, path, static_cast<mode_t>(op.length));
        case operation_kind::link:
            return ::linkat(folder, path, second_folder, second, static_cast<int>(op.flags));
        case operation_kind::symlink:
            return ::symlinkat(path, folder, second);
        case operation_kind::open_in:
            return ::syscall(SYS_openat2, folder, path, op.extra, sizeof(open_rules));
        case operation_kind::allocate:
            return ::fallocate(op.fd, static_cast<int>(op.flags), offset, static_cast<off_t>(op.length));
        case operation_kind::nop:
        case operation_kind::accept:
        case operation_kind::connect:
        case operation_kind::receive:
        case operation_kind::send:
        case operation_kind::send_zero_copy:
        case operation_kind::receive_many:
        case operation_kind::receive_lease:
        case operation_kind::receive_leases:
        case operation_kind::send_many:
        case operation_kind::wait_readable:
        case operation_kind::wait_writable:
        case operation_kind::raw:
            break;
    }
    errno = EOPNOTSUPP;
    return -1;
}

}  // namespace

std::int32_t perform_now(detail::operation& operation) noexcept {
    if (operation.injected != 0) [[unlikely]] return std::exchange(operation.injected, 0);
    ssize_t done;
    do {
        done = call(operation);
    } while (done < 0 && errno == EINTR && operation.kind != operation_kind::close);
    return done < 0 ? -errno : static_cast<std::int32_t>(done);
}

bool is_cached(int fd) noexcept {
    const int flags = ::fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_DIRECT) == 0;
}

bool read_from_cache(detail::operation& operation) noexcept {
    if (the_fault_source != nullptr || operation.length > longest_transfer) [[unlikely]] return false;
    iovec piece{operation.address, operation.length};
    const ssize_t got = ::preadv2(operation.fd, &piece, 1, static_cast<off_t>(operation.offset), RWF_NOWAIT);
    if (got != 0 && static_cast<std::uint64_t>(got) != operation.length) return false;
    operation.outcome = static_cast<std::int32_t>(got);
    return true;
}

}  // namespace peal::rt
