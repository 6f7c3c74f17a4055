// SPDX-License-Identifier: MIT

#include "cpus.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include "../base/system_file.hpp"

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

/// "quota period" of one cgroup folder as CPUs; infinite without a limit, which is "max" or no such file.
double quota_v2(const std::string& folder) {
    double quota = 0;
    double period = 0;
    int fields = std::sscanf(read_system_file(folder + "/cpu.max").c_str(), "%lf %lf", &quota, &period);
    return fields == 2 && quota > 0 && period > 0 ? quota / period : HUGE_VAL;
}

double quota_v1(const std::string& folder) {
    double quota = std::atof(read_system_file(folder + "/cpu.cfs_quota_us").c_str());  // -1: no limit
    double period = std::atof(read_system_file(folder + "/cpu.cfs_period_us").c_str());
    return quota > 0 && period > 0 ? quota / period : HUGE_VAL;
}

/// The smallest quota on the way from this process's cgroup up to the root.
double cpus_by_quota() {
    double smallest = HUGE_VAL;
    std::string groups = read_system_file("/proc/self/cgroup");  // lines of "id:controllers:path"
    for (std::size_t begin = 0; begin < groups.size();) {
        std::size_t end = std::min(groups.find('\n', begin), groups.size());
        std::string line = groups.substr(begin, end - begin);
        begin = end + 1;
        std::size_t first = line.find(':');
        std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        std::string controllers = line.substr(first + 1, second - first - 1);
        std::string path = line.substr(second + 1);
        bool version2 = line.substr(0, first) == "0" && controllers.empty();
        bool cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
        if (!version2 && !cpu) continue;
        std::string mount = version2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/cpu";
        for (;;) {
            smallest = std::min(smallest, version2 ? quota_v2(mount + path) : quota_v1(mount + path));
            std::size_t slash = path.rfind('/');
            if (slash == std::string::npos || path == "/") break;
            path.erase(slash);
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
