// SPDX-License-Identifier: MIT
// expect: spawn(task): a task is handed over, write spawn(std::move(task))

#include <peal/task/scope.hpp>

peal::task<> inner() { co_return; }

void outer(peal::scope& tasks) {
    auto made = inner();
#ifdef WRONG
    tasks.spawn(made);
#else
    tasks.spawn(std::move(made));
#endif
}
