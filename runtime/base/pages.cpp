// SPDX-License-Identifier: MIT

#include "pages.hpp"

#include <sys/mman.h>

#include <cstdlib>

#include "memory_faults.hpp"
#include "sanitizer.hpp"

namespace peal::rt {

constexpr std::size_t smallest_page = 4096;  // less is asked for where it is explored: the page around that is others', too

// By malloc and not by mmap, so that leak checkers look into them.
void* allocate_pages(std::size_t bytes) noexcept { return memory_is_refused() ? nullptr : std::aligned_alloc(bytes, bytes); }

void free_pages(void* pages, std::size_t bytes) noexcept {
    unpoison(pages, bytes);
    if (bytes >= smallest_page) ::madvise(pages, bytes, MADV_DONTNEED);  // free() keeps what lies below other memory
    std::free(pages);
}

}  // namespace peal::rt
