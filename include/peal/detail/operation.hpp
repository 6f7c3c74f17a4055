// SPDX-License-Identifier: MIT
#pragma once

// operation: one request to the outside world (the kernel, or a simulated one), as it lies in the frame of the coroutine that
// awaits it. It names what to do in peal's own words; a driver translates. Its life: runtime/task/driver.hpp.

#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include <peal/error.hpp>
#include <peal/task/task.hpp>

namespace peal::rt {
class driver;
}

namespace peal::detail {

enum class operation_kind : std::uint8_t {
    nop,
    accept,         // fd -> new fd
    connect,        // fd, address: sockaddr, length
    receive,        // fd, address, length, flags: MSG_*
    send,           // fd, address, length, flags: MSG_*
    send_zero_copy, // as send; ends when the kernel has let go of the memory, so mostly when the peer has acknowledged
    receive_many,   // fd, address: buffers, length: count
    send_many,      // fd, address: buffers, length: count
    wait_writable,  // fd -> until a write would not wait, or fails
    wait_readable,  // fd -> until a read would not wait, or fails
    receive_lease,  // fd -> address: a buffer, extra: the lease_pool that it is of, or null; both null if none was filled
    receive_leases, // as receive_lease, but goes on: runtime/task/arrivals.hpp
    read,           // fd, address, length, offset (no_offset: the file's own)
    write,          // as read
    read_many,      // fd, address: buffers, length: count, offset
    write_many,     // as read_many
    open,           // address: path, flags: O_*, length: mode -> new fd
    close,          // fd
    sync,           // fd, flags: 1 = data only
    stat,           // fd, address: path or null, extra: file_status
    truncate,       // fd, length
    // Below, a name is in the folder `fd`, and if there are two, the second in the folder `length`, as an int; AT_FDCWD: the working directory.
    rename,         // fd, address: from, extra: to, length, flags: RENAME_*
    unlink,         // fd, address: name, flags: AT_REMOVEDIR
    make_directory, // fd, address: name, length: mode
    link,           // fd, address: existing, extra: name, length, flags: AT_*
    symlink,        // fd, address: what it says, extra: name
    open_in,        // fd, address: name, extra: open_rules -> new fd
    allocate,       // fd, offset, length, flags: FALLOC_FL_*
    raw,            // address: an io_uring_sqe -> flags: those of the completion
};
inline constexpr std::size_t operation_kind_count = static_cast<std::size_t>(operation_kind::raw) + 1;
/// Brings no buffer.
constexpr bool is_lent(operation_kind kind) noexcept { return kind == operation_kind::receive_lease || kind == operation_kind::receive_leases; }
inline constexpr std::uint64_t no_offset = ~std::uint64_t{0};

/// The word for error messages, as the system call is called: "recv", "openat".
PEAL_EXPORT const char* operation_name(operation_kind kind) noexcept;

class PEAL_EXPORT operation : public work_item, public cancelable {
  public:
    operation(const operation&) = delete;
    operation& operator=(const operation&) = delete;

    bool await_ready() const noexcept { return false; }
    template <peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        return start(awaiting, awaiting.promise().owner());
    }

    // ---- the request: written before start, by `step` between two rounds --------------------------------------------------
    operation_kind kind;
    std::uint32_t flags = 0;
    int fd = -1;
    std::int32_t outcome = 0;              // >= 0: what the kernel returned; < 0: -errno
    void* address = nullptr;
    std::uint64_t length = 0;
    std::uint64_t offset = no_offset;
    void* extra = nullptr;

    /// Called after each completion of an operation of several rounds (write_all). True: submit it again.
    using step_function = bool (*)(operation&) noexcept;
    step_function step = nullptr;
    std::uint64_t transferred = 0;         // bytes of the earlier rounds
    enum class beginning : std::uint8_t {
        outside,       // it is handed to the driver
        in_the_cache,  // of a read: what lies there is taken at once, without suspending
        refused,       // it is not begun: `outcome` says why
    };
    beginning begins = beginning::outside;

    // ---- owned by the driver from start to resumption ---------------------------------------------------------------------
    rt::driver* home = nullptr;            // fixed before the slot is armed
    operation* next_cancel = nullptr;      // link of the home driver's list of cancel requests
    void* elsewhere = nullptr;             // the job of a blocking thread that performs it
    std::uint8_t outstanding = 0;          // completions to come
    std::int32_t injected = 0;             // by a test: the outcome of what the outside is not asked for
    bool in_kernel = false;
    bool has_more = false;                 // it was answered, and something is still to come
    bool cancel_requested = false;
    bool finished = false;                 // the last completion is in; only a cancel request, or the answer to one, may be still on its way

  protected:
    explicit operation(operation_kind kind) noexcept : cancelable(&operation::request_cancel), kind(kind) {}

    /// Before it is awaited: it will end with that error.
    void refuse(int error_number) noexcept {
        begins = beginning::refused;
        outcome = -error_number;
    }
    /// Errno of the failure, 0 if there is none.
    int failed_with() const noexcept { return outcome < 0 ? -outcome : 0; }
    peal::error failure() const;

  private:
    /// False: it has ended already.
    bool start(std::coroutine_handle<> awaiting, context& task) noexcept;
    static void request_cancel(cancelable& self) noexcept;
};

/// Gives the number of bytes.
class PEAL_EXPORT size_operation : public operation {
  public:
    /// `all`: goes on until every byte is moved, the end is reached, or an error comes.
    enum class rounds : bool { one, all };
    enum class first_try : bool { no, in_the_cache };
    size_operation(operation_kind kind, int fd, const void* data, std::size_t bytes, std::uint32_t flags, std::uint64_t offset,
                   rounds rounds, first_try first = first_try::no) noexcept;
    std::size_t await_resume() {
        if (outcome < 0) failure().raise();
        return count();
    }
    peal::result<std::size_t> result() {
        if (outcome < 0) return failure();
        return count();
    }

  protected:
    explicit size_operation(operation_kind kind) noexcept : operation(kind) {}
    /// The step of rounds::all. What cannot be sent without a copy goes on as a plain send.
    static bool next_round(operation& self) noexcept;

  private:
    std::size_t count() const noexcept { return static_cast<std::size_t>(transferred) + static_cast<std::size_t>(outcome); }
};

/// Gives nothing but success.
class PEAL_EXPORT void_operation : public operation {
  public:
    explicit void_operation(operation_kind kind) noexcept : operation(kind) {}
    void_operation(operation_kind kind, int fd, std::uint64_t length, std::uint32_t flags, std::uint64_t offset = no_offset) noexcept
        : operation(kind) {
        this->fd = fd;
        this->length = length;
        this->flags = flags;
        this->offset = offset;
    }
    void await_resume() {
        if (outcome < 0) failure().raise();
    }
    peal::result<void> result() {
        if (outcome < 0) return failure();
        return {};
    }
};

}  // namespace peal::detail
