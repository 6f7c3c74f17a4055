// SPDX-License-Identifier: MIT
#pragma once

// UDP: udp_socket sends and receives datagrams.

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include <peal/net/address.hpp>
#include <peal/net/message.hpp>
#include <peal/net/socket.hpp>

namespace peal::net {

/// What receive() put into the buffer, and from whom.
class datagram {
  public:
    datagram(const address& sender, std::size_t size, std::size_t full_size, std::size_t segment_size) noexcept
        : sender_(sender), size_(size), full_size_(full_size), segment_size_(segment_size) {}

    const address& sender() const noexcept { return sender_; }
    /// Bytes in the buffer. 0: an empty datagram.
    std::size_t size() const noexcept { return size_; }
    /// Bytes that were sent. What the buffer had no room for is gone.
    std::size_t full_size() const noexcept { return full_size_; }
    bool is_truncated() const noexcept { return full_size_ > size_; }

    /// With udp_options::receive_segments(): several datagrams of one sender may lie in the buffer, each of segment_size() bytes but for the
    /// last, which may be shorter. Without it: one.
    std::size_t segment_size() const noexcept { return segment_size_; }
    std::size_t segment_count() const noexcept { return size_ <= segment_size_ ? 1 : (size_ + segment_size_ - 1) / segment_size_; }
    /// `buffer` is that of receive(); `index` < segment_count().
    std::span<const std::byte> segment(std::span<const std::byte> buffer, std::size_t index) const noexcept {
        std::size_t begin = std::min(index * segment_size_, size_);
        return buffer.subspan(begin, std::min(segment_size_, size_ - begin));
    }

  private:
    address sender_;
    std::size_t size_;
    std::size_t full_size_;
    std::size_t segment_size_;
};

namespace detail {

class PEAL_EXPORT udp_receive_operation : public message_operation {
  public:
    udp_receive_operation(int fd, std::span<std::byte> buffer, bool segments) noexcept;
    datagram await_resume() {
        if (outcome < 0) failure().raise();
        return received();
    }
    peal::result<datagram> result() {
        if (outcome < 0) return failure();
        return received();
    }

  private:
    datagram received() const;

    alignas(8) std::byte name_[28];
    alignas(8) std::byte control_[24];  // the size of a segment
};

class PEAL_EXPORT udp_send_operation : public message_operation {
  public:
    udp_send_operation(int fd, const net::address* to, std::span<const std::byte> bytes, std::size_t segment_size) noexcept;
    void await_resume() {
        if (outcome < 0) failure().raise();
    }
    peal::result<void> result() {
        if (outcome < 0) return failure();
        return {};
    }

  private:
    static bool next_round(operation& self) noexcept;
    void prepare_round() noexcept;

    net::address to_;
    std::size_t segment_size_;
    std::size_t left_;            // bytes from piece_.data on
    bool one_by_one_ = false;     // the system does not divide
    alignas(8) std::byte control_[24];
};

}  // namespace detail

/// How a udp_socket is made.
class PEAL_EXPORT udp_options {
  public:
    udp_options() noexcept = default;
    /// Several sockets of one user share the address; the kernel deals datagrams out by a hash of their addresses (SO_REUSEPORT).
    udp_options& reuse_port(bool on = true) noexcept { reuse_port_ = on; return *this; }
    /// Several sockets may have the address; each gets what is sent to a multicast group that it has joined (SO_REUSEADDR). Of other datagrams
    /// the last socket gets all.
    udp_options& reuse_address(bool on = true) noexcept { reuse_address_ = on; return *this; }
    /// The system may hand over several datagrams of one sender in one receive (UDP_GRO): see datagram::segment(). Give receive() a buffer of
    /// 64 KiB. Where the kernel has no such thing (before 5.0) each comes by itself.
    udp_options& receive_segments(bool on = true) noexcept { segments_ = on; return *this; }
    /// Bytes; see stream_socket. What finds no room is dropped by the system, and nobody is told.
    udp_options& receive_buffer(std::size_t bytes) noexcept { receive_buffer_ = bytes; return *this; }
    udp_options& send_buffer(std::size_t bytes) noexcept { send_buffer_ = bytes; return *this; }

  private:
    friend class udp_socket;
    std::size_t receive_buffer_ = 0;  // 0: the system's choice
    std::size_t send_buffer_ = 0;
    bool reuse_port_ = false;
    bool reuse_address_ = false;
    bool segments_ = false;
};

/// A UDP socket: datagrams, which may get lost, doubled or out of order on the way. For a stream see tcp_stream.
///
/// Threads:      any number of tasks send and receive; different workers are fine. A datagram goes to one of those who receive.
/// Cancellation: a datagram that was won after all is delivered; a canceled send has sent nothing, send_segments() perhaps a part.
/// Lifetime:     buffers until the operation ends. Closing or destroying the socket ends what waits: a receive with bad_file_descriptor, a
///               send with broken_pipe.
/// Errors:       std::system_error with the errno and the name of the system call. What the network says of an earlier datagram
///               (connection_refused: nobody listens there) ends the next send or receive, on a socket with a peer only.
/// Kernel:       one recvmsg or sendmsg on the ring of the worker that awaits. To many receivers: start the sends together (when_all()), they go to
///               the ring in one system call.
class PEAL_EXPORT udp_socket {
  public:
    udp_socket() noexcept = default;

    /// "127.0.0.1:7000"; "0.0.0.0:0" or "[::]:0" for one that asks others.
    static udp_socket bind(std::string_view local, const udp_options& options = udp_options()) {
        return bind(address::parse(local), options);
    }
    static udp_socket bind(const address& local, const udp_options& options = udp_options());
    /// One that talks to `peer` only, from an address that the system chooses. Sends nothing, so it does not tell whether anybody is there.
    static udp_socket connect(const address& peer, const udp_options& options = udp_options());

    /// From now on send() sends to `peer`, and nothing is received from others, but for what lies there already.
    void set_peer(const address& peer);

    /// The next datagram, of which `buffer.size()` bytes are kept; the rest is lost, and datagram::is_truncated() says so.
    [[nodiscard]] detail::udp_receive_operation receive(std::span<std::byte> buffer) noexcept;

    /// Sends one datagram: all of `bytes` (0 to 65,507), or an error, as message_size for too many. It waits while the send buffer is full.
    [[nodiscard]] detail::udp_send_operation send_to(std::span<const std::byte> bytes, const address& to) noexcept;
    /// The same to the peer. Without one: destination_address_required.
    [[nodiscard]] detail::udp_send_operation send(std::span<const std::byte> bytes) noexcept;

    /// Sends `bytes` as datagrams of `segment_size` bytes, the last one shorter; the kernel divides up to 64 at a time (UDP_SEGMENT), and
    /// where it cannot they are sent one by one. For more than a few datagrams to one receiver: over loopback, 32 datagrams of 200 to 1400 bytes at a
    /// time (Linux 6.18, plain system calls), one costs 1.4 us to send and receive singly, 0.5 us with this, and 0.06 to 0.13 us if the receiver says
    /// receive_segments(), too. sendmmsg and recvmmsg make it 1.2 us, so peal has none.
    /// Requires: segment_size != 0 (asserted).
    [[nodiscard]] detail::udp_send_operation send_segments_to(std::span<const std::byte> bytes, std::size_t segment_size,
                                                              const address& to) noexcept;
    [[nodiscard]] detail::udp_send_operation send_segments(std::span<const std::byte> bytes, std::size_t segment_size) noexcept;

    /// Receives what is sent to `group`, on the network interface of that name ("eth0"; "": the system's choice). Bind to the group's port. What is
    /// sent to groups that other sockets have joined does not come.
    void join_group(const address& group, std::string_view interface = "");
    void leave_group(const address& group, std::string_view interface = "");
    /// What is sent to groups from now on: by which interface; whether sockets on this machine get it, too (they do); through how many routers (0 to 255,
    /// 1 from the beginning: stays in the local network).
    void set_multicast_interface(std::string_view interface);
    void set_multicast_loop(bool on);
    void set_multicast_hops(int hops);
    /// Allows sending to broadcast addresses, which ends with permission_denied otherwise.
    void set_broadcast(bool on);

    address local_address() const;
    bool is_open() const noexcept { return socket_.is_open(); }
    /// The descriptor stays the socket's.
    int native_handle() const noexcept { return socket_.get(); }
    void close() noexcept { socket_.close(); }

  private:
    udp_socket(int fd, bool is_ipv6) noexcept : socket_(fd), is_ipv6_(is_ipv6) {}
    static udp_socket make(bool is_ipv6, const udp_options& options);
    void change_group(bool join, const address& group, std::string_view interface);

    detail::socket_handle socket_;
    bool is_ipv6_ = false;
    bool segments_ = false;
};

}  // namespace peal::net
