// SPDX-License-Identifier: MIT
//
// Connections to a server on this machine by plain system calls, from several addresses of the loopback network: each address has
// some 28,000 ports of its own.

#pragma once

#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include "failure.hpp"
#include "socket.hpp"

namespace load {

using steady = std::chrono::steady_clock;

class loopback {
public:
    explicit loopback(std::uint16_t port) : port_(port) {}

    /// From 127.0.0.(2 + `source`). Non-blocking: perhaps it is not connected yet.
    [[nodiscard]] descriptor begin(unsigned source) const
    {
        descriptor made(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!made.is_open())
            throw failure_from_errno("socket", errno);
        const int on = 1;
        setsockopt(made.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        setsockopt(made.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        const sockaddr_in from = address(2 + source % 200, 0);
        if (::bind(made.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0)
            throw failure_from_errno("bind to 127.0.0.x", errno);
        const sockaddr_in to = address(1, port_);
        if (::connect(made.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0 && errno != EINPROGRESS)
            throw failure_from_errno("connect", errno);
        return made;
    }

    /// Waits until it is connected.
    [[nodiscard]] descriptor open(unsigned source) const
    {
        descriptor made = begin(source);
        if (!becomes(made, POLLOUT, 5000))
            throw failure("no connection within 5 s");
        return made;
    }

    /// True if `events` came within so many milliseconds.
    static bool becomes(const descriptor& socket, short events, int milliseconds) noexcept
    {
        pollfd asked{socket.get(), events, 0};
        return ::poll(&asked, 1, milliseconds) == 1 && (asked.revents & POLLERR) == 0;
    }

    /// Sends `bytes` and waits for as many; false if they do not come within 5 s.
    static bool echo(const descriptor& socket, std::size_t bytes)
    {
        char message[64] = {};
        if (::send(socket.get(), message, bytes, MSG_NOSIGNAL) != static_cast<ssize_t>(bytes))
            return false;
        for (std::size_t got = 0; got < bytes;) {
            if (!becomes(socket, POLLIN, 5000))
                return false;
            const ssize_t count = ::recv(socket.get(), message, bytes - got, 0);
            if (count <= 0)
                return false;
            got += static_cast<std::size_t>(count);
        }
        return true;
    }

    /// Closes it with a reset.
    static void reset(descriptor& socket) noexcept
    {
        const linger at_once{1, 0};
        setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        socket.close();
    }

private:
    static sockaddr_in address(unsigned last, std::uint16_t port) noexcept
    {
        sockaddr_in made{};
        made.sin_family = AF_INET;
        made.sin_port = htons(port);
        made.sin_addr.s_addr = htonl(0x7f000000u + last);
        return made;
    }

    std::uint16_t port_;
};

} // namespace load
