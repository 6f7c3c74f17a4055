// SPDX-License-Identifier: MIT
// expect: join(): a function is a coroutine, calling it would only make its task

#include <peal/parallel/join.hpp>
#include <peal/task/task.hpp>

peal::task<> inner() { co_return; }
void plain() {}

void outer() {
#ifdef WRONG
    peal::join(plain, inner);
#else
    peal::join(plain, plain);
#endif
}
