// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace peal::rt {

/// The CPUs of the calling thread's affinity mask, ascending, at least one: those that threads made by it may use. Only CPUs that are
/// online, and that the cpuset of the process allows: the system sees to that.
std::vector<int> allowed_cpus();

/// `cpus`, but no more than this process's cgroup gives it CPU time for, rounded up. At least 1. Looks at cgroup version 2, and version 1
/// where that is mounted.
unsigned within_quota(std::size_t cpus);

/// How many CPUs this process may use, by affinity and quota.
unsigned usable_cpus();

/// The numbers of a list as the system writes them, "0-3,8"; up to where it is none.
std::vector<int> parse_cpu_list(const std::string& text);

}  // namespace peal::rt
