// SPDX-License-Identifier: MIT
// flags: -Werror
// expect: join() does nothing until it is awaited

#include <peal/task/scope.hpp>

peal::task<> outer() {
    peal::scope tasks;
#ifdef WRONG
    tasks.join();
    co_return;
#else
    co_await tasks.join();
#endif
}
