// SPDX-License-Identifier: MIT
// expect: awaitable

#include <peal/combine/timeout.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<> outer() {
#ifdef WRONG
    co_await peal::timeout(std::chrono::seconds(1), 1);
#else
    co_await peal::timeout(std::chrono::seconds(1), inner());
#endif
}
