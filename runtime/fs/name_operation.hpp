// SPDX-License-Identifier: MIT
#pragma once

// name_operation: an operation on one name or two, each in a folder (rt::working_directory). The names outlive it.

#include <cerrno>
#include <string>
#include <system_error>

#include <peal/detail/operation.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/task.hpp>

#include "../base/zero_bytes.hpp"
#include "../task/names.hpp"

namespace peal::fs {

class name_operation : public peal::detail::void_operation {
  public:
    name_operation(peal::detail::operation_kind kind, int folder, const std::string& name, std::uint64_t length = 0,
                   std::uint32_t flags = 0) noexcept
        : void_operation(kind, folder, length, flags) {
        this->address = const_cast<char*>(name.c_str());
        if (rt::holds_zero(name)) refuse(EINVAL);
    }
    void set_second(int folder, const std::string& name) noexcept {
        this->length = static_cast<std::uint64_t>(folder);
        this->extra = const_cast<char*>(name.c_str());
        if (rt::holds_zero(name)) refuse(EINVAL);
    }
};

/// Awaits it; `doing` is what its error says.
inline task<void> perform(name_operation& operation, std::string doing) {
    auto done = co_await as_result(operation);
    if (!done) throw std::system_error(done.error().code(), rt::shown(doing));
}

}  // namespace peal::fs
