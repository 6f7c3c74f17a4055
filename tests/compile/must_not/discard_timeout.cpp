// SPDX-License-Identifier: MIT
// flags: -Werror
// expect: a timeout does nothing until it is awaited

#include <peal/combine/timeout.hpp>

peal::task<> inner() { co_return; }

peal::task<> outer() {
#ifdef WRONG
    peal::timeout(std::chrono::seconds(1), inner());
    co_return;
#else
    co_await peal::timeout(std::chrono::seconds(1), inner());
#endif
}
