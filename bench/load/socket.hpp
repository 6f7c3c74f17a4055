// SPDX-License-Identifier: MIT
//
// Sockets of echo_load: an owning descriptor, name resolution, and opening a connection that has proved itself. Opening
// blocks, one connection after the other, each with one echoed message: so the server's listen queue cannot overflow,
// the server has accepted when the clock starts, and a wrong port is noticed at once.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "payload.hpp"

namespace load {

class descriptor {
public:
    descriptor() = default;
    explicit descriptor(int number) noexcept : number_(number) {}
    descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    descriptor& operator=(descriptor&& other) noexcept
    {
        std::swap(number_, other.number_);
        return *this;
    }
    ~descriptor() { close(); }

    void close() noexcept
    {
        if (number_ >= 0)
            ::close(std::exchange(number_, -1));
    }

    [[nodiscard]] int get() const noexcept { return number_; }
    [[nodiscard]] bool is_open() const noexcept { return number_ >= 0; }

private:
    int number_ = -1;
};

/// Raises the soft limit of open files so that `connections` fit. Throws failure if the hard limit forbids it.
void reserve_descriptors(std::size_t connections);

class connector {
public:
    /// Resolves at once. Throws failure.
    connector(const std::string& host, std::uint16_t port, const payload& stream);

    /// Connects, sends message 0 of connection number `id` and receives it back. The socket is non-blocking after that
    /// and continues with message 1. Throws failure.
    [[nodiscard]] descriptor open(std::uint32_t id);

private:
    struct address {
        sockaddr_storage storage;
        socklen_t length;
    };

    descriptor connect();
    void echo_once(const descriptor& socket, std::uint32_t id) const;

    std::string name_;               // HOST:PORT for messages
    std::vector<address> addresses_; // until the first success all candidates, then the one that answered
    const payload& stream_;
};

/// An idle connection has nothing to receive: says what happened to it, or nothing while it is well.
/// Throws failure when it received bytes.
[[nodiscard]] std::optional<std::string> why_broken(const descriptor& idle);

/// Text for an echo that differs from what was sent.
[[nodiscard]] std::string describe(std::uint32_t connection, const mismatch& difference);

} // namespace load
