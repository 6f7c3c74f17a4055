// SPDX-License-Identifier: MIT

// Frame memory of the programs that explore more than frame memory itself: each frame is a block of its own, so that a use after the end
// of a frame is seen, and a frame that stays is reported (heap.hpp).

#include <peal/detail/frame_memory.hpp>

#include "heap.hpp"

namespace peal::detail {

void* allocate_frame(std::size_t size_bytes) { return model::heap::allocate(size_bytes); }
void free_frame(void* frame, std::size_t) noexcept { model::heap::release(frame); }
void send_off_frames() noexcept {}
bool holds_much_for_frames() noexcept { return false; }
bool has_spare_frames() noexcept { return false; }
std::size_t return_spare_frames(bool (*)(void*), void*) noexcept { return 0; }

}  // namespace peal::detail
