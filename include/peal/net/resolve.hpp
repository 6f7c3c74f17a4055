// SPDX-License-Identifier: MIT
#pragma once

// resolve: from names to addresses, by the system's resolver.

#include <string>
#include <vector>

#include <peal/net/address.hpp>
#include <peal/task/task.hpp>

namespace peal::net {

/// The TCP addresses of `host` ("localhost", "127.0.0.1") and `service` ("http", "7000"), in the order to try them. At least one.
///
/// Threads:      on a worker (asserted). The lookup runs on a blocking thread of the pool: no worker waits.
/// Cancellation: not while the resolver runs; it ends by the resolver's own timeouts.
/// Errors:       std::system_error with the resolver's words: host not found, service unknown, no answer.
PEAL_EXPORT task<std::vector<address>> resolve(std::string host, std::string service);

}  // namespace peal::net
