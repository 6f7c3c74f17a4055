// SPDX-License-Identifier: MIT

// In the place of topology_hwloc.cpp where peal is built without hwloc.

#include "topology.hpp"

namespace peal::rt {

std::optional<topology> topology_by_hwloc(const std::vector<int>&) { return std::nullopt; }

}  // namespace peal::rt
