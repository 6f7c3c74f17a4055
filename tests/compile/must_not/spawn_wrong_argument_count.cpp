// SPDX-License-Identifier: MIT
// expect: spawn(fn, args...): fn cannot be called with copies of the arguments as rvalues

#include <peal/task/scope.hpp>

peal::task<> inner(int first, int second) {
    static_cast<void>(first + second);
    co_return;
}

void outer(peal::scope& tasks) {
#ifdef WRONG
    tasks.spawn(inner, 1);
#else
    tasks.spawn(inner, 1, 2);
#endif
}
