// SPDX-License-Identifier: MIT

#include <cstdio>
#include <cstdlib>

#include <peal/detail/config.hpp>

namespace peal::detail {

void assertion_failed(const char* what, const char* file, int line) noexcept {
    std::fprintf(stderr, "peal: %s (%s:%d)\n", what, file, line);
    std::fflush(stderr);
    std::abort();
}

}  // namespace peal::detail
