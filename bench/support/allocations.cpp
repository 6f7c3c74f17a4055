// SPDX-License-Identifier: MIT

// Replaces operator new by one that counts. The array and nothrow forms of the standard library end here, too. Memory that the
// library takes by malloc without operator new is what frames are cut from; it has its own counter.

#include <atomic>
#include <cstdlib>
#include <new>

#include <peal/detail/frame_memory.hpp>

#include "bench.hpp"

namespace {

constinit std::atomic<std::uint64_t> calls{0};  // relaxed: a statistic, read when nothing runs

void* counted(void* memory) {
    calls.fetch_add(1, std::memory_order_relaxed);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(std::malloc(bytes != 0 ? bytes : 1)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    auto boundary = static_cast<std::size_t>(alignment);
    return counted(std::aligned_alloc(boundary, (bytes + boundary - 1) / boundary * boundary));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace bench {

std::uint64_t allocations::total() noexcept {
    return calls.load(std::memory_order_relaxed) + peal::detail::frame_system_allocations();
}

}  // namespace bench
