// SPDX-License-Identifier: MIT
// expect: awaitable
// expect-clang: write std::move(task)

#include <utility>

#include <peal/parallel/fork_join.hpp>

peal::task<> outer(peal::task<> first, peal::task<> second) {
#ifdef WRONG
    co_await peal::fork_join(first, second);
#else
    co_await peal::fork_join(std::move(first), std::move(second));
#endif
}
