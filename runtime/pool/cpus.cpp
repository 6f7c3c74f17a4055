// SPDX-License-Identifier: MIT

#include "cpus.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

namespace peal::rt {
namespace {

unsigned cpus_by_affinity() {
    // Larger machines than the fixed mask of 1024 CPUs exist: ask with larger masks until the kernel is content.
    for (int cpus = CPU_SETSIZE; cpus <= 1 << 16; cpus *= 2) {
        cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(cpus));
        if (set == nullptr) break;
        std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
        bool known = ::sched_getaffinity(0, bytes, set) == 0;
        int count = known ? CPU_COUNT_S(bytes, set) : 0;
        CPU_FREE(set);
        if (known) return static_cast<unsigned>(std::max(count, 1));
    }
    return std::max(1u, std::thread::hardware_concurrency());
}

/// "quota period" of one cgroup folder as CPUs; infinite without a limit.
double quota_v2(const std::string& folder) {
    std::ifstream file(folder + "/cpu.max");
    std::string quota;
    double period = 0;
    if (!(file >> quota >> period) || quota == "max" || period <= 0) return HUGE_VAL;
    return std::atof(quota.c_str()) / period;
}

double quota_v1(const std::string& folder) {
    double quota = -1;
    double period = 0;
    std::ifstream(folder + "/cpu.cfs_quota_us") >> quota;
    std::ifstream(folder + "/cpu.cfs_period_us") >> period;
    return quota > 0 && period > 0 ? quota / period : HUGE_VAL;
}

/// The smallest quota on the way from this process's cgroup up to the root.
double cpus_by_quota() {
    double smallest = HUGE_VAL;
    std::ifstream groups("/proc/self/cgroup");
    for (std::string line; std::getline(groups, line);) {
        std::istringstream fields(line);
        std::string id, controllers, path;
        std::getline(fields, id, ':');
        std::getline(fields, controllers, ':');
        std::getline(fields, path);
        bool version2 = id == "0" && controllers.empty();
        bool cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
        if (!version2 && !cpu) continue;
        std::string mount = version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
        for (;;) {
            smallest = std::min(smallest, version2 ? quota_v2(mount + path) : quota_v1(mount + path));
            if (path.empty() || path == "/") break;
            path.erase(path.rfind('/'));
        }
    }
    return smallest;
}

}  // namespace

unsigned usable_cpus() {
    unsigned cpus = cpus_by_affinity();
    double quota = cpus_by_quota();
    if (quota < cpus) cpus = static_cast<unsigned>(std::max(1.0, std::ceil(quota)));
    return cpus;
}

}  // namespace peal::rt
