// SPDX-License-Identifier: MIT
#pragma once

// How much work a run does, and that the result is right: for the programs of Google Benchmark and for those of compare/.

#include <cstdint>
#include <stdexcept>

namespace bench {

/// True under --smoke: everything runs once, in sizes that take milliseconds, to see that it works.
bool smoke() noexcept;
inline std::int64_t scaled(std::int64_t full, std::int64_t in_smoke_run) noexcept { return smoke() ? in_smoke_run : full; }

/// A benchmark that computes something wrong measures nothing: the program ends with this exception.
inline void expect(bool holds, const char* what) {
    if (!holds) throw std::logic_error(what);
}

}  // namespace bench
