// SPDX-License-Identifier: MIT

#include <peal/net/tcp.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <climits>
#include <system_error>

#include <peal/detail/operation.hpp>
#include <peal/net/resolve.hpp>
#include <peal/task/as_result.hpp>

#include "accept.hpp"
#include "socket.hpp"

namespace peal::net {

using peal::detail::operation_kind;

namespace {

int new_socket(const address& family_of) {
    int fd = ::socket(family_of.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) rt::throw_errno("socket");
    return fd;
}

/// Refuses what does not fit, as the system does.
template <class Rep, class Period>
int as_int(std::chrono::duration<Rep, Period> time) {
    return time.count() < 0 || time.count() > INT_MAX ? -1 : static_cast<int>(time.count());
}

class connect_operation : public peal::detail::void_operation {
  public:
    connect_operation(int fd, const net::address& peer) noexcept : void_operation(operation_kind::connect) {
        this->fd = fd;
        this->address = const_cast<void*>(peer.data());
        this->length = peer.size();
    }
};

}  // namespace

// ---- tcp_stream ---------------------------------------------------------------------------------------------------------------

tcp_stream::tcp_stream(int fd) noexcept : stream_socket(fd) {
    int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // fails on what is no TCP socket: nothing is lost
}

task<tcp_stream> tcp_stream::connect(address peer) {
    detail::socket_handle socket(new_socket(peer));
    connect_operation connecting(socket.get(), peer);
    auto connected = co_await as_result(connecting);
    if (!connected) {
        throw std::system_error(connected.error().code(), "connect " + peer.to_string());
    }
    co_return tcp_stream(socket.release());
}

task<tcp_stream> tcp_stream::connect(std::string host, std::string service) {
    std::vector<address> candidates = co_await resolve(std::move(host), std::move(service));
    co_return co_await connect_any(std::move(candidates));
}

void tcp_stream::set_no_delay(bool on) { rt::set_option(socket_.get(), IPPROTO_TCP, TCP_NODELAY, on ? 1 : 0, "setsockopt TCP_NODELAY"); }

void tcp_stream::set_keep_alive(std::chrono::seconds idle, std::chrono::seconds interval, unsigned count) {
    const int fd = socket_.get();
    if (idle.count() != 0) {
        rt::set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, as_int(idle), "setsockopt TCP_KEEPIDLE");
        rt::set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, as_int(interval), "setsockopt TCP_KEEPINTVL");
        rt::set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, static_cast<int>(std::min(count, 255u)), "setsockopt TCP_KEEPCNT");  // 127 at most
    }
    rt::set_option(fd, SOL_SOCKET, SO_KEEPALIVE, idle.count() != 0 ? 1 : 0, "setsockopt SO_KEEPALIVE");
}

void tcp_stream::set_user_timeout(std::chrono::milliseconds limit) {
    rt::set_option(socket_.get(), IPPROTO_TCP, TCP_USER_TIMEOUT, as_int(limit), "setsockopt TCP_USER_TIMEOUT");
}

void tcp_stream::reset() noexcept {
    if (!is_open()) return;
    // Disconnecting sends the reset and ends what waits. The close that follows shuts down first: alone, it would send an orderly end.
    linger at_once{1, 0};
    rt::set_socket_option(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    rt::disconnect_socket(socket_.get());
    close();
}

address tcp_stream::local_address() const { return rt::name_of(socket_.get(), ::getsockname, "getsockname"); }
address tcp_stream::peer_address() const { return rt::name_of(socket_.get(), ::getpeername, "getpeername"); }

// ---- tcp_listener -------------------------------------------------------------------------------------------------------------

tcp_listener tcp_listener::bind(const address& local, const listen_options& options) {
    tcp_listener listener(new_socket(local));
    const int fd = listener.socket_.get();
    rt::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR");
    if (options.reuse_port_) rt::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT");
    if (options.receive_buffer_ != 0) rt::set_receive_buffer(fd, options.receive_buffer_);
    if (options.send_buffer_ != 0) rt::set_send_buffer(fd, options.send_buffer_);
    if (options.fast_open_ != 0) rt::set_option(fd, IPPROTO_TCP, TCP_FASTOPEN, options.fast_open_, "setsockopt TCP_FASTOPEN");
    if (::bind(fd, static_cast<const sockaddr*>(local.data()), static_cast<socklen_t>(local.size())) != 0) {
        rt::throw_errno("bind " + local.to_string());
    }
    if (::listen(fd, options.backlog_) != 0) rt::throw_errno("listen " + local.to_string());
    return listener;
}

task<tcp_stream> tcp_listener::accept() { return rt::accept_on<tcp_stream>(socket_); }

address tcp_listener::local_address() const { return rt::name_of(socket_.get(), ::getsockname, "getsockname"); }

}  // namespace peal::net
