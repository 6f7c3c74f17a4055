// SPDX-License-Identifier: MIT
//
// The one error of echo_load after its options are understood: the run is void, main() prints what() and exits with 1.

#pragma once

#include <stdexcept>
#include <string>
#include <system_error>

namespace load {

struct failure : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// "what: text of the errno value"
[[nodiscard]] inline failure failure_from_errno(const std::string& what, int error)
{
    return failure(what + ": " + std::generic_category().message(error));
}

} // namespace load
