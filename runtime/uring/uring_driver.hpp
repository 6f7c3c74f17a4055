// SPDX-License-Identifier: MIT
#pragma once

// uring_driver: the driver on an io_uring. Life of an operation, lock discipline and parking: runtime/task/driver.hpp.
//
// Everything below `lock_` is guarded by it.
//
// user_data of an entry: address of the operation, with the low bits telling what answered. An operation whose cancel request
// is on the ring is not resumed before that request is answered too, so no answer meets another operation at the same address.

#include <chrono>
#include <optional>

#include <peal/detail/spin_lock.hpp>

#include "../task/driver.hpp"
#include "../task/handover.hpp"
#include "../task/lease_pool.hpp"
#include "../task/wake_event.hpp"
#include "ring.hpp"

namespace peal::rt {

class uring_driver final : public driver {
  public:
    /// On the worker's thread. Throws std::system_error.
    uring_driver(unsigned ring_entries, ring::use ring_use, blocking_pool& elsewhere);

    void reap(detail::work_list& ready) noexcept override;
    void poll(detail::work_list& ready) noexcept override;
    bool poll_for_owner(detail::work_list& ready, std::size_t room) noexcept override;
    bool has_news() const noexcept override { return has_messages() || ring_.has_completion() || ring_.kernel_has_more(); }
    std::chrono::nanoseconds spin_limit() const noexcept override { return std::chrono::microseconds(50); }
    void close(int fd) noexcept override;
    const char* name() const noexcept override { return "uring"; }
    time_point now() const noexcept override { return std::chrono::steady_clock::now(); }
    rough_time rough_now() const noexcept override;

  private:
    static constexpr std::uint64_t tag_mask = 7;
    static constexpr std::uint64_t tag_operation = 0;
    static constexpr std::uint64_t tag_cancel = 1;             // the answer to a cancel request
    static constexpr std::uint64_t wake_user_data = 2;
    static constexpr std::uint64_t tag_close = 3;              // a detached close that failed, with its descriptor

    void do_submit(detail::operation& operation) noexcept override;
    void do_wait(detail::work_list& ready, time_point deadline) noexcept override;
    void interrupt() noexcept override { wake_.raise(); }
    void cancel_in_flight(detail::operation& operation) noexcept override;
    void resubmit(detail::operation& operation) noexcept override { begin(operation); }
    void close_under_lock(int fd) noexcept override;

    void hand_over() noexcept;
    void begin(detail::operation& operation) noexcept;
    void enter(bool wait, std::optional<std::chrono::nanoseconds> timeout) noexcept;
    io_uring_sqe& put_on_ring(detail::operation& operation) noexcept;
    io_uring_sqe& get_entry() noexcept;
    void poll_under_lock(detail::work_list& ready, std::size_t room) noexcept;
    void reap_completions(detail::work_list& ready, std::size_t room) noexcept;
    void prepare_lending() noexcept;
    bool lend_own(detail::operation& operation) noexcept;
    void feed(detail::work_list& ready) noexcept;
    void take_filled(detail::operation& operation, std::uint16_t index, std::int32_t result) noexcept;
    bool take_arrival(arrivals& operation, std::int32_t result, std::uint32_t flags, detail::work_list& ready) noexcept;
    void arm_wake() noexcept;

    handover submitted_;

    detail::spin_lock lock_;
    lease_pool::share lent_;  // `taken`: buffers that the kernel may fill. Goes after the ring, which lets go of them
    ring ring_;
    bool wake_armed_ = false;
    bool has_multishot_ = true;  // until a receive is refused with it and not without it: a bound for one is known from Linux 6.17 on
    wake_event wake_;

    // Buffers that the kernel fills for operations that bring none (detail::is_lent). A kernel that cannot choose gets one for each operation.
    enum class lending : unsigned char { not_yet, by_the_kernel, by_operation };
    lending lending_ = lending::not_yet;
    detail::work_list without_buffer_;   // operations for which it had none
    detail::atomic<bool> lacks_buffers_{false};  // there were some after the last round; relaxed: a hint for the owner
};

}  // namespace peal::rt
