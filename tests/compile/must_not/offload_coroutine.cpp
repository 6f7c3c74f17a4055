// SPDX-License-Identifier: MIT
// expect: offload(fn, args...): fn is a coroutine, calling it would only make its task; use spawn(fn, args...)

#include <peal/pool/pool.hpp>

peal::task<int> inner() { co_return 1; }

peal::task<int> outer(peal::pool& pool) {
#ifdef WRONG
    co_await pool.offload(inner);
    co_return 1;
#else
    co_return co_await pool.spawn(inner);
#endif
}
