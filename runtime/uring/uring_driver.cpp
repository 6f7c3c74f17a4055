// SPDX-License-Identifier: MIT

#include "uring_driver.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>
#include <new>
#include <system_error>
#include <utility>

#include "../base/membarrier.hpp"
#include "../base/sanitizer.hpp"
#include "../task/arrivals.hpp"
#include "../task/faults.hpp"
#include "../task/perform.hpp"
#include "submission.hpp"

namespace peal::rt {

namespace {

/// One piece of memory that the kernel writes to.
bool is_filled(detail::operation_kind kind) noexcept {
    using enum detail::operation_kind;
    return kind == receive || is_lent(kind) || kind == read;
}

/// A kernel thread that was interrupted in a system call says so in the kernel's own words, which programs never see otherwise (ERESTARTSYS to
/// ERESTART_RESTARTBLOCK; an openat of a FIFO that is canceled, on Linux 6.18).
bool is_interruption(std::int32_t result) noexcept { return result <= -512 && result >= -516; }

bool is_pausing(detail::operation& operation) noexcept {
    return operation.kind == detail::operation_kind::receive_leases && static_cast<arrivals&>(operation).is_pausing();
}

/// Of a request with several completions, the first one is the answer, and the last one the end: until then the buffer of a zero-copy send, say, is the
/// kernel's. False: more is to come.
bool is_last(detail::operation& operation, std::int32_t& result, std::uint32_t flags) noexcept {
    const bool has_more = (flags & IORING_CQE_F_MORE) != 0;
    if (!std::exchange(operation.has_more, has_more)) {
        if (operation.kind == detail::operation_kind::raw) operation.flags = flags;
        if (!has_more) return true;
        operation.outcome = result;
    }
    result = operation.outcome;
    return !has_more;
}

}  // namespace

uring_driver::uring_driver(unsigned ring_entries, ring::use ring_use, blocking_pool& elsewhere)
    : driver(elsewhere), ring_(ring_entries, ring_use) {
    try_first();
}

driver::rough_time uring_driver::rough_now() const noexcept {
    // The kernel's time of its last tick, and the length of a tick.
    static const std::chrono::nanoseconds tick = [] {
        timespec resolution{};
        return ::clock_getres(CLOCK_MONOTONIC_COARSE, &resolution) == 0
                   ? std::chrono::seconds(resolution.tv_sec) + std::chrono::nanoseconds(resolution.tv_nsec)
                   : std::chrono::nanoseconds(-1);
    }();
    timespec last{};
    if (tick.count() < 0 || ::clock_gettime(CLOCK_MONOTONIC_COARSE, &last) != 0) return driver::rough_now();
    return {time_point(std::chrono::seconds(last.tv_sec) + std::chrono::nanoseconds(last.tv_nsec)), tick};
}

// ---- the owner submits --------------------------------------------------------------------------------------------------------

void uring_driver::do_submit(detail::operation& operation) noexcept {
    while (!submitted_.try_push(operation)) {
        // A round with more operations than slots: hand them over now. What is ready stays on the ring for the next poll.
        std::lock_guard guard(lock_);
        hand_over();
    }
}

void uring_driver::close(int fd) noexcept {
    std::lock_guard guard(lock_);
    close_under_lock(fd);
}

// ---- under the lock -----------------------------------------------------------------------------------------------------------

void uring_driver::enter(bool wait, std::optional<std::chrono::nanoseconds> timeout) noexcept {
    count_enter();
    if (ring_.is_full()) [[unlikely]] count_full();
    ring_.enter(wait, timeout);
}

io_uring_sqe& uring_driver::get_entry() noexcept {
    for (;;) {
        if (io_uring_sqe* entry = ring_.try_get_entry()) return *entry;
        // Full. The kernel takes all of them, unless completions must be reaped first: those it keeps for us, none is lost.
        enter(false, std::nullopt);
    }
}

io_uring_sqe& uring_driver::put_on_ring(detail::operation& operation) noexcept {
    io_uring_sqe& entry = get_entry();
    if (operation.kind == detail::operation_kind::receive_leases && !has_multishot_) operation.flags = plain;
    if (operation.injected == 0) {
        prepare(entry, operation);
    } else {
        entry.opcode = IORING_OP_NOP;
    }
    entry.user_data = reinterpret_cast<std::uint64_t>(&operation) | tag_operation;
    operation.in_kernel = true;
    ++operation.outstanding;
    return entry;
}

void uring_driver::hand_over() noexcept {
    submitted_.take_all([this](detail::operation& operation) { begin(operation); });
}

void uring_driver::begin(detail::operation& operation) noexcept {
    if (operation.kind == detail::operation_kind::send_zero_copy && !ring_.supports(IORING_OP_SEND_ZC)) {
        operation.kind = detail::operation_kind::send;  // Linux before 6.0
    }
    operation.injected = fault_of(operation);
    if (is_lent(operation.kind) && operation.address == nullptr) {
        if (lending_ == lending::not_yet) prepare_lending();
        if (lending_ != lending::by_the_kernel && !lend_own(operation)) return;
    }
    if (!ring_.supports(opcode_of(operation.kind)) && can_perform(operation.kind)) {
        perform_elsewhere(operation);
    } else {
        put_on_ring(operation);
        if (operation.cancel_requested) cancel_in_flight(operation);  // the request overtook the hand-over
    }
}

// ---- buffers that are lent ------------------------------------------------------------------------------------------------------

void uring_driver::prepare_lending() noexcept {
    auto* made = new (std::nothrow) lease_pool(*this);
    if (made == nullptr) return;  // the next one tries again
    lending_ = lending::by_operation;
    if (!ring_.make_buffer_ring(lease_pool::limit)) {
        made->leave(0);
        return;
    }
    lent_.pool = made;
    note_lending(*made);
    lending_ = lending::by_the_kernel;
}

/// False: there is no memory, and it has been told.
bool uring_driver::lend_own(detail::operation& operation) noexcept {
    operation.address = ::operator new(lease_pool::buffer_bytes, std::nothrow);
    if (operation.address != nullptr) return true;
    ++operation.outstanding;
    operation.outcome = -ENOMEM;
    completed_elsewhere(operation);
    return false;
}

/// What is free goes to the kernel; and more, if it had too few. Operations for which it had none found something in their sockets: as many as there are
/// buffers with it now are handed over again, in their order, and take them at once. Buffers of before count, too: of those that were handed over then some have
/// not taken theirs (the peer had closed), and what waits now may have been refused before these came. Some may lie in completions that were not read yet: then
/// it is refused again, after those. When this returns and some still wait, there is such a completion, or the next lease that comes back wakes this driver.
void uring_driver::feed(detail::work_list& ready) noexcept {
    if (lent_.pool == nullptr || (without_buffer_.empty() && !lent_.pool->has_free())) return;
    detail::work_list waiting;
    while (!without_buffer_.empty()) {
        auto& operation = static_cast<detail::operation&>(without_buffer_.pop_front());
        if (operation.cancel_requested) {
            ++operation.outstanding;
            completed(operation, -ECANCELED, ready);
        } else {
            waiting.push_back(operation);
        }
    }
    std::array<std::uint16_t, lease_pool::at_once> taken;
    std::size_t lacking = waiting.size();
    auto wish_again = [&lacking] { return lacking != 0 ? lease_pool::wish::some : lease_pool::wish::what_is_free; };
    for (auto wish = lacking != 0 ? lease_pool::wish::more : lease_pool::wish::what_is_free;; wish = wish_again()) {
        const unsigned count = lent_.pool->take(wish, taken.data(), lease_pool::at_once);
        if (count == 0) break;
        for (unsigned i = 0; i < count; ++i) ring_.add_buffer(lent_.pool->address_of(taken[i]), lease_pool::buffer_bytes, taken[i]);
        ring_.publish_buffers();
        lent_.taken += count;
        lacking -= std::min<std::size_t>(lacking, count);
    }
    for (unsigned begun = 0; begun < lent_.taken && !waiting.empty(); ++begun) {
        put_on_ring(static_cast<detail::operation&>(waiting.pop_front())).ioprio &= static_cast<std::uint16_t>(~IORING_RECVSEND_POLL_FIRST);
    }
    if (waiting.empty() || !lent_.pool->has_none()) return without_buffer_.append(waiting);
    while (!waiting.empty()) {  // no lease is out that could come back
        auto& operation = static_cast<detail::operation&>(waiting.pop_front());
        ++operation.outstanding;
        completed(operation, -ENOMEM, ready);
    }
}

// ---- completions ----------------------------------------------------------------------------------------------------------------

void uring_driver::close_under_lock(int fd) noexcept {
    // Detached: no operation, and no completion unless it fails.
    io_uring_sqe& entry = get_entry();
    entry.opcode = IORING_OP_CLOSE;
    entry.fd = fd;
    entry.flags = IOSQE_CQE_SKIP_SUCCESS;
    entry.user_data = std::uint64_t{static_cast<unsigned>(fd)} << 3 | tag_close;
}

void uring_driver::cancel_in_flight(detail::operation& operation) noexcept {
    io_uring_sqe& entry = get_entry();
    entry.opcode = IORING_OP_ASYNC_CANCEL;
    entry.addr = reinterpret_cast<std::uint64_t>(&operation) | tag_operation;
    entry.user_data = reinterpret_cast<std::uint64_t>(&operation) | tag_cancel;
    ++operation.outstanding;
}

void uring_driver::take_filled(detail::operation& operation, std::uint16_t index, std::int32_t result) noexcept {
    --lent_.taken;
    count_lent();
    std::byte* buffer = lent_.pool->address_of(index);
    if (result <= 0) return lent_.pool->give_back(buffer);
    unpoison(buffer, lease_pool::buffer_bytes);
    tsan_written(buffer, static_cast<std::size_t>(result));
    operation.address = buffer;
    operation.extra = lent_.pool;
}

/// One that goes on has brought something, or could not begin. False: it has ended, as others do.
bool uring_driver::take_arrival(arrivals& operation, std::int32_t result, std::uint32_t flags, detail::work_list& ready) noexcept {
    if ((flags & IORING_CQE_F_MORE) != 0) {
        take_filled(operation, ring::buffer_of(flags), result);
        operation.outcome = result;
        if (!operation.arrived(ready) && operation.must_pause()) cancel_in_flight(operation);
        return true;
    }
    // Is it this socket, or does the kernel know of no such requests? The plain one tells.
    if (result == -EINVAL && operation.injected == 0 && operation.address == nullptr && operation.flags != plain) {
        --operation.outstanding;
        operation.flags = plain;
        put_on_ring(operation);
        if (operation.cancel_requested) cancel_in_flight(operation);  // the request was answered with the other one
        return true;
    }
    if (std::exchange(operation.flags, 0u) == plain && result >= 0) has_multishot_ = false;
    return false;
}

void uring_driver::reap_completions(detail::work_list& ready, std::size_t room) noexcept {
    auto use = [this, &ready](std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
        if ((user_data & tag_mask) == tag_close) {
            // -ECANCELED: no thread could be made for it, nothing was closed. After other errors the descriptor is gone (man 2 close).
            if (result == -ECANCELED) ::close(static_cast<int>(user_data >> 3));
            return;
        }
        if (user_data == wake_user_data) {
            if ((flags & IORING_CQE_F_MORE) == 0) wake_armed_ = false;  // ended by a full completion queue: armed again before the next wait
            return;
        }
        auto& operation = *reinterpret_cast<detail::operation*>(user_data & ~tag_mask);
        if ((user_data & tag_mask) == tag_operation) {
            note_served(operation);
            if (operation.kind == detail::operation_kind::receive_leases) {
                if (take_arrival(static_cast<arrivals&>(operation), result, flags, ready)) return;
            } else if (!is_last(operation, result, flags)) {
                return;
            }
        }
        if ((user_data & tag_mask) == tag_cancel) {
            if (result < 0 && operation.kind == detail::operation_kind::receive_leases) static_cast<arrivals&>(operation).pause_missed();
            cancel_answered(operation, ready);
        } else {
            if (is_interruption(result)) result = -EINTR;
            if (operation.injected != 0) [[unlikely]] result = std::exchange(operation.injected, 0);
            if (result > 0 && is_filled(operation.kind) && operation.address != nullptr) {
                tsan_written(operation.address, static_cast<std::size_t>(result));
            }
            if ((flags & IORING_CQE_F_BUFFER) != 0) {
                take_filled(operation, ring::buffer_of(flags), result);
            } else if (result == -ENOBUFS && is_lent(operation.kind) && operation.address == nullptr) {
                if (!operation.cancel_requested && !is_pausing(operation)) {
                    --operation.outstanding;
                    operation.in_kernel = false;
                    without_buffer_.push_back(operation);
                    count_refused();
                    return;
                }
                result = -ECANCELED;
            }
            completed(operation, result, ready);
        }
    };
    ring_.reap(use, [&ready, room] { return ready.size() < room; });
    lacks_buffers_.store(!without_buffer_.empty(), std::memory_order_relaxed);
}

void uring_driver::arm_wake() noexcept {
    if (wake_armed_) return;
    // Edge-triggered and never read: each write gives one completion, and costs nobody a read.
    io_uring_sqe& entry = get_entry();
    entry.opcode = IORING_OP_POLL_ADD;
    entry.fd = wake_.native_handle();
    entry.poll32_events = POLLIN | static_cast<unsigned>(EPOLLET);
    entry.len = IORING_POLL_ADD_MULTI;
    entry.user_data = wake_user_data;
    wake_armed_ = true;
}

// ---- rounds -------------------------------------------------------------------------------------------------------------------

void uring_driver::reap(detail::work_list& ready) noexcept {
    if (!has_news() && !lacks_buffers_.load(std::memory_order_relaxed)) return;
    std::lock_guard guard(lock_);
    if (has_messages() || ring_.kernel_has_more() || !without_buffer_.empty()) {
        poll_under_lock(ready, room());
    } else if (ring_.has_completion()) {
        reap_completions(ready, room());
    }
}

void uring_driver::poll(detail::work_list& ready) noexcept {
    std::lock_guard guard(lock_);
    poll_under_lock(ready, room());
}

bool uring_driver::poll_for_owner(detail::work_list& ready, std::size_t room) noexcept {
    if (ring_.is_exclusive() || !lock_.try_lock()) return false;
    std::lock_guard guard(lock_, std::adopt_lock);
    if (ring_.is_cooperative()) interrupt_all_threads();
    poll_under_lock(ready, room);
    return true;
}

void uring_driver::poll_under_lock(detail::work_list& ready, std::size_t room) noexcept {
    hand_over();
    take_messages(ready);
    feed(ready);
    if (ring_.unsubmitted() != 0 || ring_.kernel_has_more()) enter(false, std::nullopt);
    reap_completions(ready, room);
}

void uring_driver::do_wait(detail::work_list& ready, time_point deadline) noexcept {
    std::lock_guard guard(lock_);
    hand_over();
    take_messages(ready);
    feed(ready);
    arm_wake();
    bool sleep = ready.empty() && !ring_.has_completion() && parked();  // woken, and who stood in until now has taken the event: no sleep
    std::optional<std::chrono::nanoseconds> timeout;
    if (sleep && deadline != time_point::max()) {
        timeout = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(deadline - now()));
        if (timeout->count() == 0) sleep = false;
    }
    if (sleep || ring_.unsubmitted() != 0 || ring_.kernel_has_more()) enter(sleep, timeout);
    reap_completions(ready, room());
}

}  // namespace peal::rt
