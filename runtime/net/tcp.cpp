// SPDX-License-Identifier: MIT

#include <peal/net/tcp.hpp>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <new>
#include <system_error>

#include <peal/net/resolve.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "../task/descriptors.hpp"
#include "../task/lease_pool.hpp"

namespace peal::net {

using peal::detail::operation;
using peal::detail::no_offset;
using peal::detail::operation_kind;
using peal::detail::size_operation;
using rounds = peal::detail::size_operation::rounds;

namespace {

static_assert(sizeof(io::mutable_buffer) == sizeof(iovec) && sizeof(io::const_buffer) == sizeof(iovec));
static_assert(sizeof(msghdr) == 56);

constexpr auto exhausted_pause = std::chrono::milliseconds(50);  // accept() without descriptors or memory: guess, not measured

[[noreturn]] void throw_errno(const std::string& what) { throw std::system_error(errno, std::system_category(), what); }

int new_socket(const address& family_of) {
    int fd = ::socket(family_of.is_ipv6() ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw_errno("socket");
    return fd;
}

address name_of(int fd, int (*ask)(int, sockaddr*, socklen_t*), const char* what) {
    sockaddr_storage name{};
    socklen_t bytes = sizeof name;
    if (ask(fd, reinterpret_cast<sockaddr*>(&name), &bytes) != 0) throw_errno(what);
    return address::from_system(&name, bytes);
}

bool is_listening(int fd) noexcept {
    int listening = 0;
    socklen_t bytes = sizeof listening;
    return ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &bytes) == 0 && listening != 0;
}

class accept_operation : public operation {
  public:
    explicit accept_operation(int fd) noexcept : operation(operation_kind::accept) { this->fd = fd; }
    int await_resume() const noexcept { return outcome; }  // a descriptor or -errno
};

class connect_operation : public peal::detail::void_operation {
  public:
    connect_operation(int fd, const net::address& peer) noexcept : void_operation(operation_kind::connect) {
        this->fd = fd;
        this->address = const_cast<void*>(peer.data());
        this->length = peer.size();
    }
};

}  // namespace

namespace detail {

void socket_handle::close() noexcept {
    if (fd_ < 0) return;
    // close() alone ends no request that waits in the kernel; a shutdown does, whatever ring it waits on.
    rt::close_socket(std::exchange(fd_, -1));
}

vectored_operation::vectored_operation(operation_kind kind, int fd, void* buffers, std::size_t count, rounds rounds) noexcept
    : size_operation(kind), pieces_(static_cast<piece*>(buffers)), count_(count) {
    auto* header = ::new (header_) msghdr{};
    header->msg_iov = static_cast<iovec*>(buffers);
    header->msg_iovlen = count;
    this->fd = fd;
    this->address = header_;
    this->length = 1;
    this->flags = MSG_NOSIGNAL;
    if (rounds == rounds::all) {
        this->flags |= MSG_WAITALL;
        step = &vectored_operation::next_round;
    }
}

void vectored_operation::skip(std::size_t bytes) noexcept {
    while (count_ != 0 && bytes >= pieces_->size) {
        bytes -= pieces_->size;
        ++pieces_;
        --count_;
    }
    if (count_ != 0) {
        pieces_->data = static_cast<std::byte*>(pieces_->data) + bytes;
        pieces_->size -= bytes;
    }
}

bool vectored_operation::next_round(operation& self) noexcept {
    auto& me = static_cast<vectored_operation&>(self);
    if (me.outcome <= 0) return false;
    std::size_t left = 0;
    for (std::size_t i = 0; i < me.count_; ++i) left += me.pieces_[i].size;
    auto moved = static_cast<std::size_t>(me.outcome);
    if (moved >= left) return false;
    me.transferred += moved;
    me.skip(moved);
    auto* header = reinterpret_cast<msghdr*>(me.header_);
    header->msg_iov = reinterpret_cast<iovec*>(me.pieces_);
    header->msg_iovlen = me.count_;
    return true;
}

receive_operation::receive_operation(int fd) noexcept : operation(operation_kind::receive_lease) {
    this->fd = fd;
    this->length = rt::lease_pool::buffer_bytes;
}

receive_operation::~receive_operation() { static_cast<void>(take()); }

/// The lease, once; an empty one returns the buffer, if there is one.
io::lease receive_operation::take() noexcept {
    auto size = static_cast<std::size_t>(outcome > 0 ? outcome : 0);
    return io::lease(static_cast<rt::lease_pool*>(extra), static_cast<std::byte*>(std::exchange(address, nullptr)), size);
}

io::lease receive_operation::await_resume() { return result().value(); }

peal::result<io::lease> receive_operation::result() {
    io::lease taken = take();
    if (outcome < 0) return failure();
    return taken;
}

}  // namespace detail

// ---- tcp_stream ---------------------------------------------------------------------------------------------------------------

tcp_stream::tcp_stream(int fd) noexcept : socket_(fd) {
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
    tcp_stream stream;
    stream.socket_ = std::move(socket);
    int on = 1;
    ::setsockopt(stream.socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    co_return stream;
}

task<tcp_stream> tcp_stream::connect(std::string host, std::string service) {
    std::vector<address> addresses = co_await resolve(std::move(host), std::move(service));
    for (std::size_t i = 0;; ++i) {
        task<tcp_stream> attempt = connect(addresses[i]);
        result<tcp_stream> connected = co_await as_result(std::move(attempt));
        if (connected) co_return std::move(*connected);
        if (i + 1 == addresses.size() || connected.error().is_canceled()) connected.error().raise();
    }
}

detail::receive_operation tcp_stream::receive() noexcept { return detail::receive_operation(socket_.get()); }

size_operation tcp_stream::read(std::span<std::byte> buffer) noexcept {
    return size_operation(operation_kind::receive, socket_.get(), buffer.data(), buffer.size(), 0, no_offset, rounds::one);
}
size_operation tcp_stream::read_exactly(std::span<std::byte> buffer) noexcept {
    return size_operation(operation_kind::receive, socket_.get(), buffer.data(), buffer.size(), MSG_WAITALL, no_offset,
                          rounds::all);
}
size_operation tcp_stream::write(std::span<const std::byte> bytes) noexcept {
    return size_operation(operation_kind::send, socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL, no_offset, rounds::one);
}
size_operation tcp_stream::write_all(std::span<const std::byte> bytes) noexcept {
    return size_operation(operation_kind::send, socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_WAITALL, no_offset,
                          rounds::all);
}

detail::vectored_operation tcp_stream::read(std::span<const io::mutable_buffer> pieces) noexcept {
    return detail::vectored_operation(operation_kind::receive_many, socket_.get(), const_cast<io::mutable_buffer*>(pieces.data()),
                                      pieces.size(), detail::vectored_operation::rounds::one);
}
detail::vectored_operation tcp_stream::write(std::span<const io::const_buffer> pieces) noexcept {
    return detail::vectored_operation(operation_kind::send_many, socket_.get(), const_cast<io::const_buffer*>(pieces.data()),
                                      pieces.size(), detail::vectored_operation::rounds::one);
}
detail::vectored_operation tcp_stream::write_all(std::span<io::const_buffer> pieces) noexcept {
    return detail::vectored_operation(operation_kind::send_many, socket_.get(), pieces.data(), pieces.size(),
                                      detail::vectored_operation::rounds::all);
}

void tcp_stream::shutdown_write() {
    if (rt::shutdown_socket_writing(socket_.get()) != 0) throw_errno("shutdown");
}

address tcp_stream::local_address() const { return name_of(socket_.get(), ::getsockname, "getsockname"); }
address tcp_stream::peer_address() const { return name_of(socket_.get(), ::getpeername, "getpeername"); }

// ---- tcp_listener -------------------------------------------------------------------------------------------------------------

tcp_listener tcp_listener::bind(const address& local, int backlog) {
    tcp_listener listener(new_socket(local));
    int on = 1;
    ::setsockopt(listener.socket_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (::bind(listener.socket_.get(), static_cast<const sockaddr*>(local.data()), static_cast<socklen_t>(local.size())) != 0) {
        throw_errno("bind " + local.to_string());
    }
    if (::listen(listener.socket_.get(), backlog) != 0) throw_errno("listen " + local.to_string());
    return listener;
}

task<tcp_stream> tcp_listener::accept() {
    // The listener may be closed or destroyed during the pause below: from here on it is not touched.
    const int fd = socket_.get();
    rt::descriptor_use in_use(fd);
    for (;;) {
        accept_operation accepting(fd);
        int accepted = co_await accepting;
        if (accepted >= 0) co_return tcp_stream(accepted);
        switch (-accepted) {
            case ECONNABORTED:  // the peer gave up in the backlog
            case EINTR:
            case EAGAIN:
            case EPROTO:        // errors of the network below, already pending on the new connection (man 2 accept)
            case ENETDOWN:
            case ENOPROTOOPT:
            case EHOSTDOWN:
            case ENONET:
            case EHOSTUNREACH:
            case ENETUNREACH:
                break;
            case EMFILE:        // out of descriptors or memory: it passes when connections end
            case ENFILE:
            case ENOBUFS:
            case ENOMEM:
                co_await sleep_for(exhausted_pause);
                // Without a free descriptor the system does not even look whether the listener still listens.
                if (!is_listening(fd)) throw std::system_error(EINVAL, std::system_category(), "accept");
                break;
            default:
                throw std::system_error(-accepted, std::system_category(), "accept");
        }
    }
}

address tcp_listener::local_address() const { return name_of(socket_.get(), ::getsockname, "getsockname"); }

}  // namespace peal::net
