// SPDX-License-Identifier: MIT
#pragma once

// unix_address: where a Unix socket of this machine is found.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <peal/detail/config.hpp>

namespace peal::net {

/// A path of the file system, or a name that only the kernel knows (an abstract one), or none.
class PEAL_EXPORT unix_address {
  public:
    /// Unnamed: the address of a socket that was not bound.
    unix_address() noexcept;

    /// At most this many bytes has a path or an abstract name.
    static constexpr std::size_t size_max = 107;

    /// Throws std::system_error that quotes the path: filename_too_long beyond size_max, invalid_argument if it is empty or has a zero byte. A longer
    /// path is reached by a relative one, or by a symbolic link to its folder.
    static unix_address from_path(std::string_view path);
    /// Any bytes. No file stands for it, and it is free again when its socket is closed. Every process in the network namespace may connect: look at
    /// the peer's credentials. Throws as from_path(), zero bytes apart.
    static unix_address abstract(std::string_view name);
    /// From the system's form: `bytes` of a sockaddr.
    static unix_address from_system(const void* sockaddr, std::size_t bytes);

    bool is_unnamed() const noexcept;
    bool is_abstract() const noexcept;
    /// The path or the abstract name; "" if unnamed.
    std::string_view name() const noexcept;
    /// "/run/app.sock", "@name", "(unnamed)".
    std::string to_string() const;

    const void* data() const noexcept { return storage_; }
    std::size_t size() const noexcept { return size_; }

    bool operator==(const unix_address& other) const noexcept;

  private:
    alignas(8) std::byte storage_[112] = {};  // a sockaddr_un
    std::uint8_t size_ = 0;
};

}  // namespace peal::net
