// SPDX-License-Identifier: MIT

#include <peal/fs/attributes.hpp>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <stop_token>
#include <system_error>

#include <peal/detail/blocking_call.hpp>

#include "../base/zero_bytes.hpp"

namespace peal::fs {
namespace {

/// Makes a system call on a blocking thread. `call` gives a negative number for a failure, and `doing` is what its error says: with all names.
template <class Call>
task<void> make(Call call, std::string doing) {
    rt::check_whole(doing);
    std::stop_source stopped;  // not looked at: what has begun is finished
    auto run = [&call] { return call() < 0 ? errno : 0; };
    peal::detail::blocking_call calling(run, peal::detail::blocking_class::files, &stopped);
    int error_number = co_await calling;
    if (error_number != 0) throw std::system_error(error_number, std::system_category(), doing);
}

/// The same for calls that say how much room they want: `call(memory, size)`; with size 0 they tell.
template <class Call>
task<std::vector<std::byte>> read_all(Call call, std::string doing) {
    std::vector<std::byte> content;
    auto fill = [&call, &content]() -> ssize_t {
        for (;;) {
            ssize_t size = call(nullptr, 0);
            if (size <= 0) return size;
            content.resize(static_cast<std::size_t>(size));
            size = call(content.data(), content.size());
            if (size >= 0) content.resize(static_cast<std::size_t>(size));
            if (size >= 0 || errno != ERANGE) return size;  // ERANGE: it has grown meanwhile
        }
    };
    co_await make(fill, std::move(doing));
    co_return content;
}

timespec time_of(const std::optional<std::chrono::system_clock::time_point>& when) noexcept {
    if (!when) return {0, UTIME_OMIT};
    auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(when->time_since_epoch());
    auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    return {static_cast<time_t>(seconds.count()), static_cast<long>((since - seconds).count())};
}

}  // namespace

task<void> set_permissions(std::string path, std::uint32_t permissions) {
    auto call = [&path, permissions] { return ::chmod(path.c_str(), permissions); };
    co_await make(call, "chmod " + path);
}

task<void> set_owner(std::string path, std::optional<std::uint32_t> user, std::optional<std::uint32_t> group, follow_links follow) {
    constexpr std::uint32_t as_it_is = ~std::uint32_t{0};
    auto call = [&] {
        return ::fchownat(AT_FDCWD, path.c_str(), user.value_or(as_it_is), group.value_or(as_it_is),
                          follow == follow_links::yes ? 0 : AT_SYMLINK_NOFOLLOW);
    };
    co_await make(call, "chown " + path);
}

task<void> set_times(std::string path, std::optional<std::chrono::system_clock::time_point> accessed,
                     std::optional<std::chrono::system_clock::time_point> modified, follow_links follow) {
    timespec times[2] = {time_of(accessed), time_of(modified)};
    auto call = [&] { return ::utimensat(AT_FDCWD, path.c_str(), times, follow == follow_links::yes ? 0 : AT_SYMLINK_NOFOLLOW); };
    co_await make(call, "utimensat " + path);
}

task<std::vector<std::byte>> get_attribute(std::string path, std::string name) {
    auto call = [&path, &name](void* into, std::size_t size) { return ::getxattr(path.c_str(), name.c_str(), into, size); };
    co_return co_await read_all(call, "getxattr " + name + " of " + path);
}

task<void> set_attribute(std::string path, std::string name, std::span<const std::byte> value, attribute_mode mode) {
    int flags = 0;
    switch (mode) {
        case attribute_mode::set: break;
        case attribute_mode::create: flags = XATTR_CREATE; break;
        case attribute_mode::replace: flags = XATTR_REPLACE; break;
    }
    auto call = [&path, &name, value, flags] { return ::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags); };
    co_await make(call, "setxattr " + name + " of " + path);
}

task<void> remove_attribute(std::string path, std::string name) {
    auto call = [&path, &name] { return ::removexattr(path.c_str(), name.c_str()); };
    co_await make(call, "removexattr " + name + " of " + path);
}

task<std::vector<std::string>> list_attributes(std::string path) {
    auto call = [&path](void* into, std::size_t size) { return ::listxattr(path.c_str(), static_cast<char*>(into), size); };
    std::vector<std::byte> content = co_await read_all(call, "listxattr " + path);
    std::vector<std::string> names;
    auto* text = reinterpret_cast<const char*>(content.data());
    for (std::size_t at = 0; at < content.size(); at += names.back().size() + 1) names.emplace_back(text + at);  // each ends with a zero
    co_return names;
}

}  // namespace peal::fs
