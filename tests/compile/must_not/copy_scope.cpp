// SPDX-License-Identifier: MIT
// A scope stays in its block.
// expect: deleted

#include <peal/task/scope.hpp>

peal::task<> outer() {
    peal::scope tasks;
#ifdef WRONG
    peal::scope same = std::move(tasks);
#else
    peal::scope& same = tasks;
#endif
    co_await same.join();
}
