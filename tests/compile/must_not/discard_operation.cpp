// SPDX-License-Identifier: MIT
// A forgotten co_await in front of an operation.
// flags: -Werror
// expect: an operation does nothing until it is awaited

#include <peal/time/sleep.hpp>

peal::task<> outer() {
#ifdef WRONG
    peal::sleep_for(std::chrono::seconds(1));
    co_return;
#else
    co_await peal::sleep_for(std::chrono::seconds(1));
#endif
}
