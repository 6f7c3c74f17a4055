// SPDX-License-Identifier: MIT
// Only the task would be made there; its body would run here.
// expect: offload(fn, args...): fn is a coroutine, calling it would only make its task; use spawn(fn, args...)

#include <peal/pool/pool.hpp>

peal::task<int> counts(int number) { co_return number; }

peal::task<int> outer(peal::pool& pool) {
#ifdef WRONG
    auto made = co_await pool.offload(counts, 1);
    co_return co_await std::move(made);
#else
    auto counting = pool.spawn(counts, 1);
    co_return co_await counting;
#endif
}
