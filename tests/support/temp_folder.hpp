// SPDX-License-Identifier: MIT
#pragma once

// temp_folder: an empty folder that goes with its content.

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace support {

class temp_folder {
  public:
    temp_folder() {
        const char* base = std::getenv("TMPDIR");
        path_ = std::string(base != nullptr ? base : "/tmp") + "/peal-test-XXXXXX";
        if (::mkdtemp(path_.data()) == nullptr) throw std::system_error(errno, std::system_category(), "mkdtemp " + path_);
    }
    temp_folder(const temp_folder&) = delete;
    temp_folder& operator=(const temp_folder&) = delete;
    ~temp_folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }

    const std::string& path() const { return path_; }
    std::string operator/(std::string_view name) const { return path_ + '/' + std::string(name); }

    /// Names in the folder.
    std::vector<std::string> names() const {
        std::vector<std::string> found;
        for (const auto& each : std::filesystem::directory_iterator(path_)) found.push_back(each.path().filename().string());
        return found;
    }

  private:
    std::string path_;
};

/// Plain file access, to look at what the code under test did.
inline std::string content_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
}
inline void put(const std::string& path, std::string_view content) {
    std::ofstream(path, std::ios::binary).write(content.data(), static_cast<std::streamsize>(content.size()));
}

}  // namespace support
