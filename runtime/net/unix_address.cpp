// SPDX-License-Identifier: MIT

#include <peal/net/unix_address.hpp>

#include <sys/socket.h>
#include <sys/un.h>

#include <cstring>
#include <system_error>

#include "../base/zero_bytes.hpp"

namespace peal::net {
namespace {

constexpr std::size_t name_at = offsetof(sockaddr_un, sun_path);

static_assert(sizeof(sockaddr_un) <= 112 && unix_address::size_max == sizeof(sockaddr_un::sun_path) - 1);

[[noreturn]] void refuse(std::string_view given, std::errc code, const std::string& reason) {
    throw std::system_error(std::make_error_code(code), "unix address '" + rt::shown(given) + "': " + reason);
}

void check_size(std::string_view name) {
    if (name.empty()) refuse(name, std::errc::invalid_argument, "it is empty");
    if (name.size() > unix_address::size_max) {
        refuse(name, std::errc::filename_too_long,
               "it has " + std::to_string(name.size()) + " bytes, " + std::to_string(unix_address::size_max) + " are possible");
    }
}

}  // namespace

unix_address::unix_address() noexcept : size_(name_at) {
    sa_family_t family = AF_UNIX;
    std::memcpy(storage_, &family, sizeof family);
}

unix_address unix_address::from_path(std::string_view path) {
    check_size(path);
    if (rt::holds_zero(path)) refuse(path, std::errc::invalid_argument, "a path has no zero byte");
    unix_address made;
    std::memcpy(made.storage_ + name_at, path.data(), path.size());
    made.size_ = static_cast<std::uint8_t>(name_at + path.size() + 1);  // with the zero at its end
    return made;
}

unix_address unix_address::abstract(std::string_view name) {
    check_size(name);
    unix_address made;
    std::memcpy(made.storage_ + name_at + 1, name.data(), name.size());
    made.size_ = static_cast<std::uint8_t>(name_at + 1 + name.size());
    return made;
}

unix_address unix_address::from_system(const void* sockaddr, std::size_t bytes) {
    unix_address made;
    if (bytes <= name_at) return made;
    sa_family_t family;
    std::memcpy(&family, sockaddr, sizeof family);
    if (family != AF_UNIX || bytes > sizeof storage_) {
        throw std::system_error(std::make_error_code(std::errc::address_family_not_supported), "unix address: of another family");
    }
    std::memcpy(made.storage_, sockaddr, bytes);
    made.size_ = static_cast<std::uint8_t>(bytes);
    return made;
}

bool unix_address::is_unnamed() const noexcept { return size_ <= name_at; }
bool unix_address::is_abstract() const noexcept { return !is_unnamed() && storage_[name_at] == std::byte{0}; }

std::string_view unix_address::name() const noexcept {
    if (is_unnamed()) return {};
    auto* begin = reinterpret_cast<const char*>(storage_ + name_at);
    std::size_t bytes = size_ - name_at;
    if (is_abstract()) return {begin + 1, bytes - 1};
    return {begin, ::strnlen(begin, bytes)};
}

std::string unix_address::to_string() const {
    if (is_unnamed()) return "(unnamed)";
    std::string text(is_abstract() ? "@" : "");
    return text.append(name());
}

bool unix_address::operator==(const unix_address& other) const noexcept {
    return is_unnamed() == other.is_unnamed() && is_abstract() == other.is_abstract() && name() == other.name();
}

}  // namespace peal::net
