// SPDX-License-Identifier: MIT
// expect: spawn(task): a task is handed over, write spawn(std::move(task))

#include <peal/pool/pool.hpp>

peal::task<> inner() { co_return; }

void outer(peal::pool& pool) {
    auto made = inner();
#ifdef WRONG
    pool.spawn(made);
#else
    pool.spawn(std::move(made));
#endif
}
