// SPDX-License-Identifier: MIT
#pragma once

// file: an open file, read and written on the rings; and whole files at once.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <peal/detail/operation.hpp>
#include <peal/fs/open_options.hpp>
#include <peal/io/buffer.hpp>
#include <peal/task/task.hpp>

namespace peal::fs {

enum class file_type : std::uint8_t { regular, directory, symlink, other };

class PEAL_EXPORT file_info {
  public:
    file_info() noexcept {}
    file_type type = file_type::other;
    std::uint32_t permissions = 0;  // the lower twelve bits of the mode
    std::uint64_t size = 0;         // bytes
    std::uint64_t inode = 0;
    std::uint64_t device = 0;
    std::uint64_t links = 0;
    std::chrono::system_clock::time_point modified;
};

enum class open_mode : std::uint8_t {
    read,        // must exist
    write,       // created or emptied
    read_write,  // created if missing, kept if not
    append,      // created if missing; every write goes to the end
    create_new,  // fails with file_exists if it exists; for reading and writing
};

class file;

namespace detail {

/// Gives what the system knows of a file.
class [[nodiscard]] PEAL_EXPORT stat_operation : public peal::detail::operation {
  public:
    explicit stat_operation(int fd) noexcept;
    /// `path` is kept.
    stat_operation(std::string path, bool follow) noexcept;
    file_info await_resume();
    peal::result<file_info> result();

  private:
    std::string path_;
    alignas(8) std::byte status_[256];  // a statx
};

/// Gives an open file.
class [[nodiscard]] PEAL_EXPORT open_operation : public peal::detail::operation {
  public:
    open_operation(std::string path, std::uint32_t flags, std::uint32_t permissions) noexcept;
    ~open_operation();
    file await_resume();
    peal::result<file> result();

  private:
    std::string path_;
};

/// Reads into or writes from several pieces of memory.
class [[nodiscard]] PEAL_EXPORT pieces_operation : public peal::detail::size_operation {
  public:
    pieces_operation(int fd, std::span<const io::mutable_buffer> pieces, std::uint64_t offset) noexcept;
    pieces_operation(int fd, std::span<io::const_buffer> pieces, std::uint64_t offset) noexcept;

  private:
    static bool next_pieces(operation& self) noexcept;
};

/// Remembers a failure for the file.
class [[nodiscard]] PEAL_EXPORT sync_operation : public peal::detail::void_operation {
  public:
    sync_operation(int fd, std::uint32_t flags) noexcept;
    void await_resume() { result().value(); }
    peal::result<void> result();

  private:
    static bool note_failure(operation& self) noexcept;
};

}  // namespace detail

/// An open file. Positions are explicit: reads and writes of different tasks do not disturb each other.
///
/// Threads:      any number of tasks.
/// Cancellation: what the system has begun it mostly finishes; then the operation succeeds.
/// Lifetime:     buffers until the operation ends. Destroying the file while an operation runs is safe; closing never blocks a worker.
/// Errors:       std::system_error with the errno and the name of the system call.
/// Kernel:       one request on the ring of the worker that awaits. A read of at most 64 KiB first takes what lies in the page cache by preadv2(RWF_NOWAIT), and
///               then does not suspend; 16 times in a row at most, and seldom while it finds nothing. Buffered writes, sync, truncate and stat are done by the
///               ring's kernel threads; where those cannot be had, by a blocking thread of the pool.
class PEAL_EXPORT file {
  public:
    file() noexcept = default;
    /// Takes over an open descriptor.
    explicit file(int fd) noexcept;
    file(file&& other) noexcept : fd_(std::exchange(other.fd_, -1)), is_cached_(other.is_cached_) {}
    file& operator=(file&& other) noexcept {
        if (this != &other) {
            close();
            fd_ = std::exchange(other.fd_, -1);
            is_cached_ = other.is_cached_;
        }
        return *this;
    }
    ~file() { close(); }

    /// `co_await file::open("/etc/hosts")`. `permissions` for a file that is created, less the umask.
    static detail::open_operation open(std::string path, open_mode mode = open_mode::read, std::uint32_t permissions = 0644) noexcept;
    /// `co_await file::open(path, open_options().read().write().create())`: every combination that the system knows.
    static detail::open_operation open(std::string path, const open_options& options) noexcept;

    /// Reads at most `buffer.size()` bytes at `offset`; 0 at the end of the file.
    [[nodiscard]] peal::detail::size_operation read_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept;
    /// Reads until `buffer` is full or the file ends.
    [[nodiscard]] peal::detail::size_operation read_exactly_at(std::uint64_t offset, std::span<std::byte> buffer) noexcept;
    /// Writes everything at `offset`.
    [[nodiscard]] peal::detail::size_operation write_at(std::uint64_t offset, std::span<const std::byte> bytes) noexcept;
    /// The same with several pieces of memory, in their order; at most 1024 of them. Writing uses the array up as it goes.
    [[nodiscard]] detail::pieces_operation read_at(std::uint64_t offset, std::span<const io::mutable_buffer> pieces) noexcept;
    [[nodiscard]] detail::pieces_operation write_at(std::uint64_t offset, std::span<io::const_buffer> pieces) noexcept;
    /// Writes everything at the end. Requires: opened with open_mode::append.
    [[nodiscard]] peal::detail::size_operation append(std::span<const std::byte> bytes) noexcept;

    enum class durable : bool { everything, data_only };
    /// Brings what was written to the device. Once that fails, the data may be lost, and the system would claim success the next time: so
    /// from then on every sync() of this object fails by io_error. Write the file anew.
    [[nodiscard]] detail::sync_operation sync(durable what = durable::everything) noexcept;
    /// Takes room on the device, so that writes there do not fail for the lack of it; the file grows if it is shorter, unless `grow` is no.
    /// Errors: operation_not_supported from file systems that cannot.
    enum class grow : bool { no, yes };
    [[nodiscard]] peal::detail::void_operation allocate(std::uint64_t offset, std::uint64_t size_bytes, grow size = grow::yes) noexcept;
    /// Gives the room back; what was there reads as zeros, and the size stays. Errors: as allocate().
    [[nodiscard]] peal::detail::void_operation punch_hole(std::uint64_t offset, std::uint64_t size_bytes) noexcept;
    [[nodiscard]] peal::detail::void_operation truncate(std::uint64_t size_bytes) noexcept;
    [[nodiscard]] detail::stat_operation stat() noexcept { return detail::stat_operation(fd_); }

    bool is_open() const noexcept { return fd_ >= 0; }
    int native_handle() const noexcept { return fd_; }
    void close() noexcept;

  private:
    int fd_ = -1;
    bool is_cached_ = false;  // by the system: not opened with O_DIRECT
};

enum class follow_links : bool { no, yes };
/// What the system knows of `path`.
inline detail::stat_operation stat(std::string path, follow_links follow = follow_links::yes) noexcept {
    return detail::stat_operation(std::move(path), follow == follow_links::yes);
}

/// The whole file. Works for files of unknown size (/proc), too.
PEAL_EXPORT task<std::vector<std::byte>> read_file(std::string path);

/// Replaces `path` by `content`, atomically and durably: readers see the old file or the new one, also after a crash. Written to a
/// new file beside it, synced, renamed. Keeps the permissions of a file that exists.
PEAL_EXPORT task<void> write_file(std::string path, std::span<const std::byte> content);

/// Removes a file.
PEAL_EXPORT task<void> remove(std::string path);

}  // namespace peal::fs
