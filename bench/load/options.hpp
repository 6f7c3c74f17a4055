// SPDX-License-Identifier: MIT
//
// Command line of echo_load.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <sys/types.h>

namespace load {

struct options {
    std::string host = "127.0.0.1";
    std::uint16_t port = 0;
    std::size_t connections = 64;
    std::size_t size_bytes = 64;
    std::size_t pipeline = 1;
    double duration_seconds = 5;
    double warmup_seconds = 1;
    std::optional<double> rate; // requests per second over all connections; absent: closed loop
    std::size_t idle = 0;
    std::optional<double> hold_seconds;
    double spin_microseconds = 0;
    std::optional<pid_t> pid;
    std::uint64_t seed = 1;
    bool json = false;
    bool help = false;
};

/// The command line cannot be understood; what() says which part and why.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Throws usage_error.
[[nodiscard]] options parse_options(int argc, const char* const* argv);

extern const char* const usage_text;

} // namespace load
