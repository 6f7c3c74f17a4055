// SPDX-License-Identifier: MIT
#pragma once

// TCP: tcp_stream, a connection, and tcp_listener, where connections come from.

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <peal/net/address.hpp>
#include <peal/net/socket.hpp>
#include <peal/net/stream_socket.hpp>
#include <peal/task/task.hpp>

namespace peal::net {


/// A TCP connection. What it reads and writes with, and how a half of it is closed: stream_socket.
///
/// Options may be set at any time, from any thread; on a simulated stream they do nothing. Those of the system's own range (a time that is too
/// long, say) end with invalid_argument and the name of the option.
class PEAL_EXPORT tcp_stream : public stream_socket {
  public:
    tcp_stream() noexcept = default;
    /// Takes over a connected socket. TCP_NODELAY is set.
    explicit tcp_stream(int fd) noexcept;

    /// Connects to a numeric address.
    static task<tcp_stream> connect(address peer);
    /// Resolves, then connect_any() to what was found.
    static task<tcp_stream> connect(std::string host, std::string service);
    /// Connects to the first of these addresses that answers (happy eyeballs, RFC 8305): IPv6 and IPv4 take turns, beginning with the family of
    /// the first; the next attempt begins when the last one has failed, or `stagger` after it began; the first connection wins, the other attempts are
    /// stopped and closed, and awaited. So an address that does not answer costs a quarter of a second and not two minutes.
    ///
    /// Cancellation: passes it on to the attempts.
    /// Errors:       if all fail, that of the attempt that came farthest: refused by somebody, then without an answer, then without a way there.
    ///               invalid_argument if there is no address.
    static task<tcp_stream> connect_any(std::vector<address> candidates, std::chrono::milliseconds stagger = std::chrono::milliseconds(250));

    /// On from the beginning: small writes leave at once. Off: the system may wait for more to send, or for the peer's acknowledgment.
    void set_no_delay(bool on);
    /// Asks a silent peer whether it is still there: first after `idle`, then every `interval`; after `count` questions without an answer the
    /// connection ends with timed_out. Off from the beginning; `idle` of zero turns it off. Whole seconds; the rest is dropped.
    void set_keep_alive(std::chrono::seconds idle, std::chrono::seconds interval, unsigned count);
    /// So long may what was written stay unacknowledged; then the connection ends with timed_out. Zero: the system's own patience, many minutes.
    /// With keep-alive on it also limits that, in the place of `count`.
    void set_user_timeout(std::chrono::milliseconds limit);

    /// write_all() of one piece of memory of at least so many bytes is sent from where it lies, without the kernel's copy. It ends when the kernel has let go
    /// of the memory: when the peer has acknowledged, a round trip later than otherwise. Off from the beginning; zero turns it off.
    ///
    /// Pays on network cards that gather what they send, as others have measured from 16 KiB on, and only if what is written is large beside what a round
    /// trip can carry, or many connections are served. Not where the peer is on this machine: the kernel copies there in the end. To such peers nothing
    /// changes, whatever is set. Nothing changes either on a kernel before 6.0 or under epoll; and where the kernel has no memory for it at the
    /// moment, or the socket cannot, the bytes go by a copy.
    ///
    /// Cancellation: of what the kernel has taken already, it is waited for all the same: until a silent peer is given up. set_user_timeout() bounds
    ///               that, reset() ends it at once.
    /// Measured:     on loopback only, where it mostly loses: runtime/net/zero_copy.cpp.
    void set_zero_copy(std::size_t from_bytes) noexcept;

    /// Ends the connection at once by a reset and closes it: what was written and not sent yet is dropped, the peer gets connection_reset,
    /// and so does what waits here. This is what SO_LINGER with a time of zero is for. There is no other linger: close() would block a worker
    /// that long. Who must know that all has arrived shuts down writing and reads until the peer's end.
    void reset() noexcept;

    address local_address() const;
    address peer_address() const;
};

/// How a listener is made:
///     tcp_listener::bind("[::]:443", listen_options().reuse_port().fast_open(64))
class PEAL_EXPORT listen_options {
  public:
    /// `backlog`: so many connections at most wait to be accepted; net.core.somaxconn limits it, too.
    explicit listen_options(int backlog = 1024) noexcept : backlog_(backlog) {}

    /// Several listeners of one user share the address (SO_REUSEPORT): the kernel deals connections out by a hash of their addresses. All of them
    /// must say so. A connection that waits in a listener that is closed is lost to its caller.
    listen_options& reuse_port(bool on = true) noexcept { reuse_port_ = on; return *this; }
    /// Takes data that comes with the first packet of a returning client (TCP_FASTOPEN): it saves a round trip. At most `pending` such
    /// connections wait for the end of their handshake. An attacker can replay that first data: for requests that may be served twice only. Does nothing
    /// unless net.ipv4.tcp_fastopen has the bit 2.
    listen_options& fast_open(int pending) noexcept { fast_open_ = pending; return *this; }
    /// For the connections that are accepted; see stream_socket. The window is chosen when a connection begins, so a large one is set here.
    listen_options& receive_buffer(std::size_t bytes) noexcept { receive_buffer_ = bytes; return *this; }
    listen_options& send_buffer(std::size_t bytes) noexcept { send_buffer_ = bytes; return *this; }

  private:
    friend class tcp_listener;
    int backlog_;
    int fast_open_ = 0;               // 0: off
    std::size_t receive_buffer_ = 0;  // 0: the system's choice
    std::size_t send_buffer_ = 0;
    bool reuse_port_ = false;
};

/// Accepts TCP connections.
///
/// Threads:      several tasks may accept.
/// Cancellation: a connection that was won after all is delivered.
/// Lifetime:     as tcp_stream: closing ends waiting accepts with invalid_argument.
class PEAL_EXPORT tcp_listener {
  public:
    /// "127.0.0.1:7000", "[::1]:0"; port 0 lets the system choose. SO_REUSEADDR is set.
    static tcp_listener bind(std::string_view local, const listen_options& options = listen_options()) {
        return bind(address::parse(local), options);
    }
    static tcp_listener bind(const address& local, const listen_options& options = listen_options());

    /// The next connection.
    ///
    /// What is wrong with one connection or will pass does not end the wait: a peer that gave up (ECONNABORTED) is skipped; when
    /// descriptors or memory run out, it waits 20 ms and tries again, and the backlog keeps the callers.
    [[nodiscard]] task<tcp_stream> accept();

    address local_address() const;
    void close() noexcept { socket_.close(); }
    int native_handle() const noexcept { return socket_.get(); }

  private:
    explicit tcp_listener(int fd) noexcept : socket_(fd) {}

    detail::socket_handle socket_;
};

}  // namespace peal::net
