// SPDX-License-Identifier: MIT
// expect: a task gives one value, by co_return: what shall co_yield many is an async_generator

#include <peal/task/async_generator.hpp>

#ifdef WRONG
peal::task<int> outer() { co_yield 1; }
#else
peal::async_generator<int> outer() { co_yield 1; }
#endif
