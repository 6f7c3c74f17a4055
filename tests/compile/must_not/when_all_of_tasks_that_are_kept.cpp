// SPDX-License-Identifier: MIT
// expect: the tasks are handed over: write std::move(tasks)

#include <vector>

#include <peal/combine/when_all.hpp>

peal::task<> outer(std::vector<peal::task<>> tasks) {
#ifdef WRONG
    co_await peal::when_all(tasks);
#else
    co_await peal::when_all(std::move(tasks));
#endif
}
