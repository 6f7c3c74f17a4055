// SPDX-License-Identifier: MIT
// expect: spawn(fn, args...): an argument can only be moved: write std::move(x) to give it to the task, or std::ref(x) to

#include <functional>

#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>

peal::task<> owns(peal::net::tcp_stream) { co_return; }
peal::task<> borrows(peal::net::tcp_stream&) { co_return; }

peal::task<> outer(peal::pool& pool, peal::net::tcp_stream stream) {
    peal::scope tasks;
#ifdef WRONG
    tasks.spawn(borrows, stream);
    pool.spawn(owns, stream);
#else
    tasks.spawn(borrows, std::ref(stream));
    co_await tasks.join();
    pool.spawn(owns, std::move(stream));
#endif
    co_await tasks.join();
}
