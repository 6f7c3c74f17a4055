// SPDX-License-Identifier: MIT
// flags: -Werror
// expect: next() does nothing until it is awaited

#include <peal/task/async_generator.hpp>

peal::task<> outer(peal::async_generator<int>& numbers) {
#ifdef WRONG
    numbers.next();
    co_return;
#else
    while (auto number = co_await numbers.next()) static_cast<void>(*number);
#endif
}
