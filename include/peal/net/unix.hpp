// SPDX-License-Identifier: MIT
#pragma once

// Sockets between processes of one machine: unix_stream and unix_listener; unix_seqpacket, a connection of messages, and its listener;
// unix_datagram. All of them can pass descriptors.

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include <peal/net/descriptor.hpp>
#include <peal/net/message.hpp>
#include <peal/net/socket.hpp>
#include <peal/net/stream_socket.hpp>
#include <peal/net/unix_address.hpp>
#include <peal/task/task.hpp>

namespace peal::net {

/// So many descriptors go with a message at the most (the kernel's SCM_MAX_FD).
inline constexpr std::size_t descriptors_per_message_max = 253;

/// What receive() put into the buffer, from whom, and the descriptors that came with it.
class unix_message {
  public:
    unix_message(const unix_address& sender, std::size_t size, std::size_t full_size, std::vector<descriptor> descriptors, bool lost) noexcept
        : descriptors_(std::move(descriptors)), sender_(sender), size_(size), full_size_(full_size), lost_(lost) {}

    /// Bytes in the buffer. Of a stream or a seqpacket connection 0 is the end.
    std::size_t size() const noexcept { return size_; }
    /// Bytes of the message. What the buffer had no room for is gone; of a stream it is not, and this is size().
    std::size_t full_size() const noexcept { return full_size_; }
    bool is_truncated() const noexcept { return full_size_ > size_; }
    /// Of a datagram; unnamed if its socket was not bound.
    const unix_address& sender() const noexcept { return sender_; }

    /// Take from it what is wanted; the rest is closed with the message. All are closed at exec.
    std::vector<descriptor>& descriptors() noexcept { return descriptors_; }
    /// Some did not come: this process may have no more (RLIMIT_NOFILE).
    bool has_lost_descriptors() const noexcept { return lost_; }

  private:
    std::vector<descriptor> descriptors_;
    unix_address sender_;
    std::size_t size_;
    std::size_t full_size_;
    bool lost_;
};

/// Who is at the other end, as the kernel saw it when the connection was made.
class peer_credentials {
  public:
    peer_credentials(int pid, unsigned uid, unsigned gid) noexcept : pid(pid), uid(uid), gid(gid) {}
    int pid;  // 0: in a namespace that this process does not see. The process may have ended, and its number be another's.
    unsigned uid;
    unsigned gid;
};

namespace detail {

enum class unix_kind : unsigned char { stream, seqpacket, datagram };

class PEAL_EXPORT unix_receive_operation : public message_operation {
  public:
    unix_receive_operation(int fd, std::span<std::byte> buffer, unix_kind kind) noexcept;
    ~unix_receive_operation();  // closes what came and was not taken
    unix_message await_resume() {
        if (outcome < 0) failure().raise();
        return received();
    }
    peal::result<unix_message> result() {
        if (outcome < 0) return failure();
        return received();
    }

  private:
    unix_message received();
    std::vector<descriptor> take_descriptors();

    unix_kind kind_;
    alignas(8) std::byte name_[112];
    alignas(8) std::byte control_[1032];  // descriptors_per_message_max of them
};

/// Gives the number of bytes.
class PEAL_EXPORT unix_send_operation : public message_operation {
  public:
    unix_send_operation(int fd, const unix_address* to, std::span<const std::byte> bytes, std::span<const int> descriptors, unix_kind kind) noexcept;
    std::size_t await_resume() {
        if (outcome < 0) failure().raise();
        return count();
    }
    peal::result<std::size_t> result() {
        if (outcome < 0) return failure();
        return count();
    }

  private:
    static bool next_round(operation& self) noexcept;
    static bool wait_for_room(operation& self) noexcept;
    std::size_t count() const noexcept { return static_cast<std::size_t>(transferred) + static_cast<std::size_t>(outcome); }

    alignas(8) std::byte control_[1032];
};

}  // namespace detail

/// How a Unix socket is bound.
class PEAL_EXPORT unix_bind_options {
  public:
    unix_bind_options() noexcept = default;
    /// So many connections at most wait to be accepted. Listeners only.
    unix_bind_options& backlog(int connections) noexcept { backlog_ = connections; return *this; }
    /// A socket file at the path that no process listens on any more is removed. Without this, bind() ends with address_in_use, as after a process
    /// that has not removed its file: peal removes none at close(), it might be a successor's. Whether somebody listens is asked by connecting;
    /// two processes that start at the same moment may both find nobody: let something else decide which of them runs.
    unix_bind_options& replace_stale(bool on = true) noexcept { replace_stale_ = on; return *this; }

    int backlog() const noexcept { return backlog_; }
    bool replaces_stale() const noexcept { return replace_stale_; }

  private:
    int backlog_ = 1024;
    bool replace_stale_ = false;
};

/// A connection to a process of this machine, as a stream of bytes. What it reads and writes with: stream_socket.
class PEAL_EXPORT unix_stream : public stream_socket {
  public:
    unix_stream() noexcept = default;
    /// Takes over a connected socket.
    explicit unix_stream(int fd) noexcept : stream_socket(fd) {}

    /// Waits while the listener's backlog is full. The kernel tells nobody when it has room again, so this asks after 1 ms, and then less and less
    /// often, every 50 ms at last.
    ///
    /// Cancellation: while it waits.
    /// Errors:       no_such_file_or_directory; connection_refused: nobody listens there; permission_denied.
    static task<unix_stream> connect(unix_address peer);
    /// Two connected ends.
    static std::pair<unix_stream, unix_stream> pair();

    using stream_socket::receive;
    /// As read(), and takes the descriptors that come with the bytes. What read() and receive() meet of them is closed by the kernel.
    [[nodiscard]] detail::unix_receive_operation receive(std::span<std::byte> buffer) noexcept {
        return detail::unix_receive_operation(native_handle(), buffer, detail::unix_kind::stream);
    }
    using stream_socket::write_all;
    /// As write_all(), and passes copies of `descriptors` with the first byte. They stay the caller's, and open until this has ended.
    /// Requires: not more than descriptors_per_message_max; at least one byte (asserted).
    [[nodiscard]] detail::unix_send_operation write_all(std::span<const std::byte> bytes, std::span<const int> descriptors) noexcept {
        return detail::unix_send_operation(native_handle(), nullptr, bytes, descriptors, detail::unix_kind::stream);
    }

    peer_credentials peer() const;
    unix_address local_address() const;
    unix_address peer_address() const;
};

/// A connection of messages: each arrives whole and in order, with its limits (SOCK_SEQPACKET).
///
/// Threads:      any number of tasks send and receive. A message goes to one of those who receive.
/// Cancellation: a message that was won after all is delivered, with its descriptors; a canceled send has sent nothing.
/// Lifetime:     buffers until the operation ends. Closing or destroying it ends what waits, here and there: receives with size 0, sends with
///               broken_pipe; either with connection_reset, where something was not read.
/// Errors:       std::system_error with the errno and the name of the system call.
/// Kernel:       one recvmsg or sendmsg on the ring.
class PEAL_EXPORT unix_seqpacket {
  public:
    unix_seqpacket() noexcept = default;
    /// Takes over a connected socket.
    explicit unix_seqpacket(int fd) noexcept : socket_(fd) {}

    /// As unix_stream's.
    static task<unix_seqpacket> connect(unix_address peer);
    static std::pair<unix_seqpacket, unix_seqpacket> pair();

    /// The next message; size 0 is the end.
    [[nodiscard]] detail::unix_receive_operation receive(std::span<std::byte> buffer) noexcept {
        return detail::unix_receive_operation(native_handle(), buffer, detail::unix_kind::seqpacket);
    }
    /// Sends all of `bytes` as one message; waits while the peer has no room. An empty one would look like the end to the peer.
    /// `descriptors` stay the caller's, and open until this has ended. Requires: not more than descriptors_per_message_max (asserted).
    /// Errors: message_size for more than the send buffer holds.
    [[nodiscard]] detail::unix_send_operation send(std::span<const std::byte> bytes, std::span<const int> descriptors = {}) noexcept {
        return detail::unix_send_operation(native_handle(), nullptr, bytes, descriptors, detail::unix_kind::seqpacket);
    }
    /// Sends the end; receiving goes on.
    void shutdown_write();

    peer_credentials peer() const;
    unix_address local_address() const;
    unix_address peer_address() const;
    bool is_open() const noexcept { return socket_.is_open(); }
    int native_handle() const noexcept { return socket_.get(); }
    void close() noexcept { socket_.close(); }

  private:
    detail::socket_handle socket_;
};

/// Messages without a connection, between processes of this machine. None gets lost: a sender waits for room.
///
/// As unix_seqpacket, but: an empty message is one; a receive whose socket is closed meanwhile ends with bad_file_descriptor; and nobody is
/// told that the peer has gone before sending to it: connection_refused, or broken_pipe for a send that waited.
class PEAL_EXPORT unix_datagram {
  public:
    /// Closed; see open().
    unix_datagram() noexcept = default;
    /// Takes over a socket.
    explicit unix_datagram(int fd) noexcept : socket_(fd) {}

    static unix_datagram bind(const unix_address& local, const unix_bind_options& options = unix_bind_options());
    /// One without an address: it sends, and nobody can answer.
    static unix_datagram open();
    static std::pair<unix_datagram, unix_datagram> pair();

    /// From now on send() sends to `peer`, and nothing is received from others.
    void set_peer(const unix_address& peer);

    [[nodiscard]] detail::unix_receive_operation receive(std::span<std::byte> buffer) noexcept {
        return detail::unix_receive_operation(native_handle(), buffer, detail::unix_kind::datagram);
    }
    /// To the peer; without one: not_connected.
    [[nodiscard]] detail::unix_send_operation send(std::span<const std::byte> bytes, std::span<const int> descriptors = {}) noexcept {
        return detail::unix_send_operation(native_handle(), nullptr, bytes, descriptors, detail::unix_kind::datagram);
    }
    /// To anybody. While that one has no room, it asks again as unix_stream::connect() does: with a set peer the kernel tells, so send() is better.
    [[nodiscard]] task<> send_to(std::span<const std::byte> bytes, unix_address to, std::span<const int> descriptors = {});

    unix_address local_address() const;
    bool is_open() const noexcept { return socket_.is_open(); }
    int native_handle() const noexcept { return socket_.get(); }
    void close() noexcept { socket_.close(); }

  private:
    detail::socket_handle socket_;
};

/// Accepts connections.
///
/// Threads, Cancellation, Lifetime: as tcp_listener.
class PEAL_EXPORT unix_listener {
  public:
    static unix_listener bind(const unix_address& local, const unix_bind_options& options = unix_bind_options());

    /// As tcp_listener::accept().
    [[nodiscard]] task<unix_stream> accept();

    unix_address local_address() const;
    void close() noexcept { socket_.close(); }
    int native_handle() const noexcept { return socket_.get(); }

  private:
    explicit unix_listener(detail::socket_handle socket) noexcept : socket_(std::move(socket)) {}
    detail::socket_handle socket_;
};

/// The same for connections of messages.
class PEAL_EXPORT unix_seqpacket_listener {
  public:
    static unix_seqpacket_listener bind(const unix_address& local, const unix_bind_options& options = unix_bind_options());

    [[nodiscard]] task<unix_seqpacket> accept();

    unix_address local_address() const;
    void close() noexcept { socket_.close(); }
    int native_handle() const noexcept { return socket_.get(); }

  private:
    explicit unix_seqpacket_listener(detail::socket_handle socket) noexcept : socket_(std::move(socket)) {}
    detail::socket_handle socket_;
};

}  // namespace peal::net
