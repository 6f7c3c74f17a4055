// SPDX-License-Identifier: MIT

#include "topology.hpp"

namespace peal::rt {

topology read_topology(const std::vector<int>& cpus) {
    if (auto found = topology_by_hwloc(cpus)) return *found;
    return topology_by_sysfs(cpus);
}

}  // namespace peal::rt
