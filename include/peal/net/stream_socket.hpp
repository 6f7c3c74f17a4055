// SPDX-License-Identifier: MIT
#pragma once

// stream_socket: what all connected streams have in common: tcp_stream (net/tcp.hpp), unix_stream (net/unix.hpp).

#include <cstddef>
#include <cstdint>
#include <span>

#include <peal/detail/operation.hpp>
#include <peal/io/buffer.hpp>
#include <peal/io/lease.hpp>
#include <peal/net/socket.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {
class file;
}

namespace peal::net {

namespace detail {

/// Reads or writes several pieces; holds what the system wants to know of them.
class PEAL_EXPORT vectored_operation : public peal::detail::size_operation {
  public:
    vectored_operation(peal::detail::operation_kind kind, int fd, void* buffers, std::size_t count, rounds rounds) noexcept;

  private:
    static bool next_round(operation& self) noexcept;
    void skip(std::size_t bytes) noexcept;

    alignas(8) std::byte header_[56];  // a msghdr
    struct piece {
        void* data;
        std::size_t size;
    };
    piece* pieces_;
    std::size_t count_;
};

/// Gives what has come, in a buffer of the worker.
class [[nodiscard]] PEAL_EXPORT receive_operation : public peal::detail::operation {
  public:
    explicit receive_operation(int fd) noexcept;
    ~receive_operation();
    io::lease await_resume();
    peal::result<io::lease> result();

  private:
    io::lease take() noexcept;
};

}  // namespace detail

/// A stream of bytes in both directions. Not made by itself: see tcp_stream and unix_stream.
///
/// Threads:      one task reads and one writes at a time; different workers are fine.
/// Cancellation: a canceled read that has moved bytes reports the bytes.
/// Lifetime:     buffers until the operation ends. Destroying or closing the stream ends what waits on it: reads with 0 (or
///               connection_reset), writes with broken_pipe; that is safe, the operation itself lives in the waiting task.
/// Errors:       std::system_error with the errno and the name of the system call; SIGPIPE is never raised.
/// Kernel:       one recv or send on the ring of the worker that awaits; batched with what else that round submits.
///
/// Each direction ends by itself. After shutdown_write() the peer reads the end of the stream, and this side goes on reading: so a client
/// says "that was my question" and still gets the answer. Whoever reads 0 may go on writing, until the peer closes.
class PEAL_EXPORT stream_socket {
  public:
    /// Reads at most `buffer.size()` bytes, at least one; 0 at the end of the stream (and for an empty buffer).
    [[nodiscard]] peal::detail::size_operation read(std::span<std::byte> buffer) noexcept;
    /// Waits without a buffer, and gives what has come in one of the worker's, at most 4 KiB; an empty lease at the end of the stream. The way for
    /// many connections that are mostly idle, and for small messages; read() is faster for large ones. A session that receives in a loop: net::receiver.
    [[nodiscard]] detail::receive_operation receive() noexcept;
    /// Reads until `buffer` is full; less at the end of the stream.
    [[nodiscard]] peal::detail::size_operation read_exactly(std::span<std::byte> buffer) noexcept;
    /// Writes at least one byte; gives the number.
    [[nodiscard]] peal::detail::size_operation write(std::span<const std::byte> bytes) noexcept;
    /// Writes everything; gives the number of bytes. Of a text: write_all(io::bytes_of(text)).
    [[nodiscard]] peal::detail::size_operation write_all(std::span<const std::byte> bytes) noexcept;

    /// Vectored forms. At most 1024 pieces a call. The `_all` form uses the array up as it goes.
    [[nodiscard]] detail::vectored_operation read(std::span<const io::mutable_buffer> pieces) noexcept;
    [[nodiscard]] detail::vectored_operation write(std::span<const io::const_buffer> pieces) noexcept;
    [[nodiscard]] detail::vectored_operation write_all(std::span<io::const_buffer> pieces) noexcept;

    /// Writes `length` bytes of a file, from `offset` on; gives the number, which is less where the file ends before. Position and content of the file stay.
    ///
    /// Cancellation: one that comes before any byte has gone throws. After that the number of bytes that went is the result, and the next operation is
    ///               the one that is canceled.
    /// Lifetime:     both may be closed while it runs: of the stream that ends it by broken_pipe, of the file nothing is noticed.
    /// Errors:       those of the file ("read") and of the stream ("send"); how much went before is not told.
    /// Allocates:    its coroutine frame, with 32 KiB on the way.
    /// Kernel:       reads and sends in turns; runtime/net/send_file.cpp says what was measured beside sendfile and splice.
    [[nodiscard]] task<std::uint64_t> send_file(const fs::file& from, std::uint64_t offset, std::uint64_t length);

    /// Sends the end of the stream; reading goes on. Does not block.
    void shutdown_write();
    /// Reading is over: what waits for bytes ends with 0, and so do later reads once they have taken what was there. Writing goes on. A TCP peer
    /// does not hear of it; a peer on a Unix stream gets broken_pipe for what it writes from now on. Does not block.
    /// Errors: operation_not_supported on a simulated stream.
    void shutdown_read();

    /// How much the system keeps for this socket, in bytes. The kernel doubles the number for its own bookkeeping and limits it to
    /// net.core.rmem_max and wmem_max without an error; a set size does not grow by itself any more.
    void set_receive_buffer(std::size_t bytes);
    void set_send_buffer(std::size_t bytes);

    bool is_open() const noexcept { return socket_.is_open(); }
    /// The descriptor stays the stream's.
    int native_handle() const noexcept { return socket_.get(); }
    /// With bytes that have come and were not read, TCP ends the connection by a reset, and the peer may lose what was written last: who has
    /// something to say before it ends shuts down writing and reads to the end first.
    void close() noexcept { socket_.close(); }

  protected:
    stream_socket() noexcept = default;
    explicit stream_socket(int fd) noexcept : socket_(fd) {}
    stream_socket(stream_socket&&) noexcept = default;
    stream_socket& operator=(stream_socket&&) noexcept = default;
    ~stream_socket() = default;

    detail::socket_handle socket_;
    std::uint32_t zero_copy_from_ = 0;  // bytes; see tcp_stream::set_zero_copy(). 0: never
};

}  // namespace peal::net
