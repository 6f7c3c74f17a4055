// SPDX-License-Identifier: MIT
//
// Opening connections; see socket.hpp.

#include "socket.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <memory>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "failure.hpp"

namespace load {

namespace {

constexpr timeval opening_timeout{5, 0}; // per system call while a connection opens
constexpr std::size_t chunk_bytes = 4096; // small enough for any socket buffer: neither side can block the other

std::string advice(int error)
{
    switch (error) {
    case EADDRNOTAVAIL: // no local port left for this destination
        return " (local ports exhausted? see /proc/sys/net/ipv4/ip_local_port_range)";
    case EINPROGRESS: // the send timeout ended connect()
        return " (no answer within 5 s)";
    default:
        return "";
    }
}

} // namespace

void reserve_descriptors(std::size_t connections)
{
    const rlim_t needed = connections + 16; // epoll, standard streams, /proc files
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        throw failure_from_errno("getrlimit", errno);
    if (limit.rlim_cur >= needed)
        return;
    if (limit.rlim_max < needed)
        throw failure("needs " + std::to_string(needed) + " open files, but the limit is " +
                      std::to_string(limit.rlim_max) + ": raise it (ulimit -n) or use fewer connections");
    limit.rlim_cur = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        throw failure_from_errno("setrlimit", errno);
}

connector::connector(const std::string& host, std::uint16_t port, const payload& stream)
    : name_((host.find(':') == host.npos ? host : "[" + host + "]") + ":" + std::to_string(port)), stream_(stream)
{
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    addrinfo* list = nullptr;
    const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list);
    if (error != 0)
        throw failure("cannot resolve " + host + ": " + gai_strerror(error));
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        address found{};
        std::memcpy(&found.storage, entry->ai_addr, entry->ai_addrlen);
        found.length = entry->ai_addrlen;
        addresses_.push_back(found);
    }
}

descriptor connector::open(std::uint32_t id)
{
    descriptor socket = connect();
    echo_once(socket, id);
    const int flags = fcntl(socket.get(), F_GETFL);
    if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
        throw failure_from_errno("fcntl", errno);
    return socket;
}

descriptor connector::connect()
{
    int error = 0;
    for (const address& candidate : addresses_) {
        descriptor socket(::socket(candidate.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
        if (!socket.is_open()) {
            error = errno; // EAFNOSUPPORT: a name with an IPv6 address on a kernel without it
            continue;
        }
        const int on = 1;
        setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &opening_timeout, sizeof opening_timeout);
        setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &opening_timeout, sizeof opening_timeout);
        if (setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0)
            throw failure_from_errno("TCP_NODELAY", errno);
        if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&candidate.storage), candidate.length) == 0) {
            if (addresses_.size() > 1)
                addresses_ = std::vector{address(candidate)};
            return socket;
        }
        error = errno;
    }
    throw failure(failure_from_errno("cannot connect to " + name_, error).what() + advice(error));
}

void connector::echo_once(const descriptor& socket, std::uint32_t id) const
{
    unsigned char buffer[chunk_bytes];
    stream_position at;
    while (at.sequence == 0) {
        const std::size_t chunk = std::min(sizeof buffer, stream_.message_bytes() - at.offset);
        stream_.fill(id, at, buffer, chunk);
        for (std::size_t sent = 0; sent < chunk;) {
            const ssize_t count = ::send(socket.get(), buffer + sent, chunk - sent, MSG_NOSIGNAL);
            if (count < 0)
                throw failure_from_errno(name_ + ": sending the first message", errno);
            sent += static_cast<std::size_t>(count);
        }
        for (std::size_t received = 0; received < chunk;) {
            const ssize_t count = ::recv(socket.get(), buffer + received, chunk - received, 0);
            if (count == 0)
                throw failure(name_ + ": the server closed connection " + std::to_string(id) +
                              " instead of echoing its first message");
            if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
                throw failure(name_ + ": no echo of the first message of connection " + std::to_string(id) +
                              " within 5 s");
            if (count < 0)
                throw failure_from_errno(name_ + ": receiving the first message", errno);
            received += static_cast<std::size_t>(count);
        }
        if (const auto difference = stream_.check(id, at, buffer, chunk))
            throw failure(describe(id, *difference));
        at.advance(chunk, stream_.message_bytes());
    }
}

std::optional<std::string> why_broken(const descriptor& idle)
{
    unsigned char byte;
    const ssize_t count = ::recv(idle.get(), &byte, 1, MSG_DONTWAIT);
    if (count > 0)
        throw failure("echo differs: an idle connection received bytes that it never sent");
    if (count == 0)
        return "closed by the server";
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
        return std::nullopt;
    return failure_from_errno("receive", errno).what();
}

std::string describe(std::uint32_t connection, const mismatch& difference)
{
    char text[160];
    std::snprintf(text, sizeof text,
        "echo differs: connection %u, message %llu, byte %zu is 0x%02x, expected 0x%02x", connection,
        static_cast<unsigned long long>(difference.where.sequence), difference.where.offset, difference.received,
        difference.expected);
    return text;
}

} // namespace load
