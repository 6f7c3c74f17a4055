// SPDX-License-Identifier: MIT

// The table of uses: one word per descriptor number, in blocks that are made when a number of theirs is first used and kept.
//
// word   written by            order
//        begin_use, end_use,   [U1] acq_rel: who brings the count to zero after closing sees the closing; everything that
//        close                      the operations did comes before the close
//        Either close() finds a count of zero, or end_use() finds the closing bit when it makes it zero: one of them closes.
//
// Bound: 64 bytes for each number in use. Numbers from 2^20 on, the kernel's usual limit, are not counted.

#include "descriptors.hpp"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <new>

#include <peal/detail/atomic.hpp>

#include "driver.hpp"
#include "this_driver.hpp"

namespace peal::rt {
namespace {

constexpr std::uint32_t closing_socket = 1u << 31;
constexpr std::uint32_t closing_file = 1u << 30;
constexpr std::uint32_t count_mask = closing_file - 1;

struct alignas(64) use {  // a line each: numbers of different workers lie side by side
    detail::atomic<std::uint32_t> word{0};
    detail::atomic<bool> failed_sync{false};  // relaxed: tasks that use one file order that among themselves
};
constexpr unsigned block_size = 256;
constexpr unsigned block_count = 4096;
struct block {
    use uses[block_size];
};

// Written once each. [U2] release / acquire: the block is cleared before it is seen.
constinit detail::atomic<block*> blocks[block_count] = {};

/// False for negative numbers, too, and the simulation's.
bool is_counted(int fd) noexcept { return static_cast<unsigned>(fd) < block_size * block_count; }

/// Null: it is not counted, or there is no memory for a block that it is the first of.
use* use_of(int fd) noexcept {
    auto number = static_cast<unsigned>(fd);
    if (!is_counted(fd)) return nullptr;
    detail::atomic<block*>& place = blocks[number / block_size];
    block* found = place.load(std::memory_order_acquire);  // [U2]
    if (found == nullptr) {
        auto* made = new (std::nothrow) block;
        if (made == nullptr) return nullptr;
        if (place.compare_exchange_strong(found, made, std::memory_order_acq_rel, std::memory_order_acquire)) {  // [U2]
            found = made;
        } else {
            delete made;
        }
    }
    return &found->uses[number % block_size];
}

detail::atomic<std::uint32_t>* word_of(int fd) noexcept {
    use* found = use_of(fd);
    return found != nullptr ? &found->word : nullptr;
}

/// True: no operation is underway, the caller closes. False: the end of the last one will.
bool may_close_now(int fd, std::uint32_t closing) noexcept {
    detail::atomic<std::uint32_t>* word = word_of(fd);
    if (word == nullptr) return true;
    std::uint32_t seen = word->load(std::memory_order_acquire);  // [U1]
    do {
        if ((seen & count_mask) == 0) return true;
    } while (!word->compare_exchange_weak(seen, seen | closing, std::memory_order_acq_rel, std::memory_order_acquire));  // [U1]
    return false;
}

bool is_simulated_here() noexcept {
    driver* here = this_driver();
    return here != nullptr && here->is_simulated();
}

}  // namespace

bool begin_use(int fd) noexcept {
    auto* word = word_of(fd);
    // Uncounted, its end would take away the count of another, and its descriptor could be closed and its number be given away under it.
    if (word == nullptr) return !is_counted(fd);
    word->fetch_add(1, std::memory_order_acq_rel);  // [U1]
    return true;
}

left_to_close end_use(int fd) noexcept {
    auto* word = word_of(fd);
    if (word == nullptr) return left_to_close::nothing;
    std::uint32_t before = word->fetch_sub(1, std::memory_order_acq_rel);  // [U1]
    if ((before & count_mask) != 1 || before == 1) return left_to_close::nothing;
    word->store(0, std::memory_order_relaxed);  // nobody else: the number is ours until it is closed
    return (before & closing_socket) != 0 ? left_to_close::socket : left_to_close::file;
}

void close_socket(int fd) noexcept {
    if (is_simulated_here()) return this_driver()->close(fd);
    ::shutdown(fd, SHUT_RDWR);
    if (may_close_now(fd, closing_socket)) ::close(fd);
}

void close_file(int fd) noexcept {
    if (!may_close_now(fd, closing_file)) return;
    if (driver* here = this_driver()) {
        here->close(fd);
    } else {
        ::close(fd);
    }
}

void note_failed_sync(int fd) noexcept {
    if (use* found = use_of(fd)) found->failed_sync.store(true, std::memory_order_relaxed);
}
bool has_failed_sync(int fd) noexcept {
    use* found = use_of(fd);
    return found != nullptr && found->failed_sync.load(std::memory_order_relaxed);
}
void forget_failed_sync(int fd) noexcept {
    if (has_failed_sync(fd)) use_of(fd)->failed_sync.store(false, std::memory_order_relaxed);
}

void release_use(int fd) noexcept {
    switch (end_use(fd)) {
        case left_to_close::nothing: break;
        case left_to_close::socket: ::close(fd); break;
        case left_to_close::file: close_file(fd); break;
    }
}

int shutdown_socket_writing(int fd) noexcept {
    if (is_simulated_here()) return this_driver()->shutdown_writing(fd);
    return ::shutdown(fd, SHUT_WR);
}

int shutdown_socket_reading(int fd) noexcept {
    if (is_simulated_here()) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return ::shutdown(fd, SHUT_RD);
}

int set_socket_option(int fd, int level, int option, const void* value, std::size_t bytes) noexcept {
    return is_simulated_here() ? 0 : ::setsockopt(fd, level, option, value, static_cast<socklen_t>(bytes));
}

void disconnect_socket(int fd) noexcept {
    sockaddr nobody{};
    nobody.sa_family = AF_UNSPEC;
    // Not by ::connect(): ThreadSanitizer takes that for a new socket, whose number another thread must not use yet.
    if (!is_simulated_here()) ::syscall(SYS_connect, fd, &nobody, sizeof nobody);
}

}  // namespace peal::rt
