// SPDX-License-Identifier: MIT

#include "ring.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <poll.h>
#include <sys/socket.h>

#include "failure.hpp"

namespace load {

namespace {

constexpr unsigned entries = 1024;
constexpr std::size_t pool_bytes = 4 << 20; // of receive buffers: about a second-level cache
constexpr int buffer_group = 1;

std::uint64_t word(ring::event_kind kind, std::size_t index) noexcept
{
    return std::uint64_t{index} << 2 | static_cast<unsigned>(kind);
}

} // namespace

ring::ring(std::size_t message_bytes)
{
    int error = -EINVAL;
    for (const unsigned flags : {IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, IORING_SETUP_COOP_TASKRUN, 0u}) {
        io_uring_params parameters{};
        parameters.flags = flags | IORING_SETUP_CQSIZE;
        parameters.cq_entries = 16 * entries;
        error = io_uring_queue_init_params(entries, &ring_, &parameters);
        if (error != -EINVAL)
            break;
    }
    if (error != 0)
        throw failure_from_errno("io_uring_setup", -error);

    const std::size_t buffer_bytes = std::clamp<std::size_t>(std::bit_ceil(message_bytes), 2048, 64 * 1024);
    buffers_.emplace(ring_, buffer_group, static_cast<unsigned>(pool_bytes / buffer_bytes), buffer_bytes);
}

ring::~ring() { io_uring_queue_exit(&ring_); }

io_uring_sqe& ring::entry()
{
    while (true) {
        if (io_uring_sqe* free = io_uring_get_sqe(&ring_))
            return *free;
        enter(0);
    }
}

void ring::arm_receive(int socket, std::size_t index)
{
    io_uring_sqe& receive = entry();
    io_uring_prep_recv_multishot(&receive, socket, nullptr, 0, 0);
    receive.ioprio |= IORING_RECVSEND_POLL_FIRST;
    receive.flags |= IOSQE_BUFFER_SELECT;
    receive.buf_group = buffer_group;
    receive.user_data = word(event_kind::receive, index);
}

void ring::arm_poll(int socket, std::size_t index)
{
    io_uring_sqe& poll = entry();
    io_uring_prep_poll_add(&poll, socket, POLLIN);
    poll.user_data = word(event_kind::poll, index);
}

void ring::send(int socket, std::size_t index, const unsigned char* data, std::size_t bytes, bool silent)
{
    io_uring_sqe& send = entry();
    io_uring_prep_send(&send, socket, data, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    if (silent)
        send.flags |= IOSQE_CQE_SKIP_SUCCESS;
    send.user_data = word(event_kind::send, index);
}

void ring::enter(std::int64_t wait_nanoseconds)
{
    int result = 0;
    if (wait_nanoseconds > 0) {
        __kernel_timespec timeout{wait_nanoseconds / 1'000'000'000, wait_nanoseconds % 1'000'000'000};
        io_uring_cqe* ignored = nullptr;
        result = io_uring_submit_and_wait_timeout(&ring_, &ignored, 1, &timeout, nullptr);
    } else {
        result = io_uring_submit_and_get_events(&ring_);
    }
    if (result < 0 && result != -ETIME && result != -EINTR && result != -EBUSY && result != -EAGAIN)
        throw failure_from_errno("io_uring_enter", -result);
}

bool ring::take(event& next)
{
    io_uring_cqe* completion = nullptr;
    if (io_uring_peek_cqe(&ring_, &completion) != 0)
        return false;
    next.kind = static_cast<event_kind>(completion->user_data & 3);
    next.index = completion->user_data >> 2;
    next.result = completion->res;
    next.goes_on = (completion->flags & IORING_CQE_F_MORE) != 0;
    next.data = nullptr;
    if (bench::buffer_ring::names_buffer(completion->flags)) {
        lent_ = bench::buffer_ring::id(completion->flags);
        next.data = buffers_->data(*lent_);
    }
    io_uring_cqe_seen(&ring_, completion);
    return true;
}

} // namespace load
