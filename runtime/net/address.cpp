// SPDX-License-Identifier: MIT

#include <peal/net/address.hpp>

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <charconv>
#include <cstring>
#include <system_error>

#include "../base/zero_bytes.hpp"

namespace peal::net {
namespace {

static_assert(sizeof(sockaddr_in6) <= 28);

[[noreturn]] void refuse(std::string_view given, const char* reason) {
    throw std::system_error(std::make_error_code(std::errc::invalid_argument),
                            "address '" + rt::shown(given) + "': " + reason +
                                "; expected 127.0.0.1:7000, [::1]:7000 or :7000 (for a host name use resolve())");
}

}  // namespace

address::address() noexcept {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    std::memcpy(storage_, &any, sizeof any);
    size_ = sizeof any;
}

address address::parse(std::string_view text) {
    std::string_view host;
    std::string_view port;
    if (!text.empty() && text.front() == '[') {
        std::size_t end = text.find("]:");
        if (end == std::string_view::npos) refuse(text, "no ']:' after '['");
        host = text.substr(1, end - 1);
        port = text.substr(end + 2);
        if (host.find(':') == std::string_view::npos) refuse(text, "brackets are for IPv6 addresses");
    } else {
        std::size_t colon = text.rfind(':');
        if (colon == std::string_view::npos) refuse(text, "no port");
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
        if (host.find(':') != std::string_view::npos) refuse(text, "an IPv6 address with a port stands in brackets");
    }
    unsigned number = 0;
    auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
    if (error != std::errc() || end != port.data() + port.size() || number > 65535) {
        refuse(text, "the port is not a number from 0 to 65535");
    }
    return from(host, static_cast<std::uint16_t>(number));
}

address address::from(std::string_view host, std::uint16_t port) {
    address made;
    std::string text(host);
    if (rt::holds_zero(text)) refuse(host, "it holds a zero byte");  // where the system's functions stop reading
    if (text.find(':') != std::string::npos) {
        sockaddr_in6 ip6{};
        ip6.sin6_family = AF_INET6;
        ip6.sin6_port = htons(port);
        std::size_t percent = text.find('%');
        if (percent != std::string::npos) {
            std::string zone = text.substr(percent + 1);
            ip6.sin6_scope_id = ::if_nametoindex(zone.c_str());
            if (ip6.sin6_scope_id == 0) refuse(host, "no network interface of the name after '%'");
            text.resize(percent);
        }
        if (::inet_pton(AF_INET6, text.c_str(), &ip6.sin6_addr) != 1) refuse(host, "not a numeric IPv6 address");
        std::memcpy(made.storage_, &ip6, sizeof ip6);
        made.size_ = sizeof ip6;
    } else {
        sockaddr_in ip4{};
        ip4.sin_family = AF_INET;
        ip4.sin_port = htons(port);
        if (!text.empty() && ::inet_pton(AF_INET, text.c_str(), &ip4.sin_addr) != 1) {
            refuse(host, "not a numeric IPv4 address");
        }
        std::memcpy(made.storage_, &ip4, sizeof ip4);
        made.size_ = sizeof ip4;
    }
    return made;
}

address address::from_system(const void* sockaddr, std::size_t bytes) {
    address made;
    sa_family_t family = AF_UNSPEC;
    if (bytes >= sizeof family) {
        static_assert(offsetof(struct sockaddr, sa_family) == 0);
        std::memcpy(&family, sockaddr, sizeof family);
    }
    std::size_t expected = family == AF_INET ? sizeof(sockaddr_in) : family == AF_INET6 ? sizeof(sockaddr_in6) : 0;
    if (expected == 0 || bytes < expected) {
        throw std::system_error(std::make_error_code(std::errc::address_family_not_supported), "address: neither IPv4 nor IPv6");
    }
    std::memcpy(made.storage_, sockaddr, expected);
    made.size_ = static_cast<std::uint8_t>(expected);
    return made;
}

bool address::is_ipv6() const noexcept {
    sa_family_t family;
    std::memcpy(&family, storage_ + offsetof(sockaddr, sa_family), sizeof family);
    return family == AF_INET6;
}

std::uint16_t address::port() const noexcept {
    std::uint16_t port;  // at the same place in both forms
    static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
    std::memcpy(&port, storage_ + offsetof(sockaddr_in, sin_port), sizeof port);
    return ntohs(port);
}

std::string address::host() const {
    char text[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE] = {};
    if (is_ipv6()) {
        sockaddr_in6 ip6;
        std::memcpy(&ip6, storage_, sizeof ip6);
        ::inet_ntop(AF_INET6, &ip6.sin6_addr, text, sizeof text);
        char zone[IF_NAMESIZE];
        if (ip6.sin6_scope_id != 0 && ::if_indextoname(ip6.sin6_scope_id, zone) != nullptr) return std::string(text) + '%' + zone;
    } else {
        sockaddr_in ip4;
        std::memcpy(&ip4, storage_, sizeof ip4);
        ::inet_ntop(AF_INET, &ip4.sin_addr, text, sizeof text);
    }
    return text;
}

std::string address::to_string() const {
    std::string port_text = std::to_string(port());
    return is_ipv6() ? '[' + host() + "]:" + port_text : host() + ':' + port_text;
}

bool address::operator==(const address& other) const noexcept {
    return size_ == other.size_ && std::memcmp(storage_, other.storage_, size_) == 0;
}

}  // namespace peal::net
