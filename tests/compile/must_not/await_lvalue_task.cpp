// SPDX-License-Identifier: MIT
// A task is handed over to the one who awaits it: std::move() says so.
// expect: a task is awaited once and handed over: co_await std::move(task)

#include <peal/task/task.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<int> outer() {
    auto made = inner();
#ifdef WRONG
    co_return co_await made;
#else
    co_return co_await std::move(made);
#endif
}
