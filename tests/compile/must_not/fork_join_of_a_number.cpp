// SPDX-License-Identifier: MIT
// expect: awaitable

#include <peal/parallel/fork_join.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<> outer() {
#ifdef WRONG
    co_await peal::fork_join(inner(), 1);
#else
    co_await peal::fork_join(inner(), inner());
#endif
}
