// SPDX-License-Identifier: MIT
// What can only be moved is given away or lent, by name.
// expect: spawn(fn, args...): an argument can only be moved: write std::move(x) to give it to the task, or std::ref(x) to lend it

#include <peal/net/tcp.hpp>
#include <peal/task/scope.hpp>

peal::task<> session(peal::net::tcp_stream stream) {
    static_cast<void>(stream);
    co_return;
}

void outer(peal::scope& tasks, peal::net::tcp_stream stream) {
#ifdef WRONG
    tasks.spawn(session, stream);
#else
    tasks.spawn(session, std::move(stream));
#endif
}
