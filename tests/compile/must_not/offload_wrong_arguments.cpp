// SPDX-License-Identifier: MIT
// expect: offload(fn, args...): fn cannot be called with copies of the arguments as rvalues; use std::ref for a parameter that is a non-const reference

#include <functional>

#include <peal/pool/pool.hpp>

int adds(int& number) { return ++number; }

peal::task<int> outer(peal::pool& pool) {
    int number = 1;
#ifdef WRONG
    co_return co_await pool.offload(adds, number);
#else
    co_return co_await pool.offload(adds, std::ref(number));
#endif
}
