// SPDX-License-Identifier: MIT
#pragma once

// raw_operation: whatever the kernel's rings can do and peal has no name for.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <peal/detail/operation.hpp>

namespace peal::uring {

/// How the kernel answered: the two numbers of a completion.
class completion {
  public:
    completion(std::int32_t result, std::uint32_t flags) noexcept : result(result), flags(flags) {}
    std::int32_t result;  // not negative
    std::uint32_t flags;  // IORING_CQE_F_*
};

/// One entry for the submission queue of the worker that awaits, as the program has filled it, by <liburing.h> or by hand. In a plain function: g++ warns
/// of an io_uring_sqe in a coroutine.
///
///     peal::uring::raw_operation splice(int file, int pipe, unsigned bytes) {
///         io_uring_sqe entry{};
///         io_uring_prep_splice(&entry, file, 0, pipe, -1, bytes, 0);
///         return peal::uring::raw_operation(entry);
///     }
///     auto [moved, flags] = co_await splice(file, pipe, bytes);
///
/// user_data is peal's: what the entry says there is lost. An operation of several completions ends with the last one and gives the first one's
/// result and flags: so a zero-copy send gives its buffer back. One that goes on by itself (multishot) ends when it is stopped, and what
/// it found meanwhile is lost: descriptors among it leak.
///
/// Threads:      a worker.
/// Cancellation: asks the kernel to end it, and waits for its last word. Throws operation_canceled, unless it was done already.
/// Lifetime:     what the entry points to, until it ends. A descriptor of peal's may be named; it stays open until then.
/// Errors:       std::system_error with the errno and "io_uring operation"; operation_not_supported from a worker on epoll. The constructor throws std::invalid_argument about an entry that would concern others, or never be answered: one with
///               IOSQE_IO_LINK, IOSQE_IO_HARDLINK, IOSQE_IO_DRAIN, IOSQE_BUFFER_SELECT or IOSQE_CQE_SKIP_SUCCESS.
class [[nodiscard]] PEAL_EXPORT raw_operation : public peal::detail::operation {
  public:
    /// An io_uring_sqe. It is copied.
    template <class Entry>
        requires(sizeof(Entry) == 64 && std::is_trivially_copyable_v<Entry> && !std::is_pointer_v<Entry>)
    explicit raw_operation(const Entry& entry) : operation(peal::detail::operation_kind::raw) {
        copy(&entry);
    }

    completion await_resume() { return result().value(); }
    peal::result<completion> result();

  private:
    void copy(const void* entry);

    alignas(8) std::byte entry_[64];
};

}  // namespace peal::uring
