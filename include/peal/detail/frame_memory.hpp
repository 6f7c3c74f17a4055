// SPDX-License-Identifier: MIT
#pragma once

// Memory for coroutine frames and spawned tasks: size-class free lists per thread, see runtime/task/frame_memory.cpp.

#include <cstddef>
#include <cstdint>

#include <peal/detail/config.hpp>

namespace peal::detail {

/// Any thread. Throws std::bad_alloc when the system has no memory.
[[nodiscard]] PEAL_EXPORT void* allocate_frame(std::size_t size_bytes);

/// Any thread, also another one than the allocating one: the frame then goes home by the owner's remote list.
PEAL_EXPORT void free_frame(void* frame, std::size_t size_bytes) noexcept;

/// Frames allocated and not yet freed, over all threads. Exact when no thread is allocating; for leak checks.
PEAL_EXPORT std::int64_t live_frames() noexcept;

/// Blocks of memory taken from the system for frames so far, over all threads; does not grow in a steady state.
PEAL_EXPORT std::uint64_t frame_system_allocations() noexcept;

/// Base of whatever lives in frame memory.
struct in_frame_memory {
    static void* operator new(std::size_t size_bytes) { return allocate_frame(size_bytes); }
    static void operator delete(void* memory, std::size_t size_bytes) noexcept { free_frame(memory, size_bytes); }
};

}  // namespace peal::detail
