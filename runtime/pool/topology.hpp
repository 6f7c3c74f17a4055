// SPDX-License-Identifier: MIT
#pragma once

// topology: which CPUs share a core, a cache, a package, a NUMA node. Two readers: hwloc, where peal was built with it, and the files in
// /sys. What hwloc adds: on x86 it finds out by the CPUID instruction where /sys is not there, it knows kernels whose files are wrong, and
// it takes a topology from a file or a text (HWLOC_XMLFILE, HWLOC_SYNTHETIC), which is also how it is tested.

#include <optional>
#include <string>
#include <vector>

namespace peal::rt {

/// A CPU, and the lowest CPU of each group that it is in: two CPUs share a core if `core` is the same number. Except `node`, which is the
/// number that the system has for it. A core that is not known is the CPU alone; of the others, what is not known is -1.
struct cpu_place {
    int cpu;
    int core;
    int cache = -1;  // of the last level
    int package = -1;
    int node = -1;

    bool operator==(const cpu_place&) const = default;
};

/// One for each CPU that was asked for, in that order.
using topology = std::vector<cpu_place>;

/// By the first reader that knows something.
topology read_topology(const std::vector<int>& cpus);

/// None: built without hwloc, or it does not know any core.
std::optional<topology> topology_by_hwloc(const std::vector<int>& cpus);

/// `root`: the folder that has "cpu" and "node". Files that are not there are no error.
topology topology_by_sysfs(const std::vector<int>& cpus, const std::string& root = "/sys/devices/system");

}  // namespace peal::rt
