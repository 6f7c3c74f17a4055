// SPDX-License-Identifier: MIT
// expect: a length of time has a unit: sleep_for(5ms)

#include <peal/time/sleep.hpp>

peal::task<> outer() {
#ifdef WRONG
    co_await peal::sleep_for(5);
#else
    co_await peal::sleep_for(std::chrono::milliseconds(5));
#endif
}
