// SPDX-License-Identifier: MIT
// flags: -Werror
// expect: fork_join() does nothing until it is awaited

#include <peal/parallel/fork_join.hpp>

peal::task<> inner() { co_return; }

peal::task<> outer() {
#ifdef WRONG
    peal::fork_join(inner(), inner());
    co_return;
#else
    co_await peal::fork_join(inner(), inner());
#endif
}
