// SPDX-License-Identifier: MIT

// address: texts that are addresses, and texts that are not.

#include <peal/net/address.hpp>

#include <netinet/in.h>
#include <sys/un.h>

#include <string>
#include <system_error>

#include "support/catch.hpp"

using peal::net::address;

namespace {

std::string refusal(const std::string& text) {
    try {
        return "accepted as " + address::parse(text).to_string();
    } catch (const std::system_error& failure) {
        return failure.code() == std::errc::invalid_argument ? failure.what() : "another error";
    }
}

}  // namespace

TEST_CASE("address: a text is parsed, and printed the same way") {
    struct row {
        const char* text;
        const char* printed;
        const char* host;
        unsigned port;
        bool ipv6;
    };
    const row rows[] = {
        {"127.0.0.1:7000", "127.0.0.1:7000", "127.0.0.1", 7000, false},
        {"0.0.0.0:0", "0.0.0.0:0", "0.0.0.0", 0, false},
        {":80", "0.0.0.0:80", "0.0.0.0", 80, false},
        {"255.255.255.255:65535", "255.255.255.255:65535", "255.255.255.255", 65535, false},
        {"10.0.0.1:00443", "10.0.0.1:443", "10.0.0.1", 443, false},
        {"[::1]:7000", "[::1]:7000", "::1", 7000, true},
        {"[::]:0", "[::]:0", "::", 0, true},
        {"[2001:DB8::0:1]:65535", "[2001:db8::1]:65535", "2001:db8::1", 65535, true},
        {"[::ffff:1.2.3.4]:1", "[::ffff:1.2.3.4]:1", "::ffff:1.2.3.4", 1, true},
        {"[fe80::1%lo]:9", "[fe80::1%lo]:9", "fe80::1%lo", 9, true},
    };
    for (const row& each : rows) {
        INFO(each.text);
        address parsed = address::parse(each.text);
        CHECK(parsed.to_string() == each.printed);
        CHECK(parsed.host() == each.host);
        CHECK(parsed.port() == each.port);
        CHECK(parsed.is_ipv6() == each.ipv6);
        CHECK(address::parse(parsed.to_string()) == parsed);
        CHECK(address::from(parsed.host(), parsed.port()) == parsed);
        CHECK(address::from_system(parsed.data(), parsed.size()) == parsed);
    }
    CHECK(address().to_string() == "0.0.0.0:0");
}

TEST_CASE("address: what is no address is refused, quoted, with the reason and the forms that are") {
    struct row {
        const char* text;
        const char* reason;
    };
    const row rows[] = {
        {"", "no port"},
        {"127.0.0.1", "no port"},
        {"localhost", "no port"},
        {"localhost:80", "not a numeric IPv4"},
        {"127.0.0.1:", "port is not a number"},
        {"127.0.0.1:http", "port is not a number"},
        {"127.0.0.1:-1", "port is not a number"},
        {"127.0.0.1:+1", "port is not a number"},
        {"127.0.0.1: 1", "port is not a number"},
        {"127.0.0.1:1 ", "port is not a number"},
        {"127.0.0.1:0x50", "port is not a number"},
        {"127.0.0.1:65536", "0 to 65535"},
        {"127.0.0.1:4294967297", "0 to 65535"},
        {"127.0.0.1:99999999999999999999", "0 to 65535"},
        {"127.1:80", "not a numeric IPv4"},
        {"127.0.0.256:80", "not a numeric IPv4"},
        {" 127.0.0.1:80", "not a numeric IPv4"},
        {"1.2.3.4.5:80", "not a numeric IPv4"},
        {"::1:80", "stands in brackets"},
        {"[::1]", "no ']:'"},
        {"[::1", "no ']:'"},
        {"[::1]80", "no ']:'"},
        {"[]:80", "brackets are for IPv6"},
        {"[127.0.0.1]:80", "brackets are for IPv6"},
        {"[::1::2]:80", "not a numeric IPv6"},
        {"[g::1]:80", "not a numeric IPv6"},
        {"[:::]:80", "not a numeric IPv6"},
        {"[fe80::1%nosuchinterface]:80", "no network interface"},
        {"[fe80::1%]:80", "no network interface"},
    };
    for (const row& each : rows) {
        INFO(each.text);
        std::string said = refusal(each.text);
        INFO(said);
        CHECK(said.find(each.reason) != std::string::npos);
        CHECK(said.find("expected 127.0.0.1:7000") != std::string::npos);
    }
    CHECK(refusal("localhost:80").find("localhost") != std::string::npos);
    CHECK(refusal(std::string("127.0.0.1\0:80", 13)).find("a zero byte") != std::string::npos);
    CHECK(refusal(std::string("[::1\0]:80", 9)).find("a zero byte") != std::string::npos);
}

TEST_CASE("address: the system's form of another family is refused") {
    sockaddr_un path{};
    path.sun_family = AF_UNIX;
    CHECK_THROWS_AS(address::from_system(&path, sizeof path), std::system_error);
    CHECK_THROWS_AS(address::from_system(&path, sizeof(sa_family_t)), std::system_error);
    sockaddr_in ip4{};
    ip4.sin_family = AF_INET;
    CHECK_THROWS_AS(address::from_system(&ip4, 4), std::system_error);  // cut short
}

TEST_CASE("address: equal means the same family, host and port") {
    CHECK(address::parse("127.0.0.1:1") == address::from("127.0.0.1", 1));
    CHECK_FALSE(address::parse("127.0.0.1:1") == address::parse("127.0.0.1:2"));
    CHECK_FALSE(address::parse("127.0.0.1:1") == address::parse("127.0.0.2:1"));
    CHECK_FALSE(address::parse("0.0.0.0:1") == address::parse("[::]:1"));
    CHECK_FALSE(address::parse("[::1]:1") == address::parse("[::2]:1"));
}
