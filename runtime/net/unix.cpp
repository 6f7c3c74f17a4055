// SPDX-License-Identifier: MIT

#include <peal/net/unix.hpp>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <peal/detail/leaf_operation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/time/sleep.hpp>

#include "accept.hpp"
#include "message.hpp"
#include "socket.hpp"

namespace peal::net {

using peal::detail::operation_kind;

namespace {

/// How long to wait before asking again where the kernel does not tell: a full backlog, a receiver without room. Guesses, not measured.
class patience {
  public:
    auto next() noexcept {
        auto pause = pause_;
        pause_ = std::min(pause_ * 2, std::chrono::milliseconds(50));
        return sleep_for(pause);
    }

  private:
    std::chrono::milliseconds pause_{1};
};

detail::socket_handle new_socket(int type) {
    detail::socket_handle made(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    if (!made.is_open()) rt::throw_errno("socket");
    return made;
}

int connect_to(int fd, const unix_address& peer) noexcept {
    return ::connect(fd, static_cast<const sockaddr*>(peer.data()), static_cast<socklen_t>(peer.size()));
}

std::pair<int, int> pair_of(int type) {
    int ends[2];
    if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) rt::throw_errno("socketpair");
    return {ends[0], ends[1]};
}

/// By a plain system call: it takes nothing but what lies in memory. A ring would let a thread of its own wait for a full backlog.
task<detail::socket_handle> connect_socket(int type, unix_address peer) {
    detail::socket_handle made = new_socket(type | SOCK_NONBLOCK);
    if (this_task::stop_requested()) peal::detail::throw_canceled("connect");
    patience waiting;
    while (connect_to(made.get(), peer) != 0) {
        if (errno != EAGAIN && errno != EINTR) rt::throw_errno("connect " + peer.to_string());
        auto pause = waiting.next();
        co_await pause;
    }
    ::fcntl(made.get(), F_SETFL, 0);  // a ring takes no notice of waiting where the socket says that it does not
    co_return made;
}

/// A socket file that nobody listens on.
bool is_stale(int type, const unix_address& local) noexcept {
    if (local.is_unnamed() || local.is_abstract()) return false;
    struct ::stat facts;
    if (::lstat(local.name().data(), &facts) != 0 || !S_ISSOCK(facts.st_mode)) return false;  // a name ends with zero
    int asking = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (asking < 0) return false;
    bool refused = connect_to(asking, local) != 0 && errno == ECONNREFUSED;
    ::close(asking);
    return refused;
}

detail::socket_handle bound_socket(int type, const unix_address& local, const unix_bind_options& options) {
    detail::socket_handle made = new_socket(type);
    auto bind = [&] { return ::bind(made.get(), static_cast<const sockaddr*>(local.data()), static_cast<socklen_t>(local.size())); };
    int failed = bind();
    if (failed != 0 && errno == EADDRINUSE && options.replaces_stale()) {
        bool stale = is_stale(type, local);
        if (stale) ::unlink(local.name().data());
        errno = EADDRINUSE;
        if (stale) failed = bind();
    }
    if (failed != 0) rt::throw_errno("bind " + local.to_string());
    return made;
}

detail::socket_handle listening_socket(int type, const unix_address& local, const unix_bind_options& options) {
    detail::socket_handle made = bound_socket(type, local, options);
    if (::listen(made.get(), options.backlog()) != 0) rt::throw_errno("listen " + local.to_string());
    return made;
}

unix_address name_of(int fd, int (*ask)(int, sockaddr*, socklen_t*), const char* what) {
    sockaddr_un name{};
    socklen_t bytes = sizeof name;
    if (ask(fd, reinterpret_cast<sockaddr*>(&name), &bytes) != 0) rt::throw_errno(what);
    return unix_address::from_system(&name, bytes);
}

peer_credentials credentials_of(int fd) {
    ucred facts{};
    socklen_t bytes = sizeof facts;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &facts, &bytes) != 0) rt::throw_errno("getsockopt SO_PEERCRED");
    return peer_credentials(facts.pid, facts.uid, facts.gid);
}

/// Calls `use` for each descriptor that lies in the control messages.
template <class Use>
void each_descriptor(std::byte* bytes, Use use) {
    msghdr& header = rt::header_of(bytes);
    for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr; each = CMSG_NXTHDR(&header, each)) {
        if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SCM_RIGHTS) continue;
        std::size_t count = (each->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd;
            std::memcpy(&fd, CMSG_DATA(each) + i * sizeof fd, sizeof fd);
            use(fd);
        }
    }
}

}  // namespace

void descriptor::close() noexcept {
    if (fd_ >= 0) rt::close_file(release());
}

// ---- operations ---------------------------------------------------------------------------------------------------------------

namespace detail {

static_assert(CMSG_SPACE(descriptors_per_message_max * sizeof(int)) <= 1032 && sizeof(sockaddr_un) <= 112);

unix_receive_operation::unix_receive_operation(int fd, std::span<std::byte> buffer, unix_kind kind) noexcept
    : message_operation(operation_kind::receive_many, fd, buffer.data(), buffer.size()), kind_(kind) {
    flags |= MSG_CMSG_CLOEXEC;
    if (kind != unix_kind::stream) flags |= MSG_TRUNC;  // gives the size of what was sent
    if (kind == unix_kind::datagram) {
        use_name(name_, sizeof name_);
        step = &message_operation::notice_close;
    }
    use_control(control_, sizeof control_);
}

unix_receive_operation::~unix_receive_operation() {
    if (home == nullptr || outcome < 0) return;  // not begun, or nothing came
    each_descriptor(header_, [](int fd) { rt::close_file(fd); });
}

std::vector<descriptor> unix_receive_operation::take_descriptors() {
    std::size_t count = 0;
    each_descriptor(header_, [&count](int) { ++count; });
    std::vector<descriptor> taken;
    taken.reserve(count);  // may throw: then they are still this operation's
    each_descriptor(header_, [&taken](int fd) { taken.emplace_back(fd); });
    use_control(nullptr, 0);
    return taken;
}

unix_message unix_receive_operation::received() {
    auto full_size = static_cast<std::size_t>(outcome);
    msghdr& header = rt::header_of(header_);
    std::vector<descriptor> descriptors = take_descriptors();
    unix_address sender = kind_ == unix_kind::datagram ? unix_address::from_system(name_, header.msg_namelen) : unix_address();
    return unix_message(sender, std::min(full_size, piece_.size), full_size, std::move(descriptors), (header.msg_flags & MSG_CTRUNC) != 0);
}

unix_send_operation::unix_send_operation(int fd, const unix_address* to, std::span<const std::byte> bytes, std::span<const int> descriptors,
                                         unix_kind kind) noexcept
    : message_operation(operation_kind::send_many, fd, bytes.data(), bytes.size()) {
    PEAL_ASSERT(descriptors.size() <= descriptors_per_message_max, "more descriptors than go with one message: send them with several");
    if (to != nullptr) use_name(to->data(), to->size());
    if (kind != unix_kind::stream) flags |= MSG_DONTWAIT;  // see wait_for_room(); and somebody else than the peer having room is not told by the kernel
    if (!descriptors.empty()) {
        PEAL_ASSERT(kind != unix_kind::stream || !bytes.empty(), "descriptors go with the first byte of a stream, and there is none");
        use_control(control_, CMSG_SPACE(descriptors.size_bytes()));
        std::memset(control_, 0, CMSG_SPACE(descriptors.size_bytes()));
        cmsghdr* rights = CMSG_FIRSTHDR(&rt::header_of(header_));
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(descriptors.size_bytes());
        std::memcpy(CMSG_DATA(rights), descriptors.data(), descriptors.size_bytes());
    }
    if (kind == unix_kind::stream) step = &unix_send_operation::next_round;
    if (kind != unix_kind::stream && to == nullptr) step = &unix_send_operation::wait_for_room;
}

// A ring that tries to send a message to a full socket has copied it by then, and tries again later with what is left of it: an empty message (seen on
// Linux 6.18; streams are not concerned). So it is told not to wait, then waits for room, then begins anew.
bool unix_send_operation::wait_for_room(operation& self) noexcept {
    bool has_sent = std::exchange(self.kind, operation_kind::send_many) == operation_kind::send_many;
    if (has_sent && self.outcome == -EAGAIN) {
        self.kind = operation_kind::wait_writable;
        return true;
    }
    return !has_sent && self.outcome >= 0;
}

bool unix_send_operation::next_round(operation& self) noexcept {
    auto& me = static_cast<unix_send_operation&>(self);
    if (me.outcome <= 0) return false;
    auto moved = static_cast<std::size_t>(me.outcome);
    if (moved >= me.piece_.size) return false;
    me.transferred += moved;
    me.piece_.data = static_cast<std::byte*>(me.piece_.data) + moved;
    me.piece_.size -= moved;
    me.use_control(nullptr, 0);  // they went with the first byte
    return true;
}

}  // namespace detail

// ---- unix_stream --------------------------------------------------------------------------------------------------------------

task<unix_stream> unix_stream::connect(unix_address peer) {
    detail::socket_handle connected = co_await connect_socket(SOCK_STREAM, peer);
    co_return unix_stream(connected.release());
}

std::pair<unix_stream, unix_stream> unix_stream::pair() {
    auto ends = pair_of(SOCK_STREAM);
    return {unix_stream(ends.first), unix_stream(ends.second)};
}

peer_credentials unix_stream::peer() const { return credentials_of(native_handle()); }
unix_address unix_stream::local_address() const { return name_of(native_handle(), ::getsockname, "getsockname"); }
unix_address unix_stream::peer_address() const { return name_of(native_handle(), ::getpeername, "getpeername"); }

// ---- unix_seqpacket -----------------------------------------------------------------------------------------------------------

task<unix_seqpacket> unix_seqpacket::connect(unix_address peer) {
    detail::socket_handle connected = co_await connect_socket(SOCK_SEQPACKET, peer);
    co_return unix_seqpacket(connected.release());
}

std::pair<unix_seqpacket, unix_seqpacket> unix_seqpacket::pair() {
    auto ends = pair_of(SOCK_SEQPACKET);
    return {unix_seqpacket(ends.first), unix_seqpacket(ends.second)};
}

void unix_seqpacket::shutdown_write() {
    if (rt::shutdown_socket_writing(native_handle()) != 0) rt::throw_errno("shutdown");
}

peer_credentials unix_seqpacket::peer() const { return credentials_of(native_handle()); }
unix_address unix_seqpacket::local_address() const { return name_of(native_handle(), ::getsockname, "getsockname"); }
unix_address unix_seqpacket::peer_address() const { return name_of(native_handle(), ::getpeername, "getpeername"); }

// ---- unix_datagram ------------------------------------------------------------------------------------------------------------

unix_datagram unix_datagram::bind(const unix_address& local, const unix_bind_options& options) {
    return unix_datagram(bound_socket(SOCK_DGRAM, local, options).release());
}

unix_datagram unix_datagram::open() { return unix_datagram(new_socket(SOCK_DGRAM).release()); }

std::pair<unix_datagram, unix_datagram> unix_datagram::pair() {
    auto ends = pair_of(SOCK_DGRAM);
    return {unix_datagram(ends.first), unix_datagram(ends.second)};
}

void unix_datagram::set_peer(const unix_address& peer) {
    if (connect_to(native_handle(), peer) != 0) rt::throw_errno("connect " + peer.to_string());
}

task<> unix_datagram::send_to(std::span<const std::byte> bytes, unix_address to, std::span<const int> descriptors) {
    // The socket may be closed or destroyed during a pause below: from here on it is not touched.
    const int fd = native_handle();
    rt::descriptor_use in_use(fd);
    patience waiting;
    for (;;) {
        detail::unix_send_operation sending(fd, &to, bytes, descriptors, detail::unix_kind::datagram);
        auto sent = co_await as_result(sending);
        if (sent) co_return;
        if (sent.error().code() != std::errc::resource_unavailable_try_again) sent.error().raise();
        auto pause = waiting.next();
        co_await pause;
    }
}

unix_address unix_datagram::local_address() const { return name_of(native_handle(), ::getsockname, "getsockname"); }

// ---- listeners ----------------------------------------------------------------------------------------------------------------

unix_listener unix_listener::bind(const unix_address& local, const unix_bind_options& options) {
    return unix_listener(listening_socket(SOCK_STREAM, local, options));
}
task<unix_stream> unix_listener::accept() { return rt::accept_on<unix_stream>(socket_); }
unix_address unix_listener::local_address() const { return name_of(native_handle(), ::getsockname, "getsockname"); }

unix_seqpacket_listener unix_seqpacket_listener::bind(const unix_address& local, const unix_bind_options& options) {
    return unix_seqpacket_listener(listening_socket(SOCK_SEQPACKET, local, options));
}
task<unix_seqpacket> unix_seqpacket_listener::accept() { return rt::accept_on<unix_seqpacket>(socket_); }
unix_address unix_seqpacket_listener::local_address() const { return name_of(native_handle(), ::getsockname, "getsockname"); }

}  // namespace peal::net
