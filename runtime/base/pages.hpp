// SPDX-License-Identifier: MIT
#pragma once

// Whole pages of memory, aligned to their size, for caches of our own. (The model checker has its own.)

#include <cstddef>

namespace peal::rt {

/// Any thread. Null if the system has none. Requires: a power of two, at least a page.
[[nodiscard]] void* allocate_pages(std::size_t bytes) noexcept;
/// Any thread. The system has them back at once.
void free_pages(void* pages, std::size_t bytes) noexcept;

}  // namespace peal::rt
