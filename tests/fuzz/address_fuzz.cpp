// SPDX-License-Identifier: MIT

// net::address::parse(): any text is refused as an invalid argument, or gives an address whose own text gives it again.

#include <peal/net/address.hpp>

#include <system_error>

#include "input.hpp"

using peal::net::address;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    std::string_view text(reinterpret_cast<const char*>(bytes), size);
    address parsed;
    try {
        parsed = address::parse(text);
    } catch (const std::system_error& refused) {
        fuzz::require_equal(refused.code().message(), std::make_error_code(std::errc::invalid_argument).message(), "refused as");
        return 0;
    }
    std::string said = parsed.to_string();
    fuzz::require_equal(address::parse(said).to_string(), said, "parsed again");
    if (!(address::parse(said) == parsed) || !(address::from(parsed.host(), parsed.port()) == parsed) ||
        !(address::from_system(parsed.data(), parsed.size()) == parsed)) {
        fuzz::require_equal(said, std::string(text), "another address");
    }
    std::string_view port = text.substr(text.rfind(':') + 1);
    port.remove_prefix(std::min(port.find_first_not_of('0'), port.size() - 1));
    fuzz::require_equal(std::to_string(parsed.port()), std::string(port), "port");
    fuzz::require_equal(parsed.is_ipv6() ? "IPv6" : "IPv4", text.starts_with('[') ? "IPv6" : "IPv4", "kind");
    return 0;
}
