// SPDX-License-Identifier: MIT
#pragma once

// random_text: small letters by a seed, to be sent and compared.

#include <cstddef>
#include <random>
#include <string>

namespace support {

inline std::string random_text(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string text(size, '\0');
    for (char& each : text) each = static_cast<char>('a' + random() % 26);
    return text;
}

}  // namespace support
