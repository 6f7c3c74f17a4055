// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include <peal/pool/pool.hpp>

#include "topology.hpp"

namespace peal::rt {

/// The CPUs that workers are to run on, those of the first worker first: any number of workers takes that many from the beginning, and
/// begins again after the last. One for each CPU or core of `cpus`. With placement::anywhere only their number means something.
std::vector<int> in_order(topology cpus, one_per unit, placement how);

}  // namespace peal::rt
