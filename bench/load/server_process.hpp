// SPDX-License-Identifier: MIT
//
// CPU time, memory and open files of the server. CPU time is that of the process's clock: exact, of all threads, also of those that have
// ended.

#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <sys/types.h>
#include <system_error>
#include <time.h>

#include "failure.hpp"

namespace load {

class server_process {
public:
    /// Throws failure when there is no such process.
    explicit server_process(pid_t pid) : directory_("/proc/" + std::to_string(pid))
    {
        if (clock_getcpuclockid(pid, &cpu_clock_) != 0)
            throw failure(directory_ + ": no such process");
    }

    /// User plus system time since the process began.
    [[nodiscard]] double cpu_seconds() const
    {
        timespec used{};
        if (clock_gettime(cpu_clock_, &used) != 0)
            throw failure(directory_ + ": the process has ended");
        return static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9;
    }

    /// VmRSS: resident memory, shared pages included.
    [[nodiscard]] std::uint64_t resident_bytes() const
    {
        auto status = open("/status");
        for (std::string line; std::getline(status, line);) {
            std::uint64_t kibibytes = 0;
            std::istringstream fields(line);
            std::string name;
            if (fields >> name >> kibibytes && name == "VmRSS:")
                return kibibytes * 1024;
        }
        throw failure(directory_ + "/status: has no VmRSS; is the process a zombie?");
    }

    [[nodiscard]] std::size_t descriptors() const
    {
        std::error_code error;
        std::filesystem::directory_iterator each(directory_ + "/fd", error);
        if (error)
            throw failure(directory_ + "/fd: " + error.message());
        return static_cast<std::size_t>(std::distance(each, {}));
    }

private:
    std::ifstream open(const char* file) const
    {
        std::ifstream stream(directory_ + file);
        if (!stream)
            throw failure(directory_ + ": no such process, or it has ended");
        return stream;
    }

    std::string directory_;
    clockid_t cpu_clock_{};
};

} // namespace load
