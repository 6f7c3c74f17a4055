// SPDX-License-Identifier: MIT

#include "system_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

namespace peal::rt {

std::string read_system_file(const std::string& path) {
    constexpr std::size_t most = 64 * 1024;
    std::string text;
    int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) return text;
    while (text.size() < most) {
        char part[4096];
        ssize_t count = ::read(file, part, sizeof part);
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) break;
        text.append(part, static_cast<std::size_t>(count));
    }
    ::close(file);
    return text;
}

}  // namespace peal::rt
