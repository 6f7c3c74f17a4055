// SPDX-License-Identifier: MIT
#pragma once

// The hooks that sanitizers need where they cannot see: order through the ring (ThreadSanitizer), and memory of our own free
// lists (AddressSanitizer). Empty in any other build.

#include <cstddef>

#include <peal/detail/config.hpp>

#ifdef PEAL_TSAN
extern "C" void __tsan_acquire(void* address);
extern "C" void __tsan_release(void* address);
extern "C" void __tsan_write_range(void* address, unsigned long size);
#endif
#ifdef PEAL_ASAN
extern "C" void __asan_poison_memory_region(const volatile void* address, std::size_t size);
extern "C" void __asan_unpoison_memory_region(const volatile void* address, std::size_t size);
#endif

namespace peal::rt {

/// What this thread wrote so far happens before tsan_acquire() of the same address: the ring carries the order.
inline void tsan_release([[maybe_unused]] void* address) noexcept {
#ifdef PEAL_TSAN
    __tsan_release(address);
#endif
}
inline void tsan_acquire([[maybe_unused]] void* address) noexcept {
#ifdef PEAL_TSAN
    __tsan_acquire(address);
#endif
}
/// The kernel has written these bytes on behalf of the caller.
inline void tsan_written([[maybe_unused]] void* address, [[maybe_unused]] std::size_t size_bytes) noexcept {
#ifdef PEAL_TSAN
    __tsan_write_range(address, size_bytes);
#endif
}
/// Nobody may touch this memory until it is handed out again.
inline void poison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size_bytes) noexcept {
#ifdef PEAL_ASAN
    __asan_poison_memory_region(address, size_bytes);
#endif
}
inline void unpoison([[maybe_unused]] const void* address, [[maybe_unused]] std::size_t size_bytes) noexcept {
#ifdef PEAL_ASAN
    __asan_unpoison_memory_region(address, size_bytes);
#endif
}

}  // namespace peal::rt
