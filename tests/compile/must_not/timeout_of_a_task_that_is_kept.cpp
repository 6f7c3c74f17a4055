// SPDX-License-Identifier: MIT
// expect: a task is awaited once and handed over

#include <peal/combine/timeout.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<> outer() {
    auto made = inner();
#ifdef WRONG
    co_await peal::timeout(std::chrono::seconds(1), made);
#else
    co_await peal::timeout(std::chrono::seconds(1), std::move(made));
#endif
}
