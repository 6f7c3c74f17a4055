// SPDX-License-Identifier: MIT
#pragma once

// A whole store as one file.
//
//   "PEAL-KV1"                             8 bytes
//   size of the records                    u64
//   records, one per key:                  expiry (unix_ms), key (text), 's' or 'l', value
//       text                               u64 size, bytes
//       value of 's'                       text
//       value of 'l'                       u64 count, texts
//   CRC-64 of everything before            u64
// Numbers are little-endian.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "store.hpp"

namespace kv {

/// Everything that has not expired. Nobody else may use the store meanwhile.
std::vector<std::byte> to_snapshot(store& data);

/// Fills an empty store. Throws std::runtime_error that says what is wrong with the bytes: no snapshot, cut
/// short, damaged.
void from_snapshot(store& data, std::span<const std::byte> bytes);

}  // namespace kv
