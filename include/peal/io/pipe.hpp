// SPDX-License-Identifier: MIT
#pragma once

// pipe: bytes from one end to the other, through the kernel: to and from other programs, and from this one's standard input to its output.

#include <cstddef>
#include <span>
#include <utility>

#include <peal/detail/operation.hpp>
#include <peal/io/stream.hpp>

namespace peal::io {

namespace detail {

/// A read or write at the place where the descriptor stands. Waits also where another program has made the descriptor non-blocking: that
/// is shared with everybody who has it, and terminals and pipes pass through many hands.
class PEAL_EXPORT pipe_operation : public peal::detail::size_operation {
  public:
    pipe_operation(peal::detail::operation_kind kind, int fd, const void* data, std::size_t bytes, rounds rounds) noexcept;

  private:
    static bool next_step(operation& self) noexcept;

    peal::detail::operation_kind transfer_;
    rounds rounds_;
};

/// Owns a descriptor. Closing never blocks a worker.
class PEAL_EXPORT pipe_end {
  public:
    pipe_end() noexcept = default;
    explicit pipe_end(int fd) noexcept : fd_(fd) {}
    pipe_end(pipe_end&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    pipe_end& operator=(pipe_end&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~pipe_end() { close(); }

    void close() noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    /// The descriptor stays the stream's.
    int native_handle() const noexcept { return fd_; }

  private:
    int fd_ = -1;
};

}  // namespace detail

/// Where bytes come from: the reading end of a pipe, or what stands behind a descriptor of that kind (a terminal, a file from where it is
/// positioned). A peal::io::readable.
///
/// Threads:      one task at a time.
/// Cancellation: a canceled read has taken nothing; one that has moved bytes reports them.
/// Lifetime:     buffers until the operation ends. Closing is safe at any time, but a pipe has no way to tell: it does not end a read that
///               waits, and the descriptor is closed when that has ended.
/// Errors:       std::system_error with the errno and "read".
/// Kernel:       one read on the ring of the worker that awaits.
class PEAL_EXPORT pipe_reader : public detail::pipe_end {
  public:
    pipe_reader() noexcept = default;
    /// Takes over a descriptor.
    explicit pipe_reader(int fd) noexcept : pipe_end(fd) {}

    /// Reads at most `buffer.size()` bytes, at least one; 0 when all writing ends are closed and the pipe is empty.
    [[nodiscard]] detail::pipe_operation read(std::span<std::byte> buffer) noexcept;
    /// Reads until `buffer` is full; less at the end of the stream.
    [[nodiscard]] detail::pipe_operation read_exactly(std::span<std::byte> buffer) noexcept;
};

/// Where bytes go to: the writing end of a pipe, or what stands behind a descriptor of that kind. A peal::io::writable.
///
/// Threads, Lifetime: as pipe_reader.
/// Cancellation: a canceled write() has written nothing, or reports what it has; after a canceled write_all() nobody knows how much it has written.
/// Errors:       std::system_error with the errno and "write": broken_pipe when all reading ends are closed. SIGPIPE is never raised: the threads
///               of a pool block it.
/// Kernel:       one write on the ring of the worker that awaits.
class PEAL_EXPORT pipe_writer : public detail::pipe_end {
  public:
    pipe_writer() noexcept = default;
    /// Takes over a descriptor.
    explicit pipe_writer(int fd) noexcept : pipe_end(fd) {}

    /// Writes at least one byte; gives the number.
    [[nodiscard]] detail::pipe_operation write(std::span<const std::byte> bytes) noexcept;
    /// Writes everything; gives the number of bytes.
    [[nodiscard]] detail::pipe_operation write_all(std::span<const std::byte> bytes) noexcept;
};

/// The two ends of a pipe.
class pipe {
  public:
    pipe(pipe_reader reader, pipe_writer writer) noexcept : reader(std::move(reader)), writer(std::move(writer)) {}
    pipe_reader reader;
    pipe_writer writer;
};

/// Makes a pipe. Its ends are not inherited by programs that are started; peal::process gives a program the ends that it shall have.
///
/// Threads: any.   Errors: std::system_error, too_many_files_open.   Bound: the kernel holds 64 KiB on the way, or less if the user has many pipes.
PEAL_EXPORT pipe make_pipe();

}  // namespace peal::io
