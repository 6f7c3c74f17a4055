// SPDX-License-Identifier: MIT
#pragma once

// open_options: how a file is opened, where open_mode has no word for it.

#include <cstdint>

#include <peal/detail/config.hpp>

namespace peal::fs {

/// How a file is opened: `open_options().write().create_new().permissions(0600)`. Nothing is set in the beginning. Close-on-exec always is.
///
/// Combinations are not judged here: the system says invalid_argument to those that make no sense.
class open_options {
  public:
    open_options& read() noexcept { return set(bit::read); }
    open_options& write() noexcept { return set(bit::write); }
    open_options& append() noexcept { return set(bit::append); }                // every write goes to the end; with write()
    open_options& truncate() noexcept { return set(bit::truncate); }            // what was in it goes; with write()
    open_options& create() noexcept { return set(bit::create); }                // if it is missing
    open_options& create_new() noexcept { return set(bit::create_new); }        // fails with file_exists if it exists
    open_options& no_follow() noexcept { return set(bit::no_follow); }          // fails with too_many_symbolic_link_levels if the last part is a link
    open_options& directory_only() noexcept { return set(bit::directory_only); }  // fails with not_a_directory
    open_options& sync() noexcept { return set(bit::sync); }                    // each write is durable when it ends
    open_options& data_sync() noexcept { return set(bit::data_sync); }          // its data and what is needed to read them
    open_options& direct() noexcept { return set(bit::direct); }                // past the page cache; memory, offset and size aligned to blocks
    open_options& no_access_time() noexcept { return set(bit::no_access_time); }  // for the owner
    open_options& path_only() noexcept { return set(bit::path_only); }          // names a place, and can neither be read nor written
    /// Of a file that is created, less the umask. 0644 if not set.
    open_options& permissions(std::uint32_t mode) noexcept {
        permissions_ = mode;
        return *this;
    }

    std::uint32_t permissions() const noexcept { return permissions_; }
    /// O_* of the system.
    PEAL_EXPORT std::uint32_t system_flags() const noexcept;

  private:
    enum class bit : std::uint8_t {
        read, write, append, truncate, create, create_new, no_follow, directory_only, sync, data_sync, direct, no_access_time, path_only,
    };
    open_options& set(bit which) noexcept {
        bits_ |= 1u << static_cast<unsigned>(which);
        return *this;
    }
    bool has(bit which) const noexcept { return (bits_ >> static_cast<unsigned>(which) & 1) != 0; }

    std::uint32_t bits_ = 0;
    std::uint32_t permissions_ = 0644;
};

}  // namespace peal::fs
