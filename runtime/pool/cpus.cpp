// SPDX-License-Identifier: MIT

#include "cpus.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string>
#include <thread>

#include "../base/affinity.hpp"
#include "../base/system_file.hpp"

namespace peal::rt {
namespace {

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

std::vector<int> allowed_cpus() {
    std::vector<int> cpus = affinity::of_this_thread().cpus();
    if (cpus.empty()) {  // the call is forbidden, say
        cpus.resize(std::max(1u, std::thread::hardware_concurrency()));
        std::iota(cpus.begin(), cpus.end(), 0);
    }
    return cpus;
}

unsigned within_quota(std::size_t cpus) {
    double quota = cpus_by_quota();
    if (quota < static_cast<double>(cpus)) return static_cast<unsigned>(std::max(1.0, std::ceil(quota)));
    return static_cast<unsigned>(std::max<std::size_t>(cpus, 1));
}

unsigned usable_cpus() { return within_quota(allowed_cpus().size()); }

std::vector<int> parse_cpu_list(const std::string& text) {
    std::vector<int> cpus;
    const char* at = text.c_str();
    for (;;) {
        char* end = nullptr;
        long first = std::strtol(at, &end, 10);
        if (end == at) break;
        long last = first;
        if (*end == '-') {
            at = end + 1;
            last = std::strtol(at, &end, 10);
            if (end == at) break;
        }
        if (first < 0 || last >= affinity::cpus_limit) break;
        for (long cpu = first; cpu <= last; ++cpu) cpus.push_back(static_cast<int>(cpu));
        if (*end != ',') break;
        at = end + 1;
    }
    return cpus;
}

}  // namespace peal::rt
