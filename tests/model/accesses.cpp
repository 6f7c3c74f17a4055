// SPDX-License-Identifier: MIT

// Data races of plain variables in sources that nobody has changed for it. The programs are compiled as for ThreadSanitizer, so every plain
// access calls a function; but these are ours, and ask the explorer whether the access before happens before this one. Not linked to
// ThreadSanitizer: what a thread really did on this machine does not matter here.
//
// An access is known by its address: two that overlap and begin at different addresses are not compared. That misses races of copies
// with fields, and gives no false alarm. Bound: `cells` addresses per execution.

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>

#include "explorer.hpp"
#include "heap.hpp"

namespace {

constexpr unsigned most_threads = 5;
constexpr std::size_t cells = 1u << 14;

struct cell {
    std::uintptr_t address;
    std::uint32_t execution;   // in which the rest is valid
    std::uint32_t written_by;
    std::uint32_t written_at;
    std::uint32_t read_at[most_threads];
    const void* written_from;
    const void* read_from;
};
cell table[cells];

/// Null: not there, and not made if `makes` is false.
cell* find(std::uintptr_t address, bool makes) {
    std::size_t at = (address * 0x9e3779b97f4a7c15u) >> 40 & (cells - 1);
    for (std::size_t tries = 0; tries < 64; ++tries, at = (at + 1) & (cells - 1)) {
        cell& each = table[at];
        if (each.execution != model::present.execution) {
            if (!makes) return nullptr;
            std::memset(&each, 0, sizeof each);
            each.address = address;
            each.execution = model::present.execution;
            return &each;
        }
        if (each.address == address) return &each;
    }
    model::fail("misuse", "too many plain variables");
}

std::string text_of(const void* code) {
    Dl_info info{};
    char text[64];
    if (dladdr(code, &info) != 0 && info.dli_fbase != nullptr) {
        std::snprintf(text, sizeof text, "+0x%lx", static_cast<unsigned long>(static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase)));
    } else {
        std::snprintf(text, sizeof text, "%p", code);
    }
    return text;
}

[[noreturn]] void race(const char* what, std::uintptr_t address, const void* from, const void* before) {
    model::heap::untracked inside;
    char text[32];
    std::snprintf(text, sizeof text, "0x%lx", static_cast<unsigned long>(address));
    model::fail("data race", std::string(what) + " of " + text + " at " + text_of(from) + ", before at " + text_of(before) +
                                 " (addr2line -Cfie PROGRAM)");
}

void check_freed(std::uintptr_t address, const void* from) {
    if (!model::heap::is_freed(reinterpret_cast<const void*>(address))) return;
    model::heap::untracked inside;
    model::fail("use after free", "at " + text_of(from) + " (addr2line -Cfie PROGRAM)");
}

/// The cell of what is accessed, if that counts, and no race with who wrote it last.
cell* access(const char* how, const void* memory, const void* from) {
    if (!model::heap::tracks || model::is_kept_per_thread(memory)) return nullptr;
    auto address = reinterpret_cast<std::uintptr_t>(memory);
    check_freed(address, from);
    cell& its = *find(address, true);
    if (its.written_at > model::present.happened[its.written_by]) race(how, address, from, its.written_from);
    return &its;
}

void read(const void* memory, const void* from) {
    cell* accessed = access("read", memory, from);
    if (accessed == nullptr) return;
    cell& its = *accessed;
    const model::moment& now = model::present;
    its.read_at[now.thread] = now.happened[now.thread];
    its.read_from = from;
}

void write(const void* memory, const void* from) {
    cell* accessed = access("write", memory, from);
    if (accessed == nullptr) return;
    cell& its = *accessed;
    const model::moment& now = model::present;
    for (unsigned i = 0; i < most_threads; ++i) {
        if (its.read_at[i] > now.happened[i]) race("write", its.address, from, its.read_from);
    }
    its.written_by = now.thread;
    its.written_at = now.happened[now.thread];
    its.written_from = from;
}

/// Everything that others did with the block must happen before it is freed.
void check_release(void* memory, std::size_t bytes) {
    if (!model::heap::tracks) return;
    const model::moment& now = model::present;
    auto begin = reinterpret_cast<std::uintptr_t>(memory);
    for (std::uintptr_t address = begin; address < begin + bytes; ++address) {
        cell* its = find(address, false);
        if (its == nullptr) continue;
        const void* from = __builtin_return_address(0);
        if (its->written_at > now.happened[its->written_by]) race("free", address, from, its->written_from);
        for (unsigned i = 0; i < most_threads; ++i) {
            if (its->read_at[i] > now.happened[i]) race("free", address, from, its->read_from);
        }
    }
}

void forget(void* memory, std::size_t bytes) {
    auto begin = reinterpret_cast<std::uintptr_t>(memory);
    for (std::uintptr_t address = begin; address < begin + bytes; ++address) {
        cell* its = find(address, false);
        if (its == nullptr) continue;
        std::memset(its, 0, sizeof *its);
        its->address = address;
        its->execution = model::present.execution;
    }
}

[[maybe_unused]] const bool watches_release = (model::heap::before_release = &check_release, true);

void each_word(const void* memory, std::size_t bytes, void (*access)(const void*, const void*), const void* from) {
    auto* at = static_cast<const char*>(memory);
    for (std::size_t i = 0; i < bytes; i += 8) access(at + i, from);
}

}  // namespace

// What compilers call with -fsanitize=thread.
#define PEAL_MODEL_ACCESS(size)                                                                     \
    void __tsan_read##size(void* at) { read(at, __builtin_return_address(0)); }                     \
    void __tsan_write##size(void* at) { write(at, __builtin_return_address(0)); }                   \
    void __tsan_unaligned_read##size(void* at) { read(at, __builtin_return_address(0)); }           \
    void __tsan_unaligned_write##size(void* at) { write(at, __builtin_return_address(0)); }         \
    void __tsan_volatile_read##size(void*) {}                                                       \
    void __tsan_volatile_write##size(void*) {}

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
PEAL_MODEL_ACCESS(1)
PEAL_MODEL_ACCESS(2)
PEAL_MODEL_ACCESS(4)
PEAL_MODEL_ACCESS(8)
void __tsan_read16(void* at) { each_word(at, 16, read, __builtin_return_address(0)); }
void __tsan_write16(void* at) { each_word(at, 16, write, __builtin_return_address(0)); }
void __tsan_unaligned_read16(void* at) { each_word(at, 16, read, __builtin_return_address(0)); }
void __tsan_unaligned_write16(void* at) { each_word(at, 16, write, __builtin_return_address(0)); }
void __tsan_vptr_update(void** at, void*) { write(at, __builtin_return_address(0)); }
void __tsan_vptr_read(void** at) { read(at, __builtin_return_address(0)); }
void __tsan_read_range(void* at, unsigned long bytes) { each_word(at, bytes, read, __builtin_return_address(0)); }
void __tsan_write_range(void* at, unsigned long bytes) { each_word(at, bytes, write, __builtin_return_address(0)); }
void* __tsan_memcpy(void* to, const void* from, unsigned long bytes) {
    each_word(from, bytes, read, __builtin_return_address(0));
    each_word(to, bytes, write, __builtin_return_address(0));
    return std::memcpy(to, from, bytes);
}
void* __tsan_memmove(void* to, const void* from, unsigned long bytes) {
    each_word(from, bytes, read, __builtin_return_address(0));
    each_word(to, bytes, write, __builtin_return_address(0));
    return std::memmove(to, from, bytes);
}
void* __tsan_memset(void* to, int value, unsigned long bytes) {
    each_word(to, bytes, write, __builtin_return_address(0));
    return std::memset(to, value, bytes);
}
// The C++ runtime uses memory of exceptions again: what was there is another variable.
void* __cxa_allocate_exception(std::size_t bytes) noexcept {
    static auto* real = reinterpret_cast<void* (*)(std::size_t)>(dlsym(RTLD_NEXT, "__cxa_allocate_exception"));
    void* memory = real(bytes);
    forget(memory, bytes);
    return memory;
}

// runtime/base/sanitizer.hpp: order through the kernel, which no program here has.
void __tsan_acquire(void*) {}
void __tsan_release(void*) {}

// Atomics of the standard library itself (reference counts): sequentially consistent, and no order that is compared.
#define PEAL_MODEL_ATOMIC(bits, type)                                                                                      \
    type __tsan_atomic##bits##_load(const volatile type* at, int) { return __atomic_load_n(at, __ATOMIC_SEQ_CST); }        \
    void __tsan_atomic##bits##_store(volatile type* at, type value, int) { __atomic_store_n(at, value, __ATOMIC_SEQ_CST); } \
    type __tsan_atomic##bits##_fetch_add(volatile type* at, type value, int) {                                             \
        return __atomic_fetch_add(at, value, __ATOMIC_SEQ_CST);                                                            \
    }                                                                                                                      \
    type __tsan_atomic##bits##_fetch_sub(volatile type* at, type value, int) {                                             \
        return __atomic_fetch_sub(at, value, __ATOMIC_SEQ_CST);                                                            \
    }                                                                                                                      \
    type __tsan_atomic##bits##_exchange(volatile type* at, type value, int) {                                              \
        return __atomic_exchange_n(at, value, __ATOMIC_SEQ_CST);                                                           \
    }                                                                                                                      \
    int __tsan_atomic##bits##_compare_exchange_strong(volatile type* at, type* expected, type value, int, int) {           \
        return __atomic_compare_exchange_n(at, expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);                \
    }
PEAL_MODEL_ATOMIC(8, std::uint8_t)
PEAL_MODEL_ATOMIC(32, std::uint32_t)
PEAL_MODEL_ATOMIC(64, std::uint64_t)

}  // extern "C"
