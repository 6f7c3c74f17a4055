// SPDX-License-Identifier: MIT

#include <peal/fs/open_options.hpp>

#include <fcntl.h>

namespace peal::fs {

std::uint32_t open_options::system_flags() const noexcept {
    int flags = O_CLOEXEC;
    flags |= has(bit::read) && has(bit::write) ? O_RDWR : has(bit::write) ? O_WRONLY : O_RDONLY;
    if (has(bit::append)) flags |= O_APPEND;
    if (has(bit::truncate)) flags |= O_TRUNC;
    if (has(bit::create)) flags |= O_CREAT;
    if (has(bit::create_new)) flags |= O_CREAT | O_EXCL;
    if (has(bit::no_follow)) flags |= O_NOFOLLOW;
    if (has(bit::directory_only)) flags |= O_DIRECTORY;
    if (has(bit::sync)) flags |= O_SYNC;
    if (has(bit::data_sync)) flags |= O_DSYNC;
    if (has(bit::direct)) flags |= O_DIRECT;
    if (has(bit::no_access_time)) flags |= O_NOATIME;
    if (has(bit::path_only)) flags |= O_PATH;
    return static_cast<std::uint32_t>(flags);
}

}  // namespace peal::fs
