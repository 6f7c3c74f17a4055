// SPDX-License-Identifier: MIT
// expect-g++: sizeof ... (Awaited ...) != 0 [with Awaited = {}]' evaluated to 'false'
// expect-clang: 'sizeof...(Awaited) != 0' (0 != 0) evaluated to false

#include <vector>

#include <peal/combine/when_all.hpp>

peal::task<> outer(std::vector<peal::task<>> maybe_none) {
#ifdef WRONG
    static_cast<void>(maybe_none);
    co_await peal::when_all();
#else
    co_await peal::when_all(std::move(maybe_none));
#endif
}
