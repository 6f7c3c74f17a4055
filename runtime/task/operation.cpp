// SPDX-License-Identifier: MIT

#include <peal/detail/operation.hpp>

#include <cerrno>

#include <peal/detail/schedule.hpp>
#include <peal/detail/this_thread.hpp>

#include "descriptors.hpp"
#include "driver.hpp"
#include "perform.hpp"
#include "this_driver.hpp"

namespace peal::detail {

namespace {

/// EOPNOTSUPP: this socket does not do it. ENOMEM, ENOBUFS: the user has as much memory locked as is allowed (RLIMIT_MEMLOCK), the socket as much in its
/// notifications (net.core.optmem_max).
bool is_refusal_of_zero_copy(int error_number) noexcept {
    return error_number == EOPNOTSUPP || error_number == ENOMEM || error_number == ENOBUFS;
}

}  // namespace

const char* operation_name(operation_kind kind) noexcept {
    switch (kind) {
        case operation_kind::nop: return "nop";
        case operation_kind::accept: return "accept";
        case operation_kind::connect: return "connect";
        case operation_kind::receive: return "recv";
        case operation_kind::send:
        case operation_kind::send_zero_copy: return "send";
        case operation_kind::receive_lease:
        case operation_kind::receive_leases: return "recv";
        case operation_kind::receive_many: return "recvmsg";
        case operation_kind::send_many: return "sendmsg";
        case operation_kind::read: return "read";
        case operation_kind::write: return "write";
        case operation_kind::read_many: return "readv";
        case operation_kind::write_many: return "writev";
        case operation_kind::open: return "openat";
        case operation_kind::close: return "close";
        case operation_kind::sync: return "fsync";
        case operation_kind::stat: return "statx";
        case operation_kind::truncate: return "ftruncate";
        case operation_kind::rename: return "rename";
        case operation_kind::unlink: return "unlink";
        case operation_kind::make_directory: return "mkdir";
        case operation_kind::link: return "link";
        case operation_kind::symlink: return "symlink";
        case operation_kind::open_in: return "openat2";
        case operation_kind::allocate: return "fallocate";
        case operation_kind::raw: return "io_uring operation";
        case operation_kind::wait_readable:
        case operation_kind::wait_writable: return "poll";
    }
    return "unknown operation";
}

peal::error operation::failure() const { return peal::error::from_errno(failed_with(), operation_name(kind)); }

bool operation::start(std::coroutine_handle<> awaiting, context& task) noexcept {
    rt::driver* driver = rt::this_driver();
    PEAL_ASSERT(driver != nullptr,
                "an I/O operation was awaited on a thread that is no worker: co_await pool.schedule() before it, or start with "
                "pool.run()");
    PEAL_ASSERT(home == nullptr, "an I/O operation was awaited twice: call read(), write() ... anew for each");
    handle = awaiting;
    owner = &task;
    home = driver;
    if (begins == beginning::refused) return false;
    if (begins == beginning::in_the_cache && driver->may_try_first() && !task.stop_requested()) {
        const bool found = rt::read_from_cache(*this);
        driver->tried_first(found);
        if (found) return false;
    }
    bool is_counted = rt::begin_use(fd);
    if (is_counted && task.arm(*this)) {
        driver->submit(*this);
        return true;
    }
    if (is_counted) rt::release_use(fd);
    outcome = is_counted ? -ECANCELED : -ENOMEM;
    enqueue(*current_scheduler(), *this);  // by the queue: a loop that takes no notice of the stop lets others run, too
    return true;
}

void operation::request_cancel(cancelable& self) noexcept {
    auto& operation = static_cast<detail::operation&>(self);
    operation.home->request_cancel(operation);
}

size_operation::size_operation(operation_kind kind, int fd, const void* data, std::size_t bytes, std::uint32_t flags,
                               std::uint64_t offset, rounds rounds, first_try first) noexcept
    : operation(kind) {
    this->fd = fd;
    this->address = const_cast<void*>(data);
    this->length = bytes;
    this->flags = flags;
    this->offset = offset;
    if (first == first_try::in_the_cache) begins = beginning::in_the_cache;
    if (rounds == rounds::all) step = &size_operation::next_round;
}

bool size_operation::next_round(operation& self) noexcept {
    if (self.kind == operation_kind::send_zero_copy && self.outcome < 0 && is_refusal_of_zero_copy(-self.outcome)) {
        self.kind = operation_kind::send;
        return true;
    }
    if (self.outcome <= 0) return false;  // the end, or a failure: it is reported
    auto moved = static_cast<std::uint64_t>(self.outcome);
    if (moved >= self.length) return false;
    self.transferred += moved;
    self.address = static_cast<std::byte*>(self.address) + moved;
    self.length -= moved;
    if (self.offset != no_offset) self.offset += moved;
    return true;
}

}  // namespace peal::detail
