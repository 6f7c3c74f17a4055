// SPDX-License-Identifier: MIT

#include <peal/fs/names.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include <peal/detail/blocking_call.hpp>
#include <peal/fs/file.hpp>

#include "name_operation.hpp"
#include "rename_flags.hpp"

namespace peal::fs {

using peal::detail::operation_kind;

task<void> make_directory(std::string path, std::uint32_t permissions) {
    name_operation making(operation_kind::make_directory, rt::working_directory, path, permissions);
    co_await perform(making, "mkdir " + path);
}

task<void> make_directories(std::string path, std::uint32_t permissions) {
    rt::check_whole("mkdir " + path);
    for (std::size_t end = 0; end != std::string::npos;) {
        end = path.find('/', end + 1);
        std::string part = path.substr(0, end);
        name_operation making(operation_kind::make_directory, rt::working_directory, part, permissions);
        auto made = co_await as_result(making);
        if (made) continue;
        // It may exist and still be refused for another reason: a file system that is read-only, a folder that is not ours.
        auto asking = fs::stat(part);
        auto existing = co_await as_result(asking);
        if (existing && existing->type == file_type::directory) continue;
        // There is something, and we could not see what: that is what went wrong, and not that it exists.
        std::error_code why = made.error().code();
        if (why == std::errc::file_exists) {
            if (!existing) existing.error().raise();
            why = std::make_error_code(std::errc::not_a_directory);
        }
        throw std::system_error(why, "mkdir " + part);
    }
}

task<void> remove_directory(std::string path) {
    name_operation removing(operation_kind::unlink, rt::working_directory, path, 0, AT_REMOVEDIR);
    co_await perform(removing, "rmdir " + path);
}

task<void> rename(std::string from, std::string to, if_exists what) {
    name_operation renaming(operation_kind::rename, rt::working_directory, from, 0, flags_of(what));
    renaming.set_second(rt::working_directory, to);
    co_await perform(renaming, "rename " + from + " to " + to);
}

task<void> link(std::string existing, std::string path) {
    name_operation linking(operation_kind::link, rt::working_directory, existing);
    linking.set_second(rt::working_directory, path);
    co_await perform(linking, "link " + existing + " to " + path);
}

task<void> symlink(std::string target, std::string path) {
    name_operation linking(operation_kind::symlink, rt::working_directory, target);
    linking.set_second(rt::working_directory, path);
    co_await perform(linking, "symlink " + path);
}

task<std::string> read_link(std::string path) {
    rt::check_whole("readlink " + path);
    auto read = [&path] {
        for (std::string target(256, '\0');; target.resize(target.size() * 4)) {
            ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
            if (size < 0) throw std::system_error(errno, std::system_category(), "readlink " + path);
            if (static_cast<std::size_t>(size) < target.size()) {
                target.resize(static_cast<std::size_t>(size));
                return target;
            }
        }
    };
    peal::detail::blocking_call reading(read, peal::detail::blocking_class::files);
    co_return co_await reading;
}

task<std::vector<entry>> list(std::string path, std::size_t most) {
    directory_walk walk(path, 256, 1);
    std::vector<entry> all;
    bool is_first = true;
    for (auto batch = co_await walk.next(); !batch.empty(); batch = co_await walk.next()) {
        for (entry& each : batch) {
            if (each.error_number != 0) throw std::system_error(each.error_number, std::system_category(), "opendir " + each.path);
            if (std::exchange(is_first, false)) {  // the folder itself, or what is none
                if (each.type != file_type::directory) throw std::system_error(ENOTDIR, std::system_category(), "opendir " + path);
                continue;
            }
            if (all.size() == most) {
                throw std::system_error(EOVERFLOW, std::system_category(), "list " + path + ": more than " + std::to_string(most) + " names");
            }
            all.push_back(std::move(each));
        }
    }
    co_return all;
}

}  // namespace peal::fs
