// SPDX-License-Identifier: MIT
// expect: awaitable

#include <peal/combine/when_all.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<> outer() {
#ifdef WRONG
    co_await peal::when_all(inner(), 1);
#else
    co_await peal::when_all(inner(), inner());
#endif
}
