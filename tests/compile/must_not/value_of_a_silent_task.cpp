// SPDX-License-Identifier: MIT
// A task<void> gives nothing.
// expect: void

#include <peal/task/task.hpp>

peal::task<> inner() { co_return; }

peal::task<> outer() {
#ifdef WRONG
    int value = co_await inner();
    static_cast<void>(value);
#else
    co_await inner();
#endif
}
