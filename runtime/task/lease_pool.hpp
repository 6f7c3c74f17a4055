// SPDX-License-Identifier: MIT
#pragma once

// lease_pool: the buffers of one driver that received bytes are lent in (peal::io::lease).
//
// A buffer is free, or with the kernel (or with an operation, under epoll), or lent. The driver takes free ones under its own lock; whoever held a
// lease brings it back from any thread. The pool lives until its driver has left and the last lease is back.
//
// Threads: `lock_` guards everything but free_hint_.
// free_hint_  written under the lock   relaxed: whether a look is worth it. A driver that waits for buffers says so under the lock (take()), and is
//                                      woken by who brings one back after that.
// Bound: `limit` buffers, 8 MiB, made when they are needed: the fewer there are, the longer they stay in the cache. But a message for which there was none costs
// two requests, and a round of a busy server brings one for each of its connections: with 1000 of them, 1024 buffers were too few (5.6 us CPU per echo), 2048
// are enough (4.7).

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include <peal/detail/atomic.hpp>
#include <peal/detail/spin_lock.hpp>

namespace peal::rt {

class driver;

class lease_pool {
  public:
    static constexpr std::size_t buffer_bytes = detail::is_explored ? 64 : 4096;
    static constexpr unsigned limit = detail::is_explored ? 1 : 2048;
    static constexpr unsigned at_once = detail::is_explored ? 1 : 16;  // are made: a chunk
    static constexpr std::size_t chunk_bytes = at_once * buffer_bytes;

    explicit lease_pool(driver& home) noexcept : home_(&home) {}
    lease_pool(const lease_pool&) = delete;
    lease_pool& operator=(const lease_pool&) = delete;

    /// What a driver has of one, and leaves with it.
    struct share {
        share() noexcept = default;
        share(const share&) = delete;
        share& operator=(const share&) = delete;
        ~share() {
            if (pool != nullptr) pool->leave(taken);
        }
        lease_pool* pool = nullptr;
        unsigned taken = 0;  // buffers that are not lent
    };

    // ---- the driver ------------------------------------------------------------------------------------------------------
    bool has_free() const noexcept { return free_hint_.load(std::memory_order_relaxed) != 0; }
    enum class wish : unsigned char {
        what_is_free,
        some,  // makes new ones if none is free and the limit allows; if there are none, it is told when one comes back
        more,  // as `some`, but makes new ones in any case: there were none when they were needed, and that costs more than the cache does
    };
    /// Nothing was made yet: there was no memory, and no lease will come back.
    bool has_none() noexcept {
        std::lock_guard guard(lock_);
        return made_ == 0;
    }
    /// Takes up to `most`; gives how many.
    unsigned take(wish wish, std::uint16_t* taken, unsigned most) noexcept;
    std::byte* address_of(std::uint16_t index) const noexcept {
        return chunks_[index / at_once] + buffer_bytes * (index % at_once);
    }
    /// The driver goes. So many buffers that it had taken are not lent: they are gone with it.
    void leave(unsigned taken_and_not_lent) noexcept;

    // ---- any thread ------------------------------------------------------------------------------------------------------
    /// A buffer that was taken comes back.
    void give_back(std::byte* buffer) noexcept;
    /// How many have come back so far.
    std::uint64_t returned() noexcept {
        std::lock_guard guard(lock_);
        return returned_;
    }

  private:
    ~lease_pool();
    bool grow() noexcept;
    std::uint16_t index_of(const std::byte* buffer) const noexcept;

    detail::spin_lock lock_;
    driver* home_;              // null: it has left
    bool is_wanted_ = false;    // it waits for one
    unsigned made_ = 0;
    unsigned free_count_ = 0;
    std::uint64_t returned_ = 0;
    std::array<std::uint16_t, limit> free_{};  // the last one back is the next one taken
    static constexpr unsigned chunk_limit = limit / at_once;
    static constexpr unsigned places = 2 * chunk_limit;
    static unsigned place_of(std::uintptr_t chunk) noexcept { return static_cast<unsigned>(chunk / chunk_bytes % places); }
    std::array<std::byte*, chunk_limit> chunks_{};        // each aligned to its size
    std::array<std::uint16_t, places> by_address_{};      // index of a chunk + 1, at place_of() its address or behind it; 0: none
    detail::atomic<unsigned> free_hint_{0};
};

}  // namespace peal::rt
