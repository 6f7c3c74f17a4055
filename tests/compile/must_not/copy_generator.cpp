// SPDX-License-Identifier: MIT
// expect: deleted

#include <peal/task/generator.hpp>

void outer(peal::generator<int> first) {
#ifdef WRONG
    auto second = first;
#else
    auto second = std::move(first);
#endif
}
