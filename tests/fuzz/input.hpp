// SPDX-License-Identifier: MIT
#pragma once

// What a fuzz target makes of the fuzzer's bytes: those before the first 0xff are the data, those behind it choose what is done with it.
// So a seed can be written by hand, and a finding can be read.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

namespace fuzz {

class input {
  public:
    input(const std::uint8_t* bytes, std::size_t size) : choices_(reinterpret_cast<const char*>(bytes), size) {
        data_ = choices_.substr(0, choices_.find('\xff'));
        choices_.remove_prefix(std::min(choices_.size(), data_.size() + 1));
    }
    std::string_view data() const { return data_; }

    /// A number below `bound`; 0 when no choices are left.
    std::uint32_t below(std::uint32_t bound) {
        std::uint32_t number = next();
        if (bound > 256) number = number << 8 | next();
        return bound == 0 ? 0 : number % bound;
    }
    /// Sizes of the pieces in which a stream gives the data; the rest comes in one.
    std::vector<std::size_t> pieces() {
        std::vector<std::size_t> sizes(below(64));
        for (std::size_t& each : sizes) each = 1 + below(40);
        return sizes;
    }

  private:
    std::uint32_t next() {
        if (choices_.empty()) return 0;
        std::uint32_t number = static_cast<unsigned char>(choices_.front());
        choices_.remove_prefix(1);
        return number;
    }

    std::string_view data_;
    std::string_view choices_;
};

/// A finding.
inline void require_equal(const std::string& got, const std::string& expected, const char* what) {
    if (got == expected) return;
    std::fprintf(stderr, "%s: got %s, expected %s\n", what, got.c_str(), expected.c_str());
    std::abort();
}

}  // namespace fuzz
