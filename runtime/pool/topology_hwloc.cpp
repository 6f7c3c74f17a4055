// SPDX-License-Identifier: MIT

#include "topology.hpp"

#include <hwloc.h>

#include <memory>

namespace peal::rt {
namespace {

struct destroyer {
    void operator()(hwloc_topology* loaded) const noexcept { hwloc_topology_destroy(loaded); }
};
using loaded_topology = std::unique_ptr<hwloc_topology, destroyer>;

/// Null if it could not be had, or has no cores.
loaded_topology load(unsigned long flags) {
    hwloc_topology_t made = nullptr;
    if (hwloc_topology_init(&made) != 0) return nullptr;
    loaded_topology loaded(made);
    bool usable = hwloc_topology_set_flags(made, flags) == 0 && hwloc_topology_load(made) == 0 &&
                  hwloc_get_nbobjs_by_type(made, HWLOC_OBJ_CORE) > 0;
    return usable ? std::move(loaded) : nullptr;
}

loaded_topology load() {
    // To ask CPUID, hwloc binds this thread to one CPU after the other, also to those that the process does not use: not if files will do.
    if (loaded_topology by_files = load(HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING)) return by_files;
    return load(0);
}

int lowest_of(hwloc_obj_t group) { return group != nullptr ? hwloc_bitmap_first(group->cpuset) : -1; }

hwloc_obj_t last_cache(hwloc_obj_t cpu) {
    hwloc_obj_t last = nullptr;
    for (hwloc_obj_t above = cpu; above != nullptr; above = above->parent) {
        if (hwloc_obj_type_is_dcache(above->type)) last = above;
    }
    return last;
}

cpu_place place_of(hwloc_topology_t loaded, int number) {
    cpu_place place{.cpu = number, .core = number};
    hwloc_obj_t cpu = hwloc_get_pu_obj_by_os_index(loaded, static_cast<unsigned>(number));
    if (cpu == nullptr) return place;
    if (hwloc_obj_t core = hwloc_get_ancestor_obj_by_type(loaded, HWLOC_OBJ_CORE, cpu)) place.core = lowest_of(core);
    place.cache = lowest_of(last_cache(cpu));
    place.package = lowest_of(hwloc_get_ancestor_obj_by_type(loaded, HWLOC_OBJ_PACKAGE, cpu));
    place.node = hwloc_bitmap_first(cpu->nodeset);  // of several kinds of memory at one CPU: the main one
    return place;
}

}  // namespace

std::optional<topology> topology_by_hwloc(const std::vector<int>& cpus) {
    loaded_topology loaded = load();
    if (!loaded) return std::nullopt;
    topology found;
    for (int cpu : cpus) found.push_back(place_of(loaded.get(), cpu));
    return found;
}

}  // namespace peal::rt
