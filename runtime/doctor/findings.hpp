// SPDX-License-Identifier: MIT
#pragma once

// findings: what this system gives peal, what each absence costs, and how to change it. For `peal doctor`.

#include <string>
#include <vector>

namespace peal::doctor {

/// Something that the system has or has not.
struct finding {
    std::string name;
    bool there;
    std::string costs;   // when it is not there
    std::string change;  // how to have it
};

/// A number or word to know of.
struct setting {
    std::string name;
    std::string value;
    std::string meaning;
};

struct report {
    std::string kernel;
    std::string liburing;                // that peal was built with
    std::string driver;                  // that a pool would choose: "uring", "epoll"; empty: none, see `refusal`
    std::string refusal;                 // why not io_uring, or why no pool; empty if nothing is wrong
    std::vector<finding> findings;
    std::vector<setting> settings;
};

/// Looks. Makes a small pool and a ring, and ends both.
report examine();

}  // namespace peal::doctor
