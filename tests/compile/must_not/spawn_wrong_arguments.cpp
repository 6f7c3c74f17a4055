// SPDX-License-Identifier: MIT
// expect: spawn(fn, args...): fn cannot be called with copies of the arguments as rvalues

#include <string>

#include <peal/pool/pool.hpp>

peal::task<> inner(int number) {
    static_cast<void>(number);
    co_return;
}

void outer(peal::pool& pool) {
#ifdef WRONG
    pool.spawn(inner, std::string("not a number"));
#else
    pool.spawn(inner, 1);
#endif
}
