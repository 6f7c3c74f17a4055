// SPDX-License-Identifier: MIT

#include <peal/fs/directory.hpp>

#include <fcntl.h>

#include <cerrno>

#include "../base/zero_bytes.hpp"
#include "../task/descriptors.hpp"
#include "../task/names.hpp"
#include "name_operation.hpp"
#include "rename_flags.hpp"

namespace peal::fs {

using peal::detail::operation_kind;

namespace {

constexpr int most_attempts = 64;  // the system says EAGAIN when somebody renames a folder on the way: it could not tell where ".." leads

std::uint64_t flags_of(resolve rules) noexcept {
    switch (rules) {
        case resolve::beneath: return rt::resolve_beneath | rt::resolve_no_magic_links;
        case resolve::beneath_without_links: return rt::resolve_beneath | rt::resolve_no_magic_links | rt::resolve_no_symlinks;
        case resolve::beneath_on_this_mount: return rt::resolve_beneath | rt::resolve_no_magic_links | rt::resolve_no_mounts;
        case resolve::in_root: return rt::resolve_in_root | rt::resolve_no_magic_links;
        case resolve::anywhere: return 0;
    }
    return rt::resolve_beneath;
}

class open_in_operation : public peal::detail::void_operation {
  public:
    open_in_operation(int folder, const std::string& path, rt::open_rules& rules) noexcept : void_operation(operation_kind::open_in) {
        this->fd = folder;
        this->address = const_cast<char*>(path.c_str());
        this->extra = &rules;
        outcome = -ECANCELED;  // not awaited: nothing to close
        if (rt::holds_zero(path)) refuse(EINVAL);
    }
    ~open_in_operation() {
        if (outcome >= 0) rt::close_file(outcome);  // opened after all, and nobody took it
    }
    int take() noexcept { return std::exchange(outcome, -ECANCELED); }
};

task<file> open_in(int folder, std::string path, std::uint64_t flags, std::uint64_t mode, resolve how) {
    rt::open_rules rules{flags, (flags & O_CREAT) != 0 ? mode : 0, flags_of(how)};
    for (int attempt = 1;; ++attempt) {
        open_in_operation opening(folder, path, rules);
        auto opened = co_await as_result(opening);
        if (opened) co_return file(opening.take());
        if (opened.error().code() == std::errc::resource_unavailable_try_again && attempt < most_attempts) continue;
        throw std::system_error(opened.error().code(), "openat2 " + rt::shown(path));
    }
}

/// Not more than one name, so that it cannot lead out of its folder.
void check_name(const std::string& name) {
    if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos || rt::holds_zero(name)) {
        throw std::system_error(EINVAL, std::system_category(), "not a single name: \"" + rt::shown(name) + '"');
    }
}

}  // namespace

task<directory> directory::open(std::string path) {
    file folder = co_await file::open(path, open_options().read().directory_only());
    co_return directory(std::move(folder));
}

task<file> directory::open_file(std::string path, open_options options, resolve rules) const {
    co_return co_await open_in(native_handle(), std::move(path), options.system_flags(), options.permissions(), rules);
}

task<directory> directory::open_directory(std::string path, resolve rules) const {
    file folder = co_await open_in(native_handle(), std::move(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, rules);
    co_return directory(std::move(folder));
}

task<file_info> directory::stat(std::string name) const {
    check_name(name);
    // By a descriptor of the name: then fs::file knows how to read what the system says.
    file named = co_await open_in(native_handle(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0, resolve::beneath);
    co_return co_await named.stat();
}

task<void> directory::make_directory(std::string name, std::uint32_t permissions) const {
    check_name(name);
    name_operation making(operation_kind::make_directory, native_handle(), name, permissions);
    co_await perform(making, "mkdir " + name);
}

task<void> directory::remove(std::string name) const {
    check_name(name);
    name_operation removing(operation_kind::unlink, native_handle(), name);
    co_await perform(removing, "unlink " + name);
}

task<void> directory::remove_directory(std::string name) const {
    check_name(name);
    name_operation removing(operation_kind::unlink, native_handle(), name, 0, AT_REMOVEDIR);
    co_await perform(removing, "rmdir " + name);
}

task<void> directory::rename(std::string name, const directory& to, std::string new_name, if_exists what) const {
    check_name(name);
    check_name(new_name);
    rt::descriptor_use in_use(to.native_handle());
    name_operation renaming(operation_kind::rename, native_handle(), name, 0, fs::flags_of(what));
    renaming.set_second(to.native_handle(), new_name);
    co_await perform(renaming, "rename " + name + " to " + new_name);
}

task<void> directory::link(std::string name, const directory& to, std::string new_name) const {
    check_name(name);
    check_name(new_name);
    rt::descriptor_use in_use(to.native_handle());
    name_operation linking(operation_kind::link, native_handle(), name);
    linking.set_second(to.native_handle(), new_name);
    co_await perform(linking, "link " + name + " to " + new_name);
}

task<void> directory::symlink(std::string target, std::string name) const {
    check_name(name);
    name_operation linking(operation_kind::symlink, native_handle(), target);
    linking.set_second(native_handle(), name);
    co_await perform(linking, "symlink " + name);
}

task<void> directory::sync() {
    auto syncing = folder_.sync();
    auto synced = co_await as_result(syncing);
    // A file system that cannot sync a folder says EINVAL: then there is nothing to sync.
    if (!synced && synced.error().code() != std::errc::invalid_argument) synced.error().raise();
}

}  // namespace peal::fs
