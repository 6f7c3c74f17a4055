// SPDX-License-Identifier: MIT
#pragma once

// drain: the orderly end of a scope that serves.

#include <chrono>

#include <peal/combine/timeout.hpp>
#include <peal/task/scope.hpp>

namespace peal {

namespace detail {

inline task<bool> drain_within(clock::duration limit, scope& tasks) {
    bool all_ended = true;
    try {
        co_await timeout(limit, tasks.join());
    } catch (const std::system_error& failure) {
        if (failure.code() != std::errc::timed_out) throw;
        all_ended = false;
    }
    co_return all_ended;
}

}  // namespace detail

/// Waits for the tasks of a scope to end by themselves, for at most `limit`; then asks them to stop and waits for that. True if none had
/// to be asked. To be called when the server was asked to stop: that is not passed on, neither to this nor to the tasks.
///
/// Errors:   what scope::join() throws.
/// Lifetime: `tasks` outlives it. (To bound the end of the tasks, too, is the pool's: pool_options::stop_timeout.)
template <class Rep, class Period>
task<bool> drain(std::chrono::duration<Rep, Period> limit, scope& tasks) {
    co_return co_await shield(detail::drain_within(detail::bounded(limit), tasks));
}

}  // namespace peal
