// SPDX-License-Identifier: MIT
#pragma once

// The outside of the calling worker, for code that must not know workers. Defined in runtime/sched/worker.cpp.

namespace peal::rt {

class driver;
class wheel;

/// Null on a thread that is no worker.
driver* this_driver() noexcept;
wheel* this_wheel() noexcept;

}  // namespace peal::rt
