// SPDX-License-Identifier: MIT
// A forgotten co_await: the task would never run. A warning, made an error here.
// flags: -Werror
// expect: a task does nothing until it is awaited or spawned

#include <peal/task/task.hpp>

peal::task<> inner() { co_return; }

peal::task<> outer() {
#ifdef WRONG
    inner();
    co_return;
#else
    co_await inner();
#endif
}
