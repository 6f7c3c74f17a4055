// SPDX-License-Identifier: MIT

#include "topology.hpp"

#include <cstdlib>
#include <map>

#include "../base/system_file.hpp"
#include "cpus.hpp"

namespace peal::rt {
namespace {

constexpr int caches_limit = 16;  // per CPU; machines have three or four

/// The lowest number of a list of CPUs, which is the first; -1 if there is no such file.
int lowest_of(const std::string& file) {
    std::vector<int> cpus = parse_cpu_list(read_system_file(file));
    return cpus.empty() ? -1 : cpus.front();
}

/// The same by the name that Linux has for it since 5.3, or the one before.
int lowest_of(const std::string& folder, const char* name, const char* old_name) {
    int lowest = lowest_of(folder + name);
    return lowest >= 0 ? lowest : lowest_of(folder + old_name);
}

int last_cache(const std::string& folder) {
    int highest = 0;
    int lowest_cpu = -1;
    for (int i = 0; i < caches_limit; ++i) {
        std::string cache = folder + "/cache/index" + std::to_string(i);
        int level = std::atoi(read_system_file(cache + "/level").c_str());
        if (level == 0) break;  // no such cache
        if (level < highest) continue;
        highest = level;
        lowest_cpu = lowest_of(cache + "/shared_cpu_list");
    }
    return lowest_cpu;
}

std::map<int, int> node_of_each_cpu(const std::string& root) {
    std::map<int, int> nodes;
    for (int node : parse_cpu_list(read_system_file(root + "/node/online"))) {
        for (int cpu : parse_cpu_list(read_system_file(root + "/node/node" + std::to_string(node) + "/cpulist"))) nodes[cpu] = node;
    }
    return nodes;
}

}  // namespace

topology topology_by_sysfs(const std::vector<int>& cpus, const std::string& root) {
    std::map<int, int> nodes = node_of_each_cpu(root);
    topology found;
    for (int cpu : cpus) {
        std::string folder = root + "/cpu/cpu" + std::to_string(cpu);
        cpu_place place{.cpu = cpu, .core = cpu};
        if (int core = lowest_of(folder + "/topology/", "core_cpus_list", "thread_siblings_list"); core >= 0) place.core = core;
        place.cache = last_cache(folder);
        place.package = lowest_of(folder + "/topology/", "package_cpus_list", "core_siblings_list");
        if (auto node = nodes.find(cpu); node != nodes.end()) place.node = node->second;
        found.push_back(place);
    }
    return found;
}

}  // namespace peal::rt
