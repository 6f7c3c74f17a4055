// SPDX-License-Identifier: MIT
#pragma once

// reaper: takes notice of the end of programs that nobody waits for any more, so that they are no zombies until this program ends.

#include <sys/wait.h>

namespace peal::rt {

inline constexpr auto child_by_pidfd = static_cast<idtype_t>(3);  // P_PIDFD for waitid(), which not all headers name

/// `pidfd` is a descriptor of a child that was killed, or is about to end; it is taken over. Any thread. Does not wait, unless the system
/// gives neither an epoll descriptor nor a thread.
void reap_later(int pidfd) noexcept;

}  // namespace peal::rt
