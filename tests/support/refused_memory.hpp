// SPDX-License-Identifier: MIT
#pragma once

// refused_memory: the n-th piece of memory that a program asks for is refused: by operator new, which this header replaces, and of the library's own
// caches. For one program: include it in its only file.
//
// What the C library takes for itself by malloc (getaddrinfo, opendir, threads) is not refused.

#include <base/memory_faults.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

namespace support {

class refused_memory {
  public:
    /// From now on the `number`-th piece is refused, counted from 1. One at a time.
    explicit refused_memory(long number) noexcept {
        asked_ = 0;
        met_ = false;
        refused_ = number;
    }
    refused_memory(const refused_memory&) = delete;
    refused_memory& operator=(const refused_memory&) = delete;
    ~refused_memory() { end(); }

    static void end() noexcept { refused_ = 0; }
    /// It was asked for.
    static bool was_met() noexcept { return met_; }

    /// Any thread.
    static bool is_next() noexcept {
        long number = refused_;
        if (number == 0 || ++asked_ != number) return false;
        met_ = true;
        return true;
    }

  private:
    static inline constinit std::atomic<long> refused_{0};
    static inline constinit std::atomic<long> asked_{0};
    static inline constinit std::atomic<bool> met_{false};
};

namespace detail {

inline void* memory_or_null(std::size_t bytes, std::size_t alignment) noexcept {
    if (refused_memory::is_next()) return nullptr;
    if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes != 0 ? bytes : 1);
    return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

inline void* memory(std::size_t bytes, std::size_t alignment = 1) {
    if (void* taken = memory_or_null(bytes, alignment)) return taken;
    throw std::bad_alloc();
}

}  // namespace detail
}  // namespace support

void* operator new(std::size_t bytes) { return support::detail::memory(bytes); }
void* operator new[](std::size_t bytes) { return support::detail::memory(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) { return support::detail::memory(bytes, static_cast<std::size_t>(alignment)); }
void* operator new[](std::size_t bytes, std::align_val_t alignment) { return support::detail::memory(bytes, static_cast<std::size_t>(alignment)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept { return support::detail::memory_or_null(bytes, 1); }
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept { return support::detail::memory_or_null(bytes, 1); }
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return support::detail::memory_or_null(bytes, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
    return support::detail::memory_or_null(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t, const std::nothrow_t&) noexcept { std::free(memory); }
