// SPDX-License-Identifier: MIT
// expect: spawn(fn, args...): fn cannot be called with copies of the arguments as rvalues

#include <peal/task/scope.hpp>

peal::task<> inner(int number) {
    static_cast<void>(number);
    co_return;
}

void outer(peal::scope& tasks) {
#ifdef WRONG
    tasks.spawn(1, inner);
#else
    tasks.spawn(inner, 1);
#endif
}
