// SPDX-License-Identifier: MIT
#pragma once

// ring: an io_uring, its setup and its two queues. Knows the kernel, not operations.
//
// A shared ring is set up with COOP_TASKRUN and without SINGLE_ISSUER, so that another worker may submit and reap under the driver's
// lock; an exclusive one with SINGLE_ISSUER and DEFER_TASKRUN. On a kernel that refuses a flag, without that flag. The mapping and the
// entries are liburing's; io_uring_enter is called directly for the flags that the oldest supported liburing does not know. NO_SQARRAY
// is never set: liburing before 2.6 corrupts the queue with it.
//
// Threads: made by its owner; used under its driver's lock, by the owner or by another worker that stands in for it. What is marked so may be asked without
// the lock: it is a hint then.

#include <liburing.h>
#include <pthread.h>

#include <chrono>
#include <cstdint>
#include <optional>

namespace peal::rt {

class ring {
  public:
    enum class use : bool { shared, exclusive };
    /// Throws std::system_error that says what was tried, what the system answered, and what to set.
    explicit ring(unsigned entries, use use = use::shared);
    ring(const ring&) = delete;
    ring& operator=(const ring&) = delete;
    ~ring();

    /// A cleared entry, null when the submission queue is full: then enter().
    io_uring_sqe* try_get_entry() noexcept;
    unsigned unsubmitted() const noexcept {
        return ring_.sq.sqe_tail - __atomic_load_n(ring_.sq.khead, __ATOMIC_ACQUIRE);  // pairs with the kernel's release
    }

    /// Submits everything and runs what the kernel has put off; waits for one completion if `wait`, until `deadline`.
    /// A lost wait (signal, time) is no error: the caller looks at the queue and the clock.
    void enter(bool wait, std::optional<std::chrono::nanoseconds> timeout) noexcept;

    /// The kernel has completions that only an enter() brings into the queue. Without the lock, too, as the next.
    bool kernel_has_more() const noexcept;
    bool has_completion() const noexcept;
    /// The kernel keeps completions back: there is no room in the queue. A hint.
    bool is_full() const noexcept;

    /// Calls `use(user_data, result, flags)` for each completion in the queue, oldest first, while `goes_on()`. `use` must not touch this
    /// ring's queues except by try_get_entry() and enter().
    template <class Use, class GoesOn>
    void reap(Use use, GoesOn goes_on) noexcept {
        for (;;) {
            unsigned head = *ring_.cq.khead;
            unsigned tail = __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE);  // pairs with the kernel's release
            if (head == tail) return;
            for (; head != tail; ++head) {
                if (!goes_on()) return;
                const io_uring_cqe& entry = ring_.cq.cqes[head & ring_.cq.ring_mask];
                std::uint64_t user_data = entry.user_data;
                std::int32_t result = entry.res;
                std::uint32_t flags = entry.flags;
                __atomic_store_n(ring_.cq.khead, head + 1, __ATOMIC_RELEASE);  // the kernel may reuse the entry
                use(user_data, result, flags);
            }
        }
    }

    // ---- buffers that the kernel chooses from when something has come (group 0) ----------------------------------------------
    /// For so many buffers, a power of two. False: this kernel cannot, or has no memory.
    bool make_buffer_ring(unsigned entries) noexcept;
    /// Requires: there is room. Seen by the kernel after publish_buffers().
    void add_buffer(void* buffer, std::size_t bytes, std::uint16_t id) noexcept;
    void publish_buffers() noexcept;
    static std::uint16_t buffer_of(std::uint32_t completion_flags) noexcept {
        return static_cast<std::uint16_t>(completion_flags >> IORING_CQE_BUFFER_SHIFT);
    }

    bool supports(unsigned opcode) const noexcept { return opcode < 64 && (opcodes_ >> opcode & 1) != 0; }
    bool is_cooperative() const noexcept { return (ring_.flags & (IORING_SETUP_COOP_TASKRUN | IORING_SETUP_DEFER_TASKRUN)) != 0; }
    bool is_exclusive() const noexcept { return (ring_.flags & IORING_SETUP_SINGLE_ISSUER) != 0; }
    bool is_registered() const noexcept { return registered_; }
    bool sleeps_as_idle() const noexcept { return wait_flags_ != 0; }

  private:
    void probe();
    void check_round_trip();

    io_uring ring_{};
    io_uring_buf_ring* buffers_ = nullptr;
    unsigned buffer_entries_ = 0;
    unsigned unpublished_ = 0;
    std::uint64_t opcodes_ = 0;
    std::uint32_t wait_flags_ = 0;
    bool registered_ = false;  // enter_ring_fd is an index that the owner's thread registered
    const pthread_t owner_ = ::pthread_self();
};

}  // namespace peal::rt
