// SPDX-License-Identifier: MIT
#pragma once

// The line that tells a person at a terminal how far the program is.

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include <peal/peal.hpp>

#include "digester.hpp"
#include "output.hpp"

namespace examples {

/// To the first column, and clears the line: before anything else is written to that terminal.
inline constexpr std::string_view clear_line = "\r\033[K";

/// There is somebody to look at it, and the digests do not go to a terminal, too, which is the same one most
/// of the time.
inline bool progress_is_wanted() noexcept {
    return ::isatty(STDERR_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 0;
}

/// Until it is asked to stop.
inline peal::task<void> show_progress(const totals& done, output& terminal) {
    auto start = peal::clock::now();
    while (co_await peal::as_result(peal::sleep_for(std::chrono::milliseconds(100)))) {
        std::chrono::duration<double> elapsed = peal::clock::now() - start;
        auto megabytes = static_cast<double>(done.bytes.load(std::memory_order_relaxed)) / 1e6;
        char text[120];
        int size = std::snprintf(text, sizeof text, "%s%llu files  %.1f MB  %.0f MB/s", clear_line.data(),
                                 static_cast<unsigned long long>(done.files.load(std::memory_order_relaxed)),
                                 megabytes, megabytes / elapsed.count());
        co_await terminal.write_if_possible(std::string_view(text, static_cast<std::size_t>(size)));
    }
}

}  // namespace examples
