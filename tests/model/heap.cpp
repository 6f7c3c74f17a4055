// SPDX-License-Identifier: MIT

#include "heap.hpp"

#include <cstdlib>
#include <new>

namespace model::heap {

namespace {

struct alignas(16) header {
    header* next;     // of this execution's blocks
    void* raw;
    std::size_t bytes;
    bool is_tracked;
    bool is_free;
};

header* first = nullptr;

// The blocks that this execution has freed: few.
struct range {
    const std::byte* begin;
    const std::byte* end;
};
constexpr std::size_t most_freed = 64;
range freed_ranges[most_freed];
std::size_t freed_count = 0;
range around_freed{};

header& header_of(void* memory) noexcept { return static_cast<header*>(memory)[-1]; }

}  // namespace

void* allocate(std::size_t bytes, std::size_t alignment) {
    std::size_t offset = alignment < sizeof(header) ? sizeof(header) : alignment;
    void* raw = alignment <= 16 ? std::malloc(offset + bytes)
                                : std::aligned_alloc(alignment, (offset + bytes + alignment - 1) / alignment * alignment);
    if (raw == nullptr) std::abort();
    void* memory = static_cast<std::byte*>(raw) + offset;
    header& made = header_of(memory);
    made.raw = raw;
    made.bytes = bytes;
    made.is_tracked = tracks;
    made.is_free = false;
    if (tracks) {
        made.next = first;
        first = &made;
    }
    return memory;
}

void release(void* memory) noexcept {
    if (memory == nullptr) return;
    header& freed = header_of(memory);
    if (freed.is_tracked) {
        if (before_release != nullptr) before_release(memory, freed.bytes);
        freed.is_free = true;
        auto* begin = static_cast<const std::byte*>(memory);
        if (freed_count != most_freed) {
            range& made = freed_ranges[freed_count++] = {begin, begin + freed.bytes};
            if (freed_count == 1 || made.begin < around_freed.begin) around_freed.begin = made.begin;
            if (freed_count == 1 || made.end > around_freed.end) around_freed.end = made.end;
        }
    } else {
        std::free(freed.raw);
    }
}

bool is_freed(const void* address) noexcept {
    auto* at = static_cast<const std::byte*>(address);
    if (at < around_freed.begin || at >= around_freed.end) return false;
    for (std::size_t i = 0; i < freed_count; ++i) {
        if (at >= freed_ranges[i].begin && at < freed_ranges[i].end) return true;
    }
    return false;
}

std::size_t end_execution() noexcept {
    std::size_t left = 0;
    freed_count = 0;
    around_freed = {};
    while (first != nullptr) {
        header* ended = first;
        first = ended->next;
        if (!ended->is_free) ++left;
        std::free(ended->raw);
    }
    return left;
}

}  // namespace model::heap

void* operator new(std::size_t bytes) { return model::heap::allocate(bytes); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return model::heap::allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { model::heap::release(memory); }
void operator delete(void* memory, std::size_t) noexcept { model::heap::release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { model::heap::release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { model::heap::release(memory); }
