// SPDX-License-Identifier: MIT
#pragma once

// address: an IPv4 or IPv6 address and a port.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <peal/detail/config.hpp>

namespace peal::net {

/// A numeric address with a port. For names see resolve().
class PEAL_EXPORT address {
  public:
    /// 0.0.0.0:0
    address() noexcept;

    /// "127.0.0.1:7000", "[::1]:7000", "[fe80::1%eth0]:7000", ":7000" (any address, IPv4).
    /// Throws std::system_error(invalid_argument) that quotes the text and says what is expected.
    static address parse(std::string_view text);
    /// `host` numeric, without brackets; "" means any address (IPv4).
    static address from(std::string_view host, std::uint16_t port);
    /// From the system's form: `bytes` of a sockaddr.
    static address from_system(const void* sockaddr, std::size_t bytes);

    bool is_ipv6() const noexcept;
    std::uint16_t port() const noexcept;
    /// "127.0.0.1", "::1".
    std::string host() const;
    /// "127.0.0.1:7000", "[::1]:7000".
    std::string to_string() const;

    const void* data() const noexcept { return storage_; }
    std::size_t size() const noexcept { return size_; }

    bool operator==(const address& other) const noexcept;

  private:
    alignas(8) std::byte storage_[28] = {};  // a sockaddr_in6 at the most
    std::uint8_t size_ = 0;
};

}  // namespace peal::net
