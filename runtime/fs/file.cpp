// SPDX-License-Identifier: MIT

#include <peal/fs/file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <system_error>

#include <peal/detail/blocking_call.hpp>
#include <peal/fs/names.hpp>
#include <peal/task/as_result.hpp>

#include "../base/zero_bytes.hpp"
#include "../task/descriptors.hpp"
#include "../task/perform.hpp"
#include "folder_of.hpp"
#include "name_operation.hpp"

namespace peal::fs {

using peal::detail::no_offset;
using peal::detail::operation_kind;
using peal::detail::size_operation;
using rounds = peal::detail::size_operation::rounds;

namespace {

constexpr std::size_t tried_first_limit = 64 * 1024;  // bytes: some 6 us
constexpr std::size_t first_read = 64 * 1024;  // of a file whose size the system does not tell

std::uint32_t flags_of(open_mode mode) noexcept {
    switch (mode) {
        case open_mode::read: return O_RDONLY | O_CLOEXEC;
        case open_mode::write: return O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
        case open_mode::read_write: return O_RDWR | O_CREAT | O_CLOEXEC;
        case open_mode::append: return O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
        case open_mode::create_new: return O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    }
    return O_RDONLY | O_CLOEXEC;
}

file_info info_of(const struct statx& status) noexcept {
    file_info info;
    info.type = S_ISREG(status.stx_mode)   ? file_type::regular
                : S_ISDIR(status.stx_mode) ? file_type::directory
                : S_ISLNK(status.stx_mode) ? file_type::symlink
                                           : file_type::other;
    info.permissions = status.stx_mode & 07777;
    info.size = status.stx_size;
    info.inode = status.stx_ino;
    info.device = std::uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor;
    info.links = status.stx_nlink;
    info.modified = std::chrono::system_clock::time_point(std::chrono::seconds(status.stx_mtime.tv_sec) +
                                                          std::chrono::nanoseconds(status.stx_mtime.tv_nsec));
    return info;
}

void* make_status(void* memory) noexcept {
    struct statx empty {};
    return std::memcpy(memory, &empty, sizeof empty);
}

size_operation::first_try first_try_of(bool is_cached, std::size_t bytes) noexcept {
    return is_cached && bytes <= tried_first_limit ? size_operation::first_try::in_the_cache : size_operation::first_try::no;
}

}  // namespace

namespace detail {

stat_operation::stat_operation(int fd) noexcept : operation(operation_kind::stat) {
    static_assert(sizeof(struct statx) <= sizeof status_);
    this->fd = fd;
    this->flags = AT_EMPTY_PATH;
    this->extra = make_status(status_);
}

stat_operation::stat_operation(std::string path, bool follow) noexcept
    : operation(operation_kind::stat), path_(std::move(path)) {
    this->fd = rt::working_directory;
    this->address = path_.data();
    this->flags = follow ? 0 : AT_SYMLINK_NOFOLLOW;
    this->extra = make_status(status_);
    if (rt::holds_zero(path_)) refuse(EINVAL);
}

file_info stat_operation::await_resume() { return result().value(); }

peal::result<file_info> stat_operation::result() {
    if (outcome < 0) return peal::error::from_errno(-outcome, path_.empty() ? "statx" : "statx " + rt::shown(path_));
    return info_of(*reinterpret_cast<const struct statx*>(status_));
}

pieces_operation::pieces_operation(int fd, std::span<const io::mutable_buffer> pieces, std::uint64_t offset) noexcept
    : size_operation(operation_kind::read_many) {
    this->fd = fd;
    this->address = const_cast<io::mutable_buffer*>(pieces.data());
    this->length = pieces.size();
    this->offset = offset;
}
pieces_operation::pieces_operation(int fd, std::span<io::const_buffer> pieces, std::uint64_t offset) noexcept
    : size_operation(operation_kind::write_many) {
    this->fd = fd;
    this->address = pieces.data();
    this->length = pieces.size();
    this->offset = offset;
    step = &pieces_operation::next_pieces;
}

bool pieces_operation::next_pieces(operation& self) noexcept {
    if (self.outcome <= 0) return false;
    auto* piece = static_cast<io::const_buffer*>(self.address);
    auto moved = static_cast<std::uint64_t>(self.outcome);
    std::uint64_t left = moved;
    while (self.length != 0 && left >= piece->size()) {
        left -= piece->size();
        ++piece;
        --self.length;
    }
    if (self.length == 0) return false;
    piece->remove_prefix(left);
    self.address = piece;
    self.transferred += moved;
    self.offset += moved;
    return true;
}

sync_operation::sync_operation(int fd, std::uint32_t flags) noexcept
    : void_operation(operation_kind::sync, fd, 0, flags) {
    step = &sync_operation::note_failure;
    if (rt::has_failed_sync(fd)) refuse(EIO);
}

/// While the number is the file's for sure.
bool sync_operation::note_failure(operation& self) noexcept {
    // Of the device: EIO, ENOSPC, EDQUOT. Others say that this cannot be synced, or that nobody tried.
    if (self.outcome == -EIO || self.outcome == -ENOSPC || self.outcome == -EDQUOT) rt::note_failed_sync(self.fd);
    return false;
}

peal::result<void> sync_operation::result() {
    if (begins == beginning::refused) return peal::error::from_errno(EIO, "fsync (an earlier one of this file has failed: what was written may be lost)");
    return void_operation::result();
}

open_operation::open_operation(std::string path, std::uint32_t flags, std::uint32_t permissions) noexcept
    : operation(operation_kind::open), path_(std::move(path)) {
    this->address = path_.data();
    this->flags = flags;
    this->length = permissions;
    outcome = -ECANCELED;  // not awaited: nothing to close
    if (rt::holds_zero(path_)) refuse(EINVAL);
}

open_operation::~open_operation() {
    if (outcome >= 0) rt::close_file(outcome);  // opened after all, and nobody took it
}

file open_operation::await_resume() { return result().value(); }

peal::result<file> open_operation::result() {
    if (outcome < 0) return peal::error::from_errno(-outcome, "openat " + rt::shown(path_));
    return file(std::exchange(outcome, -ECANCELED));
}

}  // namespace detail

// ---- file ---------------------------------------------------------------------------------------------------------------------

detail::open_operation file::open(std::string path, open_mode mode, std::uint32_t permissions) noexcept {
    return detail::open_operation(std::move(path), flags_of(mode), permissions);
}

detail::open_operation file::open(std::string path, const open_options& options) noexcept {
    return detail::open_operation(std::move(path), options.system_flags(), options.permissions());
}

file::file(int fd) noexcept : fd_(fd), is_cached_(rt::is_cached(fd)) { rt::forget_failed_sync(fd); }

size_operation file::read_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept {
    return size_operation(operation_kind::read, fd_, buffer.data(), buffer.size(), 0, offset, rounds::one, first_try_of(is_cached_, buffer.size()));
}
size_operation file::read_exactly_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept {
    return size_operation(operation_kind::read, fd_, buffer.data(), buffer.size(), 0, offset, rounds::all, first_try_of(is_cached_, buffer.size()));
}
size_operation file::write_at(std::uint64_t offset, std::span<const std::byte> bytes) noexcept {
    return size_operation(operation_kind::write, fd_, bytes.data(), bytes.size(), 0, offset, rounds::all);
}
detail::pieces_operation file::read_at(std::uint64_t offset, std::span<const io::mutable_buffer> pieces) noexcept {
    return detail::pieces_operation(fd_, pieces, offset);
}
detail::pieces_operation file::write_at(std::uint64_t offset, std::span<io::const_buffer> pieces) noexcept {
    return detail::pieces_operation(fd_, pieces, offset);
}
size_operation file::append(std::span<const std::byte> bytes) noexcept {
    return size_operation(operation_kind::write, fd_, bytes.data(), bytes.size(), 0, no_offset, rounds::all);
}

detail::sync_operation file::sync(durable what) noexcept { return detail::sync_operation(fd_, what == durable::data_only ? 1 : 0); }
peal::detail::void_operation file::allocate(std::uint64_t offset, std::uint64_t size_bytes, grow size) noexcept {
    std::uint32_t flags = size == grow::yes ? 0 : FALLOC_FL_KEEP_SIZE;
    return peal::detail::void_operation(operation_kind::allocate, fd_, size_bytes, flags, offset);
}
peal::detail::void_operation file::punch_hole(std::uint64_t offset, std::uint64_t size_bytes) noexcept {
    return peal::detail::void_operation(operation_kind::allocate, fd_, size_bytes, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset);
}
peal::detail::void_operation file::truncate(std::uint64_t size_bytes) noexcept {
    return peal::detail::void_operation(operation_kind::truncate, fd_, size_bytes, 0);
}

void file::close() noexcept {
    if (fd_ >= 0) rt::close_file(std::exchange(fd_, -1));
}

// ---- whole files --------------------------------------------------------------------------------------------------------------

task<std::vector<std::byte>> read_file(std::string path) {
    file source = co_await file::open(path);
    file_info info = co_await source.stat();
    if (info.type == file_type::directory) {
        throw std::system_error(EISDIR, std::system_category(), "read_file " + path);
    }
    // One byte more than the system says, so that the end is seen without another read when the size was right.
    std::vector<std::byte> content(info.size != 0 ? info.size + 1 : first_read);
    std::size_t filled = 0;
    for (;;) {
        std::span<std::byte> free_part(content.data() + filled, content.size() - filled);
        auto reading = source.read_at(filled, free_part);
        auto read = co_await as_result(reading);
        if (!read) throw std::system_error(read.error().code(), "read_file " + path);
        std::size_t got = *read;
        filled += got;
        if (got == 0) break;
        if (filled == content.size()) content.resize(content.size() * 2);
        if (info.size != 0 && filled == info.size && got < free_part.size()) break;
    }
    content.resize(filled);
    co_return content;
}

task<void> write_file(std::string path, std::span<const std::byte> content) {
    static std::atomic<unsigned> serial{0};  // relaxed below: only uniqueness counts
    std::string beside = path + ".new-" + std::to_string(::getpid()) + '-' +
                         std::to_string(serial.fetch_add(1, std::memory_order_relaxed));
    auto existing = fs::stat(path);
    auto before = co_await as_result(existing);

    file target = co_await file::open(beside, open_mode::create_new, before ? before->permissions & 0777 : 0644);
    std::exception_ptr failure;
    try {
        co_await target.write_at(0, content);
        if (before) {
            // As they were: the umask took some away, and writing takes the set-user-id bit.
            auto restore = [&target, &before] {
                if (::fchmod(target.native_handle(), before->permissions) != 0) {
                    throw std::system_error(errno, std::system_category(), "fchmod");
                }
                return true;
            };
            peal::detail::blocking_call restoring(restore, peal::detail::blocking_class::files);
            co_await restoring;
        }
        co_await target.sync();
        co_await fs::rename(beside, path);
    } catch (...) {
        failure = std::current_exception();
    }
    if (failure) {
        ::unlink(beside.c_str());  // without the ring: the task may be stopped, and the file must go
        std::rethrow_exception(failure);
    }
    // The new name must be durable, too. A file system that cannot sync a folder says EINVAL: then there is nothing to sync.
    std::string folder = folder_of(path);
    file holder = co_await file::open(folder);
    auto syncing = holder.sync();
    auto synced = co_await as_result(syncing);
    if (!synced && synced.error().code() != std::errc::invalid_argument) synced.error().raise();
}

task<void> remove(std::string path) {
    name_operation removing(operation_kind::unlink, rt::working_directory, path);
    co_await perform(removing, "unlink " + path);
}

}  // namespace peal::fs
