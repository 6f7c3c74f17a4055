// SPDX-License-Identifier: MIT
#pragma once

// Pieces of memory for vectored reads and writes. A plain read or write takes a std::span of bytes.

#include <cstddef>
#include <span>
#include <string_view>

namespace peal::io {

/// Memory to read into. Laid out as the system's iovec.
class mutable_buffer {
  public:
    mutable_buffer() noexcept = default;
    mutable_buffer(std::span<std::byte> bytes) noexcept : data_(bytes.data()), size_(bytes.size()) {}
    std::byte* data() const noexcept { return static_cast<std::byte*>(data_); }
    std::size_t size() const noexcept { return size_; }
    void remove_prefix(std::size_t count) noexcept {
        data_ = data() + count;
        size_ -= count;
    }

  private:
    void* data_ = nullptr;
    std::size_t size_ = 0;
};

/// Memory to write from. Laid out as the system's iovec.
class const_buffer {
  public:
    const_buffer() noexcept = default;
    const_buffer(std::span<const std::byte> bytes) noexcept : data_(bytes.data()), size_(bytes.size()) {}
    const_buffer(std::string_view text) noexcept : data_(text.data()), size_(text.size()) {}
    const std::byte* data() const noexcept { return static_cast<const std::byte*>(data_); }
    std::size_t size() const noexcept { return size_; }
    void remove_prefix(std::size_t count) noexcept {
        data_ = data() + count;
        size_ -= count;
    }

  private:
    const void* data_ = nullptr;
    std::size_t size_ = 0;
};

/// The bytes of a text, for write_all().
inline std::span<const std::byte> bytes_of(std::string_view text) noexcept {
    return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

}  // namespace peal::io
