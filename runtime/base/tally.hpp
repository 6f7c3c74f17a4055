// SPDX-License-Identifier: MIT
#pragma once

// tally: a count that one thread keeps, or several one after the other under a lock, and that any thread may read: statistics, which order nothing.

#include <cstdint>
#include <type_traits>

#include <peal/detail/atomic.hpp>

namespace peal::rt {

class tally {
  public:
    void add(std::uint64_t more = 1) noexcept {
        if constexpr (detail::is_explored) {
            value_ += more;  // nobody reads it there, and it is no state to explore
        } else {
            value_.store(value_.load(std::memory_order_relaxed) + more, std::memory_order_relaxed);
        }
    }
    std::uint64_t value() const noexcept {
        if constexpr (detail::is_explored) {
            return value_;
        } else {
            return value_.load(std::memory_order_relaxed);
        }
    }

  private:
    std::conditional_t<detail::is_explored, std::uint64_t, detail::atomic<std::uint64_t>> value_{0};
};

}  // namespace peal::rt
