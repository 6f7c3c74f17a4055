// SPDX-License-Identifier: MIT
// expect-g++: awaitable
// expect-clang: member reference base type 'int' is not a structure or union

#include <peal/task/task.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<> outer() {
    int number = co_await inner();
#ifdef WRONG
    co_await number;
#endif
    static_cast<void>(number);
}
