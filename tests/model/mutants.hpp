// SPDX-License-Identifier: MIT
#pragma once

// mutants: the explored sources with one operation otherwise than it is written (mutate.py): with a weaker order, or torn, so that a
// read-modify-write becomes a load and a store. As good as compiling it so, since all operations come to the explorer with the place where
// they were written.

#include <atomic>  // for std::memory_order
#include <string>

#include "explorer.hpp"

namespace model {

const char* name_of(std::memory_order order) noexcept;

/// `text`: "FILE LINE COLUMN success|failure|torn ORDER"; FILE: the end of a path. False: not understood.
bool mutate(const std::string& text);
/// From now on operations are noted; each once, as "FILE LINE COLUMN NAME ORDER FAILURE_ORDER".
void note_operations();
std::string noted_operations();

/// One of these two was called: otherwise adjust() costs a load.
inline bool operations_are_watched = false;
bool adjust_watched(const place& where, const char* name, std::memory_order& order, std::memory_order* failure);

/// At each operation: its orders as they are to be explored. True: it is torn.
inline bool adjust(const place& where, const char* name, std::memory_order& order, std::memory_order* failure = nullptr) {
    return operations_are_watched && adjust_watched(where, name, order, failure);
}

}  // namespace model
