// SPDX-License-Identifier: MIT

#include "ring.hpp"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "../base/own_descriptor.hpp"
#include "../base/pages.hpp"
#include "../base/sanitizer.hpp"
#include "../base/system_file.hpp"

namespace peal::rt {
namespace {

// Newer than the oldest supported headers.
constexpr std::uint32_t enter_no_iowait = 1u << 7;     // IORING_ENTER_NO_IOWAIT, Linux 6.15
constexpr std::uint32_t feature_no_iowait = 1u << 17;  // IORING_FEAT_NO_IOWAIT
constexpr unsigned smallest_ring = 8;

constexpr std::size_t buffer_ring_bytes(unsigned entries) noexcept {
    constexpr std::size_t page = 4096;
    return std::max(page, entries * sizeof(io_uring_buf));
}

std::string kernel_release() {
    utsname name{};
    return ::uname(&name) == 0 ? name.release : "unknown";
}

/// Gives back a ring. liburing unmaps its memory behind the back of ThreadSanitizer, which would take the next ring at the same
/// address for the same memory: the kernel orders the two, and this word tells it so.
char unmapped_before_mapped;

void unmap(io_uring& made) noexcept {
    tsan_release(&unmapped_before_mapped);
    ::io_uring_queue_exit(&made);
}

/// 0, or errno; then the ring is gone.
int keep_off_standard_streams(io_uring& made) noexcept {
    made.ring_fd = own_descriptor(made.ring_fd);
    made.enter_ring_fd = made.ring_fd;
    if (made.ring_fd >= 0) return 0;
    const int error_number = errno;
    unmap(made);
    return error_number;
}

/// What an operator has to know: what was tried, what the system said, what to set.
[[noreturn]] void fail(const std::string& tried, int error_number) {
    std::string what = "io_uring: " + tried + " failed on Linux " + kernel_release() + ". ";
    switch (error_number) {
        case EPERM: {
            char disabled = (read_system_file("/proc/sys/kernel/io_uring_disabled") + '0').front();
            if (disabled == '1' || disabled == '2') {
                what += std::string("The system forbids io_uring (kernel.io_uring_disabled = ") + disabled +
                        "): set `sysctl kernel.io_uring_disabled=0`";
                if (disabled == '1') what += ", or add this user's group as kernel.io_uring_group";
            } else {
                what += "A seccomp filter forbids io_uring, as the default profiles of Docker and containerd do: allow "
                        "io_uring_setup, io_uring_enter and io_uring_register in the profile, or start the container with "
                        "--security-opt seccomp=unconfined";
            }
            break;
        }
        case ENOSYS:
            what += "This kernel has no io_uring (it needs Linux 5.19 or newer), or a sandbox such as gVisor hides it";
            break;
        case ENOMEM: {
            rlimit limit{};
            ::getrlimit(RLIMIT_MEMLOCK, &limit);
            what += "Memory for rings counts against the limit of locked memory, per user over all processes; it is " +
                    std::to_string(limit.rlim_cur) +
                    " bytes here, and even the smallest ring did not fit: raise it (`ulimit -l`, LimitMEMLOCK= of a service, "
                    "--ulimit memlock= of a container), or use fewer workers";
            break;
        }
        case EMFILE:
        case ENFILE:
            what += "No descriptor is free: raise `ulimit -n`, or use fewer workers";
            break;
        default:
            what += "Linux 5.19 or newer is needed; see `man 2 io_uring_setup` for the error";
    }
    throw std::system_error(error_number, std::system_category(), what);
}

}  // namespace

ring::ring(unsigned entries, use use) {
    unsigned size = std::clamp(entries, smallest_ring, 4096u);
    // Best first; a kernel that does not know a flag says EINVAL.
    constexpr unsigned flag_sets[] = {
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_SUBMIT_ALL,
        0,
    };
    unsigned flag_set = use == use::exclusive ? 0 : 1;
    unsigned patience = 3;  // ENOMEM passes when another process of this user has just given rings back
    for (;;) {
        io_uring_params parameters{};
        parameters.flags = flag_sets[flag_set] | IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE;
        parameters.cq_entries = size * 16;  // when it is full, requests that go on end: 1000 connections bring more than 1024 in a round
        int error_number = -::io_uring_queue_init_params(size, &ring_, &parameters);
        if (error_number == 0) {
            error_number = keep_off_standard_streams(ring_);
            if (error_number != 0) fail("giving a ring a descriptor above 2", error_number);
            tsan_acquire(&unmapped_before_mapped);
            if (parameters.features & feature_no_iowait) wait_flags_ = enter_no_iowait;
            if ((parameters.features & IORING_FEAT_EXT_ARG) == 0) {
                unmap(ring_);
                fail("waiting with a deadline (IORING_FEAT_EXT_ARG)", ENOSYS);
            }
            break;
        }
        if (error_number == EINVAL && flag_set + 1 < std::size(flag_sets)) {
            ++flag_set;
        } else if (error_number == ENOMEM && size > smallest_ring) {
            size /= 2;
        } else if (error_number == ENOMEM && patience != 0) {
            --patience;
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
        } else {
            fail("making a ring of " + std::to_string(size) + " entries", error_number);
        }
    }
    try {
        probe();
        check_round_trip();
    } catch (...) {
        unmap(ring_);
        throw;
    }
}

ring::~ring() {
    // The registered index belongs to the thread that made the ring and went with it. liburing would unregister the same index of
    // the calling thread, which may be another ring's.
    ring_.int_flags &= static_cast<__u8>(~1u);  // INT_FLAG_REG_RING
    ring_.enter_ring_fd = ring_.ring_fd;
    unmap(ring_);
    if (buffers_ != nullptr) free_pages(buffers_, buffer_ring_bytes(buffer_entries_));
}

bool ring::make_buffer_ring(unsigned entries) noexcept {
    void* memory = allocate_pages(buffer_ring_bytes(entries));
    if (memory == nullptr) return false;
    io_uring_buf_reg registered{};
    registered.ring_addr = reinterpret_cast<std::uint64_t>(memory);
    registered.ring_entries = entries;
    // Not by liburing, which may name the ring by the index that the owner registered: that is another ring for who stands in for it.
    if (::syscall(SYS_io_uring_register, ring_.ring_fd, IORING_REGISTER_PBUF_RING, &registered, 1) != 0) {
        free_pages(memory, buffer_ring_bytes(entries));
        return false;
    }
    buffers_ = static_cast<io_uring_buf_ring*>(memory);
    ::io_uring_buf_ring_init(buffers_);
    buffer_entries_ = entries;
    return true;
}

void ring::add_buffer(void* buffer, std::size_t bytes, std::uint16_t id) noexcept {
    int mask = static_cast<int>(buffer_entries_) - 1;
    ::io_uring_buf_ring_add(buffers_, buffer, static_cast<unsigned>(bytes), id, mask, static_cast<int>(unpublished_++));
}

void ring::publish_buffers() noexcept { ::io_uring_buf_ring_advance(buffers_, static_cast<int>(std::exchange(unpublished_, 0u))); }

void ring::probe() {
    io_uring_probe* found = ::io_uring_get_probe_ring(&ring_);
    if (found == nullptr) fail("asking for the supported operations (io_uring_register)", errno == 0 ? EPERM : errno);
    for (unsigned i = 0; i < found->ops_len && i < 64; ++i) {
        if (found->ops[i].flags & IO_URING_OP_SUPPORTED) opcodes_ |= std::uint64_t{1} << found->ops[i].op;
    }
    ::io_uring_free_probe(found);
    // Unlimited by default. Threads are made when all others wait: for disks mostly, but opening a FIFO waits for its other end, and may not
    // keep others from their files too soon. Guesses, not measured.
    unsigned limits[2] = {16, 16};
    ::io_uring_register_iowq_max_workers(&ring_, limits);
    // Saves a lookup per enter; the index belongs to the registering thread. Refused by old kernels: no harm.
    registered_ = ::io_uring_register_ring_fd(&ring_) == 1;
}

void ring::check_round_trip() {
    // A filter may allow the set-up and refuse to enter.
    io_uring_sqe* entry = try_get_entry();
    ::io_uring_prep_nop(entry);
    int submitted = ::io_uring_submit_and_wait(&ring_, 1);
    if (submitted < 0) fail("entering a ring (io_uring_enter)", -submitted);
    reap([](std::uint64_t, std::int32_t, std::uint32_t) {}, [] { return true; });
}

io_uring_sqe* ring::try_get_entry() noexcept {
    io_uring_sqe* entry = ::io_uring_get_sqe(&ring_);
    if (entry != nullptr) *entry = io_uring_sqe{};
    return entry;
}

bool ring::kernel_has_more() const noexcept {
    unsigned flags = __atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED);  // a hint: enter() finds out
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

bool ring::is_full() const noexcept { return (__atomic_load_n(ring_.sq.kflags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0; }

bool ring::has_completion() const noexcept {
    return __atomic_load_n(ring_.cq.khead, __ATOMIC_RELAXED) != __atomic_load_n(ring_.cq.ktail, __ATOMIC_ACQUIRE);  // pairs with the kernel's release
}

void ring::enter(bool wait, std::optional<std::chrono::nanoseconds> timeout) noexcept {
    // Publishes the prepared entries, as io_uring_submit() does.
    auto& queue = ring_.sq;
    unsigned tail = *queue.ktail;
    while (queue.sqe_head != queue.sqe_tail) {
        queue.array[tail & queue.ring_mask] = queue.sqe_head & queue.ring_mask;
        ++tail;
        ++queue.sqe_head;
    }
    __atomic_store_n(queue.ktail, tail, __ATOMIC_RELEASE);  // pairs with the kernel's acquire: entries are filled

    const bool by_index = registered_ && ::pthread_equal(owner_, ::pthread_self());  // the index is known to the thread that registered it
    for (;;) {
        unsigned to_submit = tail - __atomic_load_n(queue.khead, __ATOMIC_ACQUIRE);
        unsigned flags = IORING_ENTER_GETEVENTS | (by_index ? IORING_ENTER_REGISTERED_RING : 0u);
        io_uring_getevents_arg argument{};
        __kernel_timespec limit{};
        void* argument_address = nullptr;
        std::size_t argument_bytes = _NSIG / 8;
        if (wait) {
            flags |= wait_flags_;
            if (timeout) {
                limit.tv_sec = timeout->count() / 1'000'000'000;
                limit.tv_nsec = timeout->count() % 1'000'000'000;
                argument.ts = reinterpret_cast<std::uint64_t>(&limit);
                flags |= IORING_ENTER_EXT_ARG;
                argument_address = &argument;
                argument_bytes = sizeof argument;
            }
        }
        int entered = static_cast<int>(::syscall(SYS_io_uring_enter, by_index ? ring_.enter_ring_fd : ring_.ring_fd, to_submit, wait ? 1u : 0u, flags,
                                                 argument_address, argument_bytes));
        int error_number = entered < 0 ? errno : 0;
        // EINTR, ETIME: the wait ended early; EBUSY: completions must be reaped first; EAGAIN: no memory for a request now. In all of
        // these the caller looks at the queue, and what was not submitted stays for the next time.
        if (error_number != 0 && error_number != EINTR && error_number != ETIME && error_number != EBUSY &&
            error_number != EAGAIN) {
            std::string what = "peal: io_uring_enter failed: " + std::system_category().message(error_number) + "\n";
            if (::write(2, what.data(), what.size()) < 0) {
            }
            ::abort();
        }
        // A short submit without an error: go on with the rest, without waiting for what that may bring.
        if (error_number == 0 && static_cast<unsigned>(entered) < to_submit && entered > 0) {
            wait = false;
            continue;
        }
        return;
    }
}

}  // namespace peal::rt
