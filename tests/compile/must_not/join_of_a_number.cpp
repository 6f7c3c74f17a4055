// SPDX-License-Identifier: MIT
// expect: invocable

#include <peal/parallel/join.hpp>

void outer() {
#ifdef WRONG
    peal::join([] {}, 1);
#else
    peal::join([] {}, [] {});
#endif
}
