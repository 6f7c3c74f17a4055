// SPDX-License-Identifier: MIT
#pragma once

// TCP: tcp_stream, a connection, and tcp_listener, where connections come from.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <peal/detail/operation.hpp>
#include <peal/io/buffer.hpp>
#include <peal/io/lease.hpp>
#include <peal/net/address.hpp>
#include <peal/task/task.hpp>

namespace peal::net {

namespace detail {

/// Owns a socket. Closing never blocks, and ends what still waits on the socket.
class PEAL_EXPORT socket_handle {
  public:
    socket_handle() noexcept = default;
    explicit socket_handle(int fd) noexcept : fd_(fd) {}
    socket_handle(socket_handle&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    socket_handle& operator=(socket_handle&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
        }
        return *this;
    }
    ~socket_handle() { close(); }

    void close() noexcept;
    int get() const noexcept { return fd_; }
    bool is_open() const noexcept { return fd_ >= 0; }

  private:
    int fd_ = -1;
};

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

/// A TCP connection.
///
/// Threads:      one task reads and one writes at a time; different workers are fine.
/// Cancellation: a canceled read that has moved bytes reports the bytes.
/// Lifetime:     buffers until the operation ends. Destroying or closing the stream ends what waits on it: reads with 0 (or
///               connection_reset), writes with broken_pipe; that is safe, the operation itself lives in the waiting task.
/// Errors:       std::system_error with the errno and the name of the system call; SIGPIPE is never raised.
/// Kernel:       one recv or send on the ring of the worker that awaits; batched with what else that round submits.
class PEAL_EXPORT tcp_stream {
  public:
    tcp_stream() noexcept = default;
    /// Takes over a connected socket. TCP_NODELAY is set.
    explicit tcp_stream(int fd) noexcept;

    /// Connects to a numeric address.
    static task<tcp_stream> connect(address peer);
    /// Resolves, then tries the addresses in turn; the error of the last attempt is reported.
    static task<tcp_stream> connect(std::string host, std::string service);

    /// Reads at most `buffer.size()` bytes, at least one; 0 at the end of the stream (and for an empty buffer).
    [[nodiscard]] peal::detail::size_operation read(std::span<std::byte> buffer) noexcept;
    /// Waits without a buffer, and gives what has come in one of the worker's, at most 4 KiB; an empty lease at the end of the stream. The way for
    /// many connections that are mostly idle, and for small messages; read() is faster for large ones.
    [[nodiscard]] detail::receive_operation receive() noexcept;
    /// Reads until `buffer` is full; less at the end of the stream.
    [[nodiscard]] peal::detail::size_operation read_exactly(std::span<std::byte> buffer) noexcept;
    /// Writes at least one byte; gives the number.
    [[nodiscard]] peal::detail::size_operation write(std::span<const std::byte> bytes) noexcept;
    /// Writes everything; gives the number of bytes.
    [[nodiscard]] peal::detail::size_operation write_all(std::span<const std::byte> bytes) noexcept;

    /// Vectored forms. At most 1024 pieces a call. The `_all` form uses the array up as it goes.
    [[nodiscard]] detail::vectored_operation read(std::span<const io::mutable_buffer> pieces) noexcept;
    [[nodiscard]] detail::vectored_operation write(std::span<const io::const_buffer> pieces) noexcept;
    [[nodiscard]] detail::vectored_operation write_all(std::span<io::const_buffer> pieces) noexcept;

    /// Sends the end of the stream; reading goes on. Does not block.
    void shutdown_write();

    address local_address() const;
    address peer_address() const;
    bool is_open() const noexcept { return socket_.is_open(); }
    /// The descriptor stays the stream's.
    int native_handle() const noexcept { return socket_.get(); }
    void close() noexcept { socket_.close(); }

  private:
    detail::socket_handle socket_;
};

/// Accepts TCP connections.
///
/// Threads:      several tasks may accept.
/// Cancellation: a connection that was won after all is delivered.
/// Lifetime:     as tcp_stream: closing ends waiting accepts with invalid_argument.
class PEAL_EXPORT tcp_listener {
  public:
    /// "127.0.0.1:7000", "[::1]:0"; port 0 lets the system choose. SO_REUSEADDR is set.
    static tcp_listener bind(std::string_view local) { return bind(address::parse(local)); }
    static tcp_listener bind(const address& local, int backlog = 1024);

    /// The next connection.
    ///
    /// What is wrong with one connection or will pass does not end the wait: a peer that gave up (ECONNABORTED) is skipped; when
    /// descriptors or memory run out, it waits 50 ms and tries again, and the backlog keeps the callers.
    [[nodiscard]] task<tcp_stream> accept();

    address local_address() const;
    void close() noexcept { socket_.close(); }
    int native_handle() const noexcept { return socket_.get(); }

  private:
    explicit tcp_listener(int fd) noexcept : socket_(fd) {}

    detail::socket_handle socket_;
};

}  // namespace peal::net
