// SPDX-License-Identifier: MIT
// flags: -Werror
// expect: when_all() does nothing until it is awaited

#include <peal/combine/when_all.hpp>

peal::task<> inner() { co_return; }

peal::task<> outer() {
#ifdef WRONG
    peal::when_all(inner(), inner());
    co_return;
#else
    co_await peal::when_all(inner(), inner());
#endif
}
