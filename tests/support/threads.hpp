// SPDX-License-Identifier: MIT
#pragma once

// threads: what the system says of the threads of this process: names, and how often each went to sleep or was put to sleep.

#include <dirent.h>
#include <sys/types.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace support {

class thread_facts {
  public:
    thread_facts() {}
    pid_t id = 0;
    std::string name;
    unsigned long voluntary_switches = 0;    // it waited for something
    unsigned long involuntary_switches = 0;  // somebody else got its CPU
};

/// The threads whose name begins with `prefix`, in the order of their making.
inline std::vector<thread_facts> threads_named(const std::string& prefix) {
    std::vector<thread_facts> found;
    DIR* folder = ::opendir("/proc/self/task");
    if (folder == nullptr) return found;
    while (dirent* each = ::readdir(folder)) {
        if (each->d_name[0] == '.') continue;
        std::ifstream status(std::string("/proc/self/task/") + each->d_name + "/status");
        thread_facts thread;
        thread.id = static_cast<pid_t>(std::atoi(each->d_name));
        for (std::string line; std::getline(status, line);) {
            auto value = [&line](const char* key) {
                return line.starts_with(key) ? line.substr(line.find('\t') + 1) : std::string();
            };
            if (auto name = value("Name:"); !name.empty()) thread.name = name;
            if (auto count = value("voluntary_ctxt_switches:"); !count.empty()) thread.voluntary_switches = std::stoul(count);
            if (auto count = value("nonvoluntary_ctxt_switches:"); !count.empty()) thread.involuntary_switches = std::stoul(count);
        }
        if (thread.name.starts_with(prefix)) found.push_back(std::move(thread));
    }
    ::closedir(folder);
    return found;
}

/// How often they went to sleep, all together. Each sleep is one system call at least.
inline unsigned long sleeps_of(const std::string& prefix) {
    unsigned long sum = 0;
    for (const thread_facts& each : threads_named(prefix)) sum += each.voluntary_switches;
    return sum;
}

}  // namespace support
