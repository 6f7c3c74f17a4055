// SPDX-License-Identifier: MIT
#pragma once

// glance: which task runs on another thread, without stopping it. The task may end at any moment, and its memory may go: so everything is copied by the system
// (process_vm_readv), which fails where there is no memory, and the thread is looked at again afterwards.

#include <optional>
#include <string>

#include <peal/detail/this_thread.hpp>

namespace peal::rt {

class glance {
  public:
    /// Nothing: no task runs there, it has changed meanwhile, or the system refuses (a container's filter). Throws std::bad_alloc.
    static std::optional<glance> at(const detail::thread_state& other);

    std::string name;        // "": it has none
    std::string spawned_at;  // "file:line", "" if it was not said

  private:
    glance() = default;
};

}  // namespace peal::rt
