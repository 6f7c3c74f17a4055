// SPDX-License-Identifier: MIT

#include <peal/io/buffered_reader.hpp>

#include <cstring>
#include <string>

namespace peal::io::detail {

std::size_t find(std::span<const std::byte> bytes, std::string_view wanted, std::size_t from) noexcept {
    if (from >= bytes.size()) return bytes.size();
    const void* at = wanted.size() == 1 ? std::memchr(&bytes[from], wanted[0], bytes.size() - from)
                                        : ::memmem(&bytes[from], bytes.size() - from, wanted.data(), wanted.size());
    return at == nullptr ? bytes.size() : static_cast<std::size_t>(static_cast<const std::byte*>(at) - bytes.data());
}

void throw_too_long(const char* operation, std::size_t limit) {
    throw std::system_error(std::make_error_code(std::errc::message_size),
                            std::string(operation) + ": more than " + std::to_string(limit) + " bytes");
}

void throw_cut_off(const char* operation, std::size_t bytes, const char* before) {
    throw std::system_error(std::make_error_code(std::errc::connection_aborted),
                            std::string(operation) + ": the stream ended after " + std::to_string(bytes) + " bytes, before " + before);
}

}  // namespace peal::io::detail
