// SPDX-License-Identifier: MIT
#pragma once

// heap: operator new of the model programs. What an execution frees is kept until the execution has ended, so that a use of it is seen
// (a destroyed atomic says that it is dead), and what it does not free is reported.

#include <cstddef>

namespace model::heap {

/// While true, blocks belong to the current execution. The explorer's own are made while it is false.
inline bool tracks = false;

void* allocate(std::size_t bytes, std::size_t alignment = 16);
void release(void* memory) noexcept;
/// Called with each block before it is freed (accesses.cpp).
inline void (*before_release)(void* memory, std::size_t bytes) = nullptr;
/// True: it lies in a block that this execution has freed.
bool is_freed(const void* address) noexcept;
/// Gives back everything; the number of blocks that were not freed.
std::size_t end_execution() noexcept;

class untracked {
  public:
    untracked() noexcept : before_(tracks) { tracks = false; }
    untracked(const untracked&) = delete;
    untracked& operator=(const untracked&) = delete;
    ~untracked() { tracks = before_; }

  private:
    const bool before_;
};

}  // namespace model::heap
