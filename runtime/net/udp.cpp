// SPDX-License-Identifier: MIT

#include <peal/net/udp.hpp>

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "../base/zero_bytes.hpp"
#include "message.hpp"
#include "socket.hpp"

namespace peal::net {

using peal::detail::operation_kind;

namespace {

constexpr std::size_t segments_at_once = 64;    // UDP_MAX_SEGMENTS of the kernels before 6.9
constexpr std::size_t bytes_at_once = 65'000;   // a datagram with its headers has at most 65,535

int index_of(std::string_view interface) {
    if (interface.empty()) return 0;
    std::string name(interface);
    rt::check_whole("network interface " + name);
    unsigned index = ::if_nametoindex(name.c_str());
    if (index == 0) rt::throw_errno("network interface " + name);
    return static_cast<int>(index);
}

}  // namespace

namespace detail {

udp_receive_operation::udp_receive_operation(int fd, std::span<std::byte> buffer, bool segments) noexcept
    : message_operation(operation_kind::receive_many, fd, buffer.data(), buffer.size()) {
    static_assert(CMSG_SPACE(sizeof(int)) <= sizeof control_);
    flags |= MSG_TRUNC;  // gives the size of what was sent
    use_name(name_, sizeof name_);
    if (segments) use_control(control_, sizeof control_);
    step = &message_operation::notice_close;
}

datagram udp_receive_operation::received() const {
    auto full_size = static_cast<std::size_t>(outcome);
    std::size_t size = std::min(full_size, piece_.size);
    msghdr header;
    std::memcpy(&header, header_, sizeof header);
    int segment = 0;
    if (header.msg_control != nullptr) {
        for (cmsghdr* each = CMSG_FIRSTHDR(&header); each != nullptr; each = CMSG_NXTHDR(&header, each)) {
            if (each->cmsg_level == IPPROTO_UDP && each->cmsg_type == UDP_GRO) std::memcpy(&segment, CMSG_DATA(each), sizeof segment);
        }
    }
    return datagram(net::address::from_system(name_, header.msg_namelen), size, full_size, segment > 0 ? static_cast<std::size_t>(segment) : full_size);
}

udp_send_operation::udp_send_operation(int fd, const net::address* to, std::span<const std::byte> bytes, std::size_t segment_size) noexcept
    : message_operation(operation_kind::send_many, fd, bytes.data(), bytes.size()), segment_size_(segment_size), left_(bytes.size()) {
    if (to != nullptr) {
        to_ = *to;
        use_name(to_.data(), to_.size());
    }
    if (segment_size == 0) return;
    step = &udp_send_operation::next_round;
    prepare_round();
}

void udp_send_operation::prepare_round() noexcept {
    std::size_t segments = one_by_one_ ? 1 : std::clamp<std::size_t>(bytes_at_once / segment_size_, 1, segments_at_once);
    piece_.size = std::min(left_, segments * segment_size_);
    if (piece_.size <= segment_size_) return use_control(nullptr, 0);
    static_assert(CMSG_SPACE(sizeof(std::uint16_t)) <= sizeof control_);
    use_control(control_, CMSG_SPACE(sizeof(std::uint16_t)));
    std::memset(control_, 0, sizeof control_);
    cmsghdr* divide = CMSG_FIRSTHDR(&rt::header_of(header_));
    divide->cmsg_level = IPPROTO_UDP;
    divide->cmsg_type = UDP_SEGMENT;
    divide->cmsg_len = CMSG_LEN(sizeof(std::uint16_t));
    auto size = static_cast<std::uint16_t>(segment_size_);  // more than one of them fit into bytes_at_once
    std::memcpy(CMSG_DATA(divide), &size, sizeof size);
}

bool udp_send_operation::next_round(operation& self) noexcept {
    auto& me = static_cast<udp_send_operation&>(self);
    if (me.outcome < 0) {
        // EINVAL: segments that do not fit the network's packets, or a kernel before 4.18; EIO: a network card that cannot. Singly they may go.
        bool was_divided = me.piece_.size > me.segment_size_;
        if (!was_divided || (me.outcome != -EINVAL && me.outcome != -EIO && me.outcome != -EOPNOTSUPP)) return false;
        me.one_by_one_ = true;
    } else {
        me.piece_.data = static_cast<std::byte*>(me.piece_.data) + me.piece_.size;
        me.left_ -= me.piece_.size;
        if (me.left_ == 0) return false;
    }
    me.prepare_round();
    return true;
}

}  // namespace detail

udp_socket udp_socket::make(bool is_ipv6, const udp_options& options) {
    udp_socket made(::socket(is_ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), is_ipv6);
    const int fd = made.native_handle();
    if (fd < 0) rt::throw_errno("socket");
    if (options.reuse_port_) rt::set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1, "setsockopt SO_REUSEPORT");
    if (options.reuse_address_) rt::set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1, "setsockopt SO_REUSEADDR");
    if (options.receive_buffer_ != 0) rt::set_receive_buffer(fd, options.receive_buffer_);
    if (options.send_buffer_ != 0) rt::set_send_buffer(fd, options.send_buffer_);
    // Without this a socket gets what is sent to the groups of all other sockets of the machine. Linux before 4.20 cannot do that for IPv6.
    int off = 0;
    static_cast<void>(is_ipv6 ? ::setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off)
                              : ::setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off));
    int on = 1;
    made.segments_ = options.segments_ && ::setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) == 0;  // else each by itself
    return made;
}

udp_socket udp_socket::bind(const address& local, const udp_options& options) {
    udp_socket made = make(local.is_ipv6(), options);
    if (::bind(made.native_handle(), static_cast<const sockaddr*>(local.data()), static_cast<socklen_t>(local.size())) != 0) {
        rt::throw_errno("bind " + local.to_string());
    }
    return made;
}

udp_socket udp_socket::connect(const address& peer, const udp_options& options) {
    udp_socket made = make(peer.is_ipv6(), options);
    made.set_peer(peer);
    return made;
}

void udp_socket::set_peer(const address& peer) {
    // Nothing is sent, so this does not wait. Not by ::connect(): ThreadSanitizer takes that for a new socket, and a worker may be receiving here.
    if (::syscall(SYS_connect, native_handle(), peer.data(), static_cast<socklen_t>(peer.size())) != 0) {
        rt::throw_errno("connect " + peer.to_string());
    }
}

detail::udp_receive_operation udp_socket::receive(std::span<std::byte> buffer) noexcept {
    return detail::udp_receive_operation(native_handle(), buffer, segments_);
}

detail::udp_send_operation udp_socket::send_to(std::span<const std::byte> bytes, const address& to) noexcept {
    return detail::udp_send_operation(native_handle(), &to, bytes, 0);
}
detail::udp_send_operation udp_socket::send(std::span<const std::byte> bytes) noexcept {
    return detail::udp_send_operation(native_handle(), nullptr, bytes, 0);
}

detail::udp_send_operation udp_socket::send_segments_to(std::span<const std::byte> bytes, std::size_t segment_size, const address& to) noexcept {
    PEAL_ASSERT(segment_size != 0, "udp_socket::send_segments_to() with segments of no bytes would never end");
    return detail::udp_send_operation(native_handle(), &to, bytes, segment_size);
}
detail::udp_send_operation udp_socket::send_segments(std::span<const std::byte> bytes, std::size_t segment_size) noexcept {
    PEAL_ASSERT(segment_size != 0, "udp_socket::send_segments() with segments of no bytes would never end");
    return detail::udp_send_operation(native_handle(), nullptr, bytes, segment_size);
}

void udp_socket::change_group(bool join, const address& group, std::string_view interface) {
    const int fd = native_handle();
    const char* what = join ? "joining a multicast group" : "leaving a multicast group";
    if (group.is_ipv6()) {
        ipv6_mreq request{};
        sockaddr_in6 wanted;
        std::memcpy(&wanted, group.data(), sizeof wanted);
        request.ipv6mr_multiaddr = wanted.sin6_addr;
        request.ipv6mr_interface = static_cast<unsigned>(index_of(interface));
        rt::set_option(fd, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &request, sizeof request, what);
    } else {
        ip_mreqn request{};
        sockaddr_in wanted;
        std::memcpy(&wanted, group.data(), sizeof wanted);
        request.imr_multiaddr = wanted.sin_addr;
        request.imr_ifindex = index_of(interface);
        rt::set_option(fd, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request, sizeof request, what);
    }
}

void udp_socket::join_group(const address& group, std::string_view interface) { change_group(true, group, interface); }
void udp_socket::leave_group(const address& group, std::string_view interface) { change_group(false, group, interface); }

void udp_socket::set_multicast_interface(std::string_view interface) {
    int index = index_of(interface);
    if (is_ipv6_) return rt::set_option(native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_IF, index, "setsockopt IPV6_MULTICAST_IF");
    ip_mreqn request{};
    request.imr_ifindex = index;
    rt::set_option(native_handle(), IPPROTO_IP, IP_MULTICAST_IF, &request, sizeof request, "setsockopt IP_MULTICAST_IF");
}

void udp_socket::set_multicast_loop(bool on) {
    if (is_ipv6_) return rt::set_option(native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_LOOP, on ? 1 : 0, "setsockopt IPV6_MULTICAST_LOOP");
    rt::set_option(native_handle(), IPPROTO_IP, IP_MULTICAST_LOOP, on ? 1 : 0, "setsockopt IP_MULTICAST_LOOP");
}

void udp_socket::set_multicast_hops(int hops) {
    if (hops < 0) hops = 256;  // -1 means "the default" to the system: here it is no number of routers
    if (is_ipv6_) return rt::set_option(native_handle(), IPPROTO_IPV6, IPV6_MULTICAST_HOPS, hops, "setsockopt IPV6_MULTICAST_HOPS");
    rt::set_option(native_handle(), IPPROTO_IP, IP_MULTICAST_TTL, hops, "setsockopt IP_MULTICAST_TTL");
}

void udp_socket::set_broadcast(bool on) { rt::set_option(native_handle(), SOL_SOCKET, SO_BROADCAST, on ? 1 : 0, "setsockopt SO_BROADCAST"); }

address udp_socket::local_address() const { return rt::name_of(native_handle(), ::getsockname, "getsockname"); }

}  // namespace peal::net
