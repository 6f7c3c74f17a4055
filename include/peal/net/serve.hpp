// SPDX-License-Identifier: MIT
#pragma once

// serve_on_each_worker: a server whose workers accept for themselves.

#include <functional>
#include <utility>
#include <vector>

#include <peal/net/tcp.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/task.hpp>

namespace peal::net {

/// A listener for each worker of `on`, all at one address; for a port of 0 the system chooses one for all. `options` get reuse_port().
PEAL_EXPORT std::vector<tcp_listener> bind_for_each_worker(pool& on, const address& local, listen_options options = listen_options());

namespace detail {

template <class Session>
task<> accept_on_worker(pool& on, unsigned worker, tcp_listener& listener, const Session& session) {
    scope sessions(on_error::keep_going);
    for (;;) {
        co_await on.schedule_on(worker);
        tcp_stream accepted = co_await listener.accept();
        sessions.spawn(session, std::move(accepted));
    }
}

}  // namespace detail

/// Accepts with `listeners[i]` on worker i and runs `session(tcp_stream)` for each connection, beginning there, until it is asked to stop or a listener is
/// closed: then it stops its sessions, waits for them, and ends as canceled, or with invalid_argument. A session that fails costs itself.
///
///     auto listeners = peal::net::bind_for_each_worker(pool, address::parse("0.0.0.0:7000"));
///     pool.run(peal::net::serve_on_each_worker<decltype(session)>, pool, std::move(listeners), session);
///
/// When it pays: where connections come faster than one worker accepts them, on many CPUs. On two CPUs that the clients share (Linux 6.18, a connection
/// for each request) it makes no difference: 20 to 33 thousand a second either way. A single listener is the better choice for long connections and
/// for sessions of very different length: whichever worker is free takes the next, while here the kernel deals connections out by a hash of their
/// addresses, to a busy worker, too; others may steal its sessions, but not connections that it has not accepted yet.
///
/// Threads:      any worker of `on`.
/// Lifetime:     `on` outlives it. Requires: not more listeners than workers.
template <class Session>
task<> serve_on_each_worker(pool& on, std::vector<tcp_listener> listeners, Session session) {
    scope accepting;
    for (unsigned i = 0; i < listeners.size(); ++i) {
        accepting.spawn(detail::accept_on_worker<Session>, on, i, std::ref(listeners[i]), std::cref(session));
    }
    co_await accepting.join();
}

}  // namespace peal::net
