// SPDX-License-Identifier: MIT
//
// Output of echo_load on stdout: a few aligned lines, or one JSON object.

#pragma once

#include <cstdint>
#include <optional>

#include "generator.hpp"
#include "options.hpp"

namespace load {

/// What --hold found.
struct hold_results {
    std::uint64_t errors = 0; // connections that broke while held
    std::string first_error;
    std::optional<std::uint64_t> resident_bytes_before; // no connection yet
    std::optional<std::uint64_t> resident_bytes_after;  // all held
};

void print_load(const options& settings, const results& measured);
void print_hold(const options& settings, const hold_results& held);

} // namespace load
