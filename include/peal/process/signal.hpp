// SPDX-License-Identifier: MIT
#pragma once

// Signals that end a program: run until SIGINT or SIGTERM, then stop in order.

#include <utility>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/task.hpp>

namespace peal::process {

/// Waits for SIGINT or SIGTERM. While one exists, these do not kill the program; one that comes a second or more after the first does.
/// (Within that second it is taken for the same one, which timeout(1) and others send twice.)
///
/// Threads:  one at a time in the program (asserted). The first wait() of a signal that came before it returns at once.
class PEAL_EXPORT termination_signal {
  public:
    termination_signal();
    termination_signal(const termination_signal&) = delete;
    termination_signal& operator=(const termination_signal&) = delete;
    ~termination_signal();

    /// Gives the number of the signal.
    [[nodiscard]] task<int> wait();
    bool arrived() const noexcept { return number() != 0; }
    /// Of the first signal; 0: none yet.
    int number() const noexcept;

  private:
    int fd_;  // an event descriptor that the handler writes to
};

namespace detail {

inline task<void> stop_on(termination_signal& signal, stop_handle main) {
    co_await signal.wait();
    main.request_stop();
}

template <class Function, class... Arguments>
task<int> run_main(termination_signal& signal, Function function, Arguments... arguments) {
    // In a scope: whatever happens to this task, it does not end before main has. What main refers to belongs to the caller.
    scope both;
    auto main = both.spawn(spawn_options("main"), std::move(function), static_cast<Arguments&&>(arguments)...);
    both.spawn(spawn_options("termination signal"), stop_on, std::ref(signal), main.stop_handle());
    std::exception_ptr failure;
    int stopped_by = 0;
    try {
        co_await main;
    } catch (const std::system_error& error) {
        if (error.code() == std::errc::operation_canceled) stopped_by = signal.number();
        if (stopped_by == 0) failure = std::current_exception();
    } catch (...) {
        failure = std::current_exception();
    }
    both.request_stop();
    try {
        co_await both.join();
    } catch (const std::system_error&) {  // this task was asked to stop, too
    }
    if (failure) std::rethrow_exception(failure);
    co_return stopped_by;
}

}  // namespace detail

/// pool.run(fn, args...) for a server: SIGINT and SIGTERM ask it to stop. That it ends as canceled then is its normal end; any other
/// exception is thrown. Gives the number of the signal that ended it, 0 if it ended by itself.
template <class Function, class... Arguments>
int run_until_terminated(pool& pool, Function&& function, Arguments&&... arguments) {
    termination_signal signal;
    return pool.run(detail::run_main<std::decay_t<Function>, peal::detail::kept_argument<Arguments>...>, std::ref(signal),
                    std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

}  // namespace peal::process
