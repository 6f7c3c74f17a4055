// SPDX-License-Identifier: MIT
#pragma once

// tally: a count that one thread keeps, or several one after the other under a lock, and that any thread may read: statistics, which order nothing.

#include <cstdint>
#include <type_traits>

#include <peal/detail/atomic.hpp>

namespace peal::rt {

class tally {
  public:
    void add(std::uint64_t more = 1) noexcept { set(value_, value() + more); }
    std::uint64_t value() const noexcept { return get(value_); }

  private:
    using counter = detail::atomic<std::uint64_t>;
    static std::uint64_t get(const counter& of) noexcept { return of.load(std::memory_order_relaxed); }
    static void set(counter& to, std::uint64_t value) noexcept { to.store(value, std::memory_order_relaxed); }
    // For the model checker: nobody reads it there, and it is no state to explore.
    static std::uint64_t get(const std::uint64_t& of) noexcept { return of; }
    static void set(std::uint64_t& to, std::uint64_t value) noexcept { to = value; }

    std::conditional_t<detail::is_explored, std::uint64_t, counter> value_{0};
};

}  // namespace peal::rt
