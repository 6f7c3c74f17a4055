// SPDX-License-Identifier: MIT
#pragma once

// number_options: a command line of numbers, and --json.

#include <cstdlib>
#include <functional>
#include <map>
#include <string>

namespace load {

using number_options = std::map<std::string, std::function<void(double)>>;

/// Calls what stands behind each option with its value. False: one is not known, or its value is missing or negative.
inline bool read_numbers(int argc, char** argv, bool& json, const number_options& known)
{
    for (int i = 1; i < argc; ++i) {
        const std::string option = argv[i];
        if (option == "--json") {
            json = true;
            continue;
        }
        const auto found = known.find(option);
        const double value = ++i < argc ? std::atof(argv[i]) : -1;
        if (found == known.end() || value < 0)
            return false;
        found->second(value);
    }
    return true;
}

} // namespace load
