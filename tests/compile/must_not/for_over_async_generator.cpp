// SPDX-License-Identifier: MIT
// An ordinary `for` cannot wait.
// expect: while (auto item = co_await numbers.next())

#include <peal/task/async_generator.hpp>

peal::task<> outer(peal::async_generator<int>& numbers) {
#ifdef WRONG
    for (int number : numbers) static_cast<void>(number);
    co_return;
#else
    while (auto number = co_await numbers.next()) static_cast<void>(*number);
#endif
}
