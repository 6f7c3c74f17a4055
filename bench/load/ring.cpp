// SPDX-License-Identifier: MIT

#include "ring.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <poll.h>
#include <sys/mman.h>
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
    : buffer_bytes_(std::clamp<std::size_t>(std::bit_ceil(message_bytes), 2048, 64 * 1024)),
      buffer_count_(static_cast<unsigned>(pool_bytes / buffer_bytes_)),
      buffers_(std::make_unique<unsigned char[]>(pool_bytes))
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

    const std::size_t table_bytes = buffer_count_ * sizeof(io_uring_buf);
    void* table = mmap(nullptr, table_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (table == MAP_FAILED)
        throw failure_from_errno("mmap", errno);
    free_buffers_ = static_cast<io_uring_buf_ring*>(table);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<std::uint64_t>(table);
    registration.ring_entries = buffer_count_;
    registration.bgid = buffer_group;
    if (const int refused = io_uring_register_buf_ring(&ring_, &registration, 0); refused != 0)
        throw failure_from_errno("buffers for io_uring (needs Linux 6.0)", -refused);
    io_uring_buf_ring_init(free_buffers_);
    for (unsigned id = 0; id < buffer_count_; ++id)
        give_back(id);
}

ring::~ring()
{
    io_uring_queue_exit(&ring_);
    munmap(free_buffers_, buffer_count_ * sizeof(io_uring_buf));
}

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
    if ((completion->flags & IORING_CQE_F_BUFFER) != 0) {
        lent_ = completion->flags >> IORING_CQE_BUFFER_SHIFT;
        next.data = &buffers_[*lent_ * buffer_bytes_];
    }
    io_uring_cqe_seen(&ring_, completion);
    return true;
}

void ring::give_back(unsigned id) noexcept
{
    io_uring_buf_ring_add(free_buffers_, &buffers_[id * buffer_bytes_], static_cast<unsigned>(buffer_bytes_),
        static_cast<unsigned short>(id), io_uring_buf_ring_mask(buffer_count_), 0);
    io_uring_buf_ring_advance(free_buffers_, 1);
}

} // namespace load
