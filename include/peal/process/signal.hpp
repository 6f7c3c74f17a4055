// SPDX-License-Identifier: MIT
#pragma once

// Signals that end a program: run until SIGINT or SIGTERM, then stop in order.

#include <utility>

#include <peal/pool/pool.hpp>
#include <peal/task/task.hpp>

namespace peal::process {

/// Waits for SIGINT or SIGTERM. While one exists, these do not kill the program; a second signal does.
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
    bool arrived() const noexcept;

  private:
    int fd_;  // an event descriptor that the handler writes to
};

namespace detail {

inline task<void> stop_on(termination_signal& signal, stop_handle main) {
    co_await signal.wait();
    main.request_stop();
}

template <class T>
task<void> run_main(termination_signal& signal, pool& pool, join_handle<T> main) {
    auto watcher = pool.spawn(spawn_options("termination signal"), stop_on, std::ref(signal), main.stop_handle());
    std::exception_ptr failure;
    try {
        co_await main;
    } catch (const std::system_error& error) {
        if (!(signal.arrived() && error.code() == std::errc::operation_canceled)) failure = std::current_exception();
    } catch (...) {
        failure = std::current_exception();
    }
    watcher.request_stop();
    try {
        co_await watcher;
    } catch (const std::system_error&) {  // canceled: no signal came
    }
    if (failure) std::rethrow_exception(failure);
}

}  // namespace detail

/// pool.run(fn, args...) for a server: SIGINT and SIGTERM ask it to stop. That it ends as canceled then is its normal end; any other
/// exception is thrown.
template <class Function, class... Arguments>
void run_until_terminated(pool& pool, Function&& function, Arguments&&... arguments) {
    termination_signal signal;
    auto main = pool.spawn(spawn_options("main"), std::forward<Function>(function), std::forward<Arguments>(arguments)...);
    pool.run(detail::run_main<typename decltype(main)::value_type>, std::ref(signal), std::ref(pool), std::move(main));
}

}  // namespace peal::process
