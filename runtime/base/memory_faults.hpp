// SPDX-License-Identifier: MIT
#pragma once

// memory_faults: memory that is refused, by a test. Asked before frames and pages are taken, which do not come from operator new; that one a test
// replaces itself.
//
// Threads: set while no pool exists. The function is called by any thread, under locks. Threads that first make a frame while it is set have no frame
// cache of their own, so that each frame is asked for (task/frame_memory.cpp).

namespace peal::rt {

/// True: there is no memory for this.
using memory_fault = bool (*)() noexcept;

inline constinit memory_fault the_memory_fault = nullptr;

inline bool memory_is_refused() noexcept { return the_memory_fault != nullptr && the_memory_fault(); }

}  // namespace peal::rt
