// SPDX-License-Identifier: MIT

#include "glance.hpp"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <source_location>

#include <peal/task/context.hpp>

namespace peal::rt {

namespace {

bool copy(const void* from, void* to, std::size_t bytes) noexcept {
    iovec here{to, bytes};
    iovec there{const_cast<void*>(from), bytes};
    return ::process_vm_readv(::getpid(), &here, 1, &there, 1, 0) == static_cast<ssize_t>(bytes);
}

template <class T>
std::optional<T> copy_of(const T* from) noexcept {
    std::array<std::byte, sizeof(T)> bytes;
    if (!copy(from, bytes.data(), sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(static_cast<void*>(&value), bytes.data(), sizeof(T));
    return value;
}

/// A text that ends with a zero byte, its first bytes if it is long.
std::optional<std::string> text_at(const char* from) {
    constexpr std::size_t step = 64;  // does not cross a page
    std::string text;
    while (from != nullptr && text.size() < 256) {
        char piece[step];
        const std::size_t bytes = step - reinterpret_cast<std::uintptr_t>(from) % step;
        if (!copy(from, piece, bytes)) return std::nullopt;
        const char* end = std::find(piece, piece + bytes, '\0');
        text.append(piece, static_cast<std::size_t>(end - piece));
        if (end != piece + bytes) break;
        from += bytes;
    }
    return text;
}

/// A std::source_location is a pointer to one of these, in the standard libraries of both compilers.
struct place {
    const char* file = nullptr;
    const char* function = nullptr;
    unsigned line = 0;
    unsigned column = 0;
};
static_assert(sizeof(std::source_location) == sizeof(const place*));

}  // namespace

std::optional<glance> glance::at(const detail::thread_state& other) {
    auto running = copy_of(&other.current);
    if (!running || *running == nullptr) return std::nullopt;
    auto root = copy_of(&((*running)->*context::root_member()));
    if (!root || *root == nullptr) return std::nullopt;
    auto name = copy_of(&(*root)->name_);
    auto where = copy_of(reinterpret_cast<const place* const*>(&(*root)->location_));
    if (!name || !where) return std::nullopt;
    glance seen;
    if (auto text = text_at(*name)) seen.name = std::move(*text);
    if (*where != nullptr) {
        if (auto spawned = copy_of(*where)) {
            if (auto file = text_at(spawned->file); file && !file->empty()) seen.spawned_at = *file + ':' + std::to_string(spawned->line);
        }
    }
    if (copy_of(&other.current) != running) return std::nullopt;
    return seen;
}

}  // namespace peal::rt
