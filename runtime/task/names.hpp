// SPDX-License-Identifier: MIT
#pragma once

// What operations on names mean by their fields, for all drivers.

#include <fcntl.h>

#include <cstdint>

#include <peal/detail/operation.hpp>

namespace peal::rt {

/// The folder of names that are said without one. Not -1: that is a closed descriptor, and must not lead anywhere.
inline constexpr int working_directory = AT_FDCWD;
inline int second_folder_of(const detail::operation& op) noexcept { return static_cast<int>(op.length); }

/// Laid out as the kernel's open_how, which older headers lack.
struct open_rules {
    std::uint64_t flags;    // O_*
    std::uint64_t mode;
    std::uint64_t resolve;  // RESOLVE_*
};
inline constexpr std::uint64_t resolve_no_mounts = 0x01;
inline constexpr std::uint64_t resolve_no_magic_links = 0x02;
inline constexpr std::uint64_t resolve_no_symlinks = 0x04;
inline constexpr std::uint64_t resolve_beneath = 0x08;
inline constexpr std::uint64_t resolve_in_root = 0x10;

}  // namespace peal::rt
