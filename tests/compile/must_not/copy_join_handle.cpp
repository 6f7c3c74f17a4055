// SPDX-License-Identifier: MIT
// The result of a task goes to one place.
// expect: deleted

#include <peal/task/spawn.hpp>

void outer(peal::join_handle<int> first) {
#ifdef WRONG
    auto second = first;
#else
    auto second = std::move(first);
#endif
}
