// SPDX-License-Identifier: MIT

#include <peal/fs/temp_file.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <stop_token>
#include <vector>

#include <peal/detail/blocking_call.hpp>

#include "folder_of.hpp"
#include "name_operation.hpp"

namespace peal::fs {

using peal::detail::operation_kind;

namespace {

constexpr std::size_t copied_at_once = std::size_t{16} << 20;  // a stop waits for one of these
constexpr std::size_t buffer_bytes = 256 * 1024;

/// A name that no other file of a running program has.
std::string new_name(const std::string& folder) {
    static std::atomic<unsigned> serial{0};  // relaxed below: only uniqueness counts
    return folder + "/.peal-temp-" + std::to_string(::getpid()) + '-' + std::to_string(serial.fetch_add(1, std::memory_order_relaxed));
}

bool means_no_files_without_names(const std::error_code& failure) noexcept {
    return failure.value() == EOPNOTSUPP || failure.value() == EISDIR;
}

bool means_that_it_must_be_read(int error_number) noexcept {
    switch (error_number) {
        case EXDEV:       // two file systems that cannot
        case EINVAL:      // no regular file, or a file system that cannot
        case EOPNOTSUPP:
        case ENOSYS:      // a system call filter
        case EPERM:
        case ETXTBSY:
            return true;
        default: return false;
    }
}

}  // namespace

task<temp_file> temp_file::create(std::string folder, std::uint32_t permissions) {
    detail::open_operation opening(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, permissions);
    auto opened = co_await as_result(opening);
    if (opened) co_return temp_file(std::move(*opened), std::string());
    if (!means_no_files_without_names(opened.error().code())) opened.error().raise();
    co_return co_await create_with_name(std::move(folder), permissions);
}

task<temp_file> temp_file::create_with_name(std::string folder, std::uint32_t permissions) {
    for (;;) {
        std::string name = new_name(folder);
        auto opening = file::open(name, open_mode::create_new, permissions);
        auto opened = co_await as_result(opening);
        if (opened) co_return temp_file(std::move(*opened), std::move(name));
        if (opened.error().code() != std::errc::file_exists) opened.error().raise();  // left behind by a process of our number
    }
}

task<void> temp_file::give_name(std::string path, if_exists what) {
    PEAL_ASSERT(what != if_exists::exchange, "temp_file::give_name() cannot exchange names: this file has none");
    PEAL_ASSERT(content_.is_open(), "temp_file::give_name() of one that was moved from, or whose content was closed");
    if (!name_.empty()) {
        std::string own = name_;
        co_await fs::rename(own, path, what);
        name_.clear();
        co_return;
    }
    std::string open_file = "/proc/self/fd/" + std::to_string(content_.native_handle());
    std::string doing = "link to " + path;
    if (what == if_exists::fail) {
        name_operation linking(operation_kind::link, rt::working_directory, open_file, 0, AT_SYMLINK_FOLLOW);
        linking.set_second(rt::working_directory, path);
        co_await perform(linking, doing);
        co_return;
    }
    // linkat replaces nothing: it gets a name beside the other, which this object removes if it comes to nothing.
    for (;;) {
        std::string beside = new_name(folder_of(path));
        name_ = beside;
        name_operation linking(operation_kind::link, rt::working_directory, open_file, 0, AT_SYMLINK_FOLLOW);
        linking.set_second(rt::working_directory, beside);
        auto linked = co_await as_result(linking);
        if (linked) break;
        if (!linked.error().is_canceled()) name_.clear();  // that one is not ours
        if (linked.error().code() != std::errc::file_exists) throw std::system_error(linked.error().code(), doing);
    }
    std::string beside = name_;
    co_await fs::rename(beside, path, if_exists::replace);
    name_.clear();
}

void temp_file::remove() noexcept {
    if (!name_.empty()) ::unlink(std::exchange(name_, std::string()).c_str());
}

task<std::uint64_t> copy_file(std::string from, std::string to, if_exists what) {
    file source = co_await file::open(from);
    file_info info = co_await source.stat();
    if (info.type == file_type::directory) throw std::system_error(EISDIR, std::system_category(), "copy_file " + from);
    task<temp_file> creating = temp_file::create(folder_of(to), 0600);
    temp_file target = co_await std::move(creating);

    int in = source.native_handle();
    int out = target.content().native_handle();
    std::uint64_t total = 0;
    auto copy_some = [in, out, &total]() -> ssize_t {
        auto in_offset = static_cast<off_t>(total);
        auto out_offset = static_cast<off_t>(total);
        ssize_t copied = ::copy_file_range(in, &in_offset, out, &out_offset, copied_at_once, 0);
        return copied < 0 ? -errno : copied;
    };
    for (;;) {
        std::stop_source stopped;  // what has begun is finished; the next is not begun
        peal::detail::blocking_call copying(copy_some, peal::detail::blocking_class::files, &stopped);
        ssize_t copied = co_await copying;
        if (copied > 0) {
            total += static_cast<std::uint64_t>(copied);
            continue;
        }
        // Nothing: the end; or a file whose size the system does not tell (/proc), which must be read to know.
        if (copied == 0 && total != 0) break;
        if (copied < 0 && !means_that_it_must_be_read(static_cast<int>(-copied))) {
            throw std::system_error(static_cast<int>(-copied), std::system_category(), "copy_file_range " + from + " to " + to);
        }
        std::vector<std::byte> buffer(buffer_bytes);
        for (;;) {
            std::size_t read = co_await source.read_at(total, buffer);
            if (read == 0) break;
            co_await target.content().write_at(total, std::span<const std::byte>(buffer).first(read));
            total += read;
        }
        break;
    }
    std::uint32_t permissions = info.permissions & 0777;
    auto give_permissions = [out, permissions, &from] {
        if (::fchmod(out, permissions) != 0) throw std::system_error(errno, std::system_category(), "fchmod for a copy of " + from);
        return true;
    };
    peal::detail::blocking_call giving(give_permissions, peal::detail::blocking_class::files);
    co_await giving;
    co_await target.give_name(to, what);
    co_return total;
}

}  // namespace peal::fs
