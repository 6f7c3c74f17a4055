// SPDX-License-Identifier: MIT
// expect: std::chrono::duration

#include <peal/combine/timeout.hpp>

peal::task<> inner() { co_return; }

peal::task<> outer() {
#ifdef WRONG
    co_await peal::timeout(5, inner());
#else
    co_await peal::timeout(std::chrono::milliseconds(5), inner());
#endif
}
