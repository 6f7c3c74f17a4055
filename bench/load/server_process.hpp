// SPDX-License-Identifier: MIT
//
// CPU time and memory of the server, from /proc/PID. CPU time covers all threads, also those that have ended; the
// kernel gives it in ticks (usually 10 ms), so a window of 3 s on a busy core is exact to about 0.5 %.

#pragma once

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <sys/types.h>
#include <unistd.h>

#include "failure.hpp"

namespace load {

class server_process {
public:
    /// Throws failure when there is no such process.
    explicit server_process(pid_t pid) : directory_("/proc/" + std::to_string(pid)) { (void)cpu_seconds(); }

    /// User plus system time since the process began.
    [[nodiscard]] double cpu_seconds() const
    {
        std::string text;
        std::getline(open("/stat"), text, '\0');
        // "pid (name) state ...": the name may hold blanks and brackets; state is field 3, utime 14, stime 15.
        const auto name_end = text.rfind(')');
        if (name_end == text.npos)
            throw failure(directory_ + "/stat: cannot be understood");
        std::istringstream fields(text.substr(name_end + 1));
        std::string skipped;
        for (int field = 3; field < 14; ++field)
            fields >> skipped;
        std::uint64_t user_ticks = 0, system_ticks = 0;
        if (!(fields >> user_ticks >> system_ticks))
            throw failure(directory_ + "/stat: cannot be understood");
        return static_cast<double>(user_ticks + system_ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
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

private:
    std::ifstream open(const char* file) const
    {
        std::ifstream stream(directory_ + file);
        if (!stream)
            throw failure(directory_ + ": no such process, or it has ended");
        return stream;
    }

    std::string directory_;
};

} // namespace load
