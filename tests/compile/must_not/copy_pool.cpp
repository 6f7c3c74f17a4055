// SPDX-License-Identifier: MIT
// A pool, with its threads, stays where it is: it goes by reference.
// expect: deleted

#include <peal/pool/pool.hpp>

#ifdef WRONG
void uses(peal::pool) {}
#else
void uses(peal::pool&) {}
#endif

void outer(peal::pool& pool) { uses(pool); }
