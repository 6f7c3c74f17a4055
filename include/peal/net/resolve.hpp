// SPDX-License-Identifier: MIT
#pragma once

// resolve: from names to addresses, by the system's resolver. resolver: the same with a memory.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <peal/net/address.hpp>
#include <peal/task/task.hpp>

namespace peal::net {

enum class address_family : unsigned char { any, ipv4, ipv6 };

/// The TCP addresses of `host` ("localhost", "127.0.0.1") and `service` ("http", "7000"), in the order to try them. At least one. To remember
/// answers, or for one family only, see resolver.
///
/// Threads:      on a worker (asserted). The lookup runs on a blocking thread of the pool: no worker waits.
/// Cancellation: not while the resolver runs; it ends by the resolver's own timeouts.
/// Errors:       std::system_error with the resolver's words: host not found, service unknown, no answer.
PEAL_EXPORT task<std::vector<address>> resolve(std::string host, std::string service);

/// What a resolver asks for, how long it remembers, and how much.
class PEAL_EXPORT resolver_options {
  public:
    resolver_options() noexcept = default;
    /// 5 s from the beginning. The system does not tell how long an answer is good for: whoever sets more may call on an old address that long.
    /// Zero: nothing is remembered.
    resolver_options& remember_for(std::chrono::milliseconds time) noexcept { remember_for_ = time; return *this; }
    /// So many names at most, 1000 from the beginning; then the oldest goes.
    resolver_options& capacity(std::size_t names) noexcept { capacity_ = names; return *this; }

    /// Addresses of this family only. A name that has none is not found.
    resolver_options& family(address_family wanted) noexcept { family_ = wanted; return *this; }

    std::chrono::milliseconds remember_for() const noexcept { return remember_for_; }
    std::size_t capacity() const noexcept { return capacity_; }
    address_family family() const noexcept { return family_; }

  private:
    std::chrono::milliseconds remember_for_{5000};
    std::size_t capacity_ = 1000;
    address_family family_ = address_family::any;
};

/// Looks names up as resolve() does, remembers the answers for a time, and lets those who ask for the same name at the same time share one lookup.
///
/// Threads:      any; ask on a worker (asserted).
/// Cancellation: who waits for another's lookup leaves at once; if the one who looks up gives up before it has begun, the next takes over.
/// Lifetime:     outlives its tasks.
/// Errors:       as resolve(). Failures go to all who share the lookup, and are not remembered.
class PEAL_EXPORT resolver {
  public:
    explicit resolver(const resolver_options& options = resolver_options());
    resolver(const resolver&) = delete;
    resolver& operator=(const resolver&) = delete;
    ~resolver();

    task<std::vector<address>> resolve(std::string host, std::string service);

    /// Names that are remembered now, those included whose time is over.
    std::size_t size() const;
    /// How often the system was asked.
    std::uint64_t lookups_total() const noexcept;
    void forget_all();

  private:
    class memory;
    std::unique_ptr<memory> memory_;
};

}  // namespace peal::net
