// SPDX-License-Identifier: MIT
// A connection has one owner.
// expect: deleted

#include <peal/net/tcp.hpp>

void outer(peal::net::tcp_stream first) {
#ifdef WRONG
    auto second = first;
#else
    auto second = std::move(first);
#endif
}
