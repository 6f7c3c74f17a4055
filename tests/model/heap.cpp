// SPDX-License-Identifier: MIT

#include "heap.hpp"

#include <cstdlib>
#include <new>

namespace model::heap {

namespace {

struct header {
    header* next;     // of this execution's blocks
    void* raw;
    bool is_tracked;
    bool is_free;
};

header* first = nullptr;

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
        freed.is_free = true;
    } else {
        std::free(freed.raw);
    }
}

std::size_t end_execution() noexcept {
    std::size_t left = 0;
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
