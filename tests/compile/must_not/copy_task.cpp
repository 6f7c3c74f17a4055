// SPDX-License-Identifier: MIT
// A task has one owner.
// expect: deleted

#include <peal/task/task.hpp>

peal::task<int> inner() { co_return 1; }

void outer() {
    auto first = inner();
#ifdef WRONG
    auto second = first;
#else
    auto second = std::move(first);
#endif
}
