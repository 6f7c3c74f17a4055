// SPDX-License-Identifier: MIT

#include <peal/net/stream_socket.hpp>

#include <sys/socket.h>
#include <sys/uio.h>

#include <new>
#include <utility>

#include "../task/descriptors.hpp"
#include "../task/lease_pool.hpp"
#include "socket.hpp"

namespace peal::net {

using peal::detail::no_offset;
using peal::detail::operation;
using peal::detail::operation_kind;
using peal::detail::size_operation;
using rounds = peal::detail::size_operation::rounds;

static_assert(sizeof(io::mutable_buffer) == sizeof(iovec) && sizeof(io::const_buffer) == sizeof(iovec));
static_assert(sizeof(msghdr) == 56);

namespace detail {

vectored_operation::vectored_operation(operation_kind kind, int fd, void* buffers, std::size_t count, rounds rounds) noexcept
    : size_operation(kind), pieces_(static_cast<piece*>(buffers)), count_(count) {
    auto* header = ::new (header_) msghdr{};
    header->msg_iov = static_cast<iovec*>(buffers);
    header->msg_iovlen = count;
    this->fd = fd;
    this->address = header_;
    this->length = 1;
    this->flags = MSG_NOSIGNAL;
    if (rounds == rounds::all) {
        this->flags |= MSG_WAITALL;
        step = &vectored_operation::next_round;
    }
}

void vectored_operation::skip(std::size_t bytes) noexcept {
    while (count_ != 0 && bytes >= pieces_->size) {
        bytes -= pieces_->size;
        ++pieces_;
        --count_;
    }
    if (count_ != 0) {
        pieces_->data = static_cast<std::byte*>(pieces_->data) + bytes;
        pieces_->size -= bytes;
    }
}

bool vectored_operation::next_round(operation& self) noexcept {
    auto& me = static_cast<vectored_operation&>(self);
    if (me.outcome <= 0) return false;
    std::size_t left = 0;
    for (std::size_t i = 0; i < me.count_; ++i) left += me.pieces_[i].size;
    auto moved = static_cast<std::size_t>(me.outcome);
    if (moved >= left) return false;
    me.transferred += moved;
    me.skip(moved);
    auto* header = reinterpret_cast<msghdr*>(me.header_);
    header->msg_iov = reinterpret_cast<iovec*>(me.pieces_);
    header->msg_iovlen = me.count_;
    return true;
}

receive_operation::receive_operation(int fd) noexcept : operation(operation_kind::receive_lease) {
    this->fd = fd;
    this->length = rt::lease_pool::buffer_bytes;
}

receive_operation::~receive_operation() { static_cast<void>(take()); }

/// The lease, once; an empty one returns the buffer, if there is one.
io::lease receive_operation::take() noexcept {
    auto size = static_cast<std::size_t>(outcome > 0 ? outcome : 0);
    return io::lease(static_cast<rt::lease_pool*>(extra), static_cast<std::byte*>(std::exchange(address, nullptr)), size);
}

io::lease receive_operation::await_resume() { return result().value(); }

peal::result<io::lease> receive_operation::result() {
    io::lease taken = take();
    if (outcome < 0) return failure();
    return taken;
}

}  // namespace detail

detail::receive_operation stream_socket::receive() noexcept { return detail::receive_operation(socket_.get()); }

size_operation stream_socket::read(std::span<std::byte> buffer) noexcept {
    return size_operation(operation_kind::receive, socket_.get(), buffer.data(), buffer.size(), 0, no_offset, rounds::one);
}
size_operation stream_socket::read_exactly(std::span<std::byte> buffer) noexcept {
    return size_operation(operation_kind::receive, socket_.get(), buffer.data(), buffer.size(), MSG_WAITALL, no_offset,
                          rounds::all);
}
size_operation stream_socket::write(std::span<const std::byte> bytes) noexcept {
    return size_operation(operation_kind::send, socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL, no_offset, rounds::one);
}
size_operation stream_socket::write_all(std::span<const std::byte> bytes) noexcept {
    const bool copies = zero_copy_from_ == 0 || bytes.size() < zero_copy_from_;
    return size_operation(copies ? operation_kind::send : operation_kind::send_zero_copy, socket_.get(), bytes.data(), bytes.size(),
                          MSG_NOSIGNAL | MSG_WAITALL, no_offset, rounds::all);
}

detail::vectored_operation stream_socket::read(std::span<const io::mutable_buffer> pieces) noexcept {
    return detail::vectored_operation(operation_kind::receive_many, socket_.get(), const_cast<io::mutable_buffer*>(pieces.data()),
                                      pieces.size(), detail::vectored_operation::rounds::one);
}
detail::vectored_operation stream_socket::write(std::span<const io::const_buffer> pieces) noexcept {
    return detail::vectored_operation(operation_kind::send_many, socket_.get(), const_cast<io::const_buffer*>(pieces.data()),
                                      pieces.size(), detail::vectored_operation::rounds::one);
}
detail::vectored_operation stream_socket::write_all(std::span<io::const_buffer> pieces) noexcept {
    return detail::vectored_operation(operation_kind::send_many, socket_.get(), pieces.data(), pieces.size(),
                                      detail::vectored_operation::rounds::all);
}

void stream_socket::shutdown_write() {
    if (rt::shutdown_socket_writing(socket_.get()) != 0) rt::throw_errno("shutdown");
}
void stream_socket::shutdown_read() {
    if (rt::shutdown_socket_reading(socket_.get()) != 0) rt::throw_errno("shutdown");
}

void stream_socket::set_receive_buffer(std::size_t bytes) { rt::set_receive_buffer(socket_.get(), bytes); }
void stream_socket::set_send_buffer(std::size_t bytes) { rt::set_send_buffer(socket_.get(), bytes); }

}  // namespace peal::net
