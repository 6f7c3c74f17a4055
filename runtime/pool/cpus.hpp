// SPDX-License-Identifier: MIT
#pragma once

namespace peal::rt {

/// CPUs that this process may use: those of its affinity mask, but no more than its cgroup's quota of CPU time, rounded up. At
/// least 1. Looks at cgroup version 2, and version 1 where that is mounted.
unsigned usable_cpus();

}  // namespace peal::rt
