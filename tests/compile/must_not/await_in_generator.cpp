// SPDX-License-Identifier: MIT
// expect: a generator cannot co_await: make it an async_generator, whose next() is awaited

#include <peal/task/async_generator.hpp>
#include <peal/task/generator.hpp>

peal::task<int> inner() { co_return 1; }

#ifdef WRONG
peal::generator<int> outer() {
#else
peal::async_generator<int> outer() {
#endif
    co_await inner();
    co_yield 1;
}
