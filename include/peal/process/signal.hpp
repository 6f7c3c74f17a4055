// SPDX-License-Identifier: MIT
#pragma once

// Signals: those that end a program (run until SIGINT or SIGTERM, then stop in order), and any others that it wants to know of.

#include <initializer_list>
#include <memory>
#include <utility>

#include <peal/pool/pool.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/task.hpp>

namespace peal::process {

namespace detail {
class signal_receiver;
}

/// Waits for signals of chosen kinds: SIGHUP to read a configuration anew, SIGUSR1, SIGWINCH. While one exists, these do not do what they do by
/// default. For the end of the program there is termination_signal; both may exist for the same signal, and each is told.
///
///     peal::process::signal_watch reload({SIGHUP});
///     for (;;) {
///         co_await reload.next();
///         ...
///
/// What comes while nobody waits is kept, once for each kind, as the system does: it is not a count.
///
/// Threads:      any number of objects, each used by one task at a time. A signal reaches it if a thread of the program does not block it;
///               workers do. That of main() is enough.
/// Cancellation: takes nothing.
/// Errors:       invalid_argument for a number that is none, cannot be caught, or says that the program is broken (SIGSEGV, SIGBUS, SIGFPE,
///               SIGILL); resource_unavailable_try_again for more than 32 objects at a time.
/// Lifetime:     until next() has ended.   Kernel: a handler that writes to an event descriptor, which is read on the ring of the worker that awaits.
class PEAL_EXPORT signal_watch {
  public:
    explicit signal_watch(std::initializer_list<int> numbers);
    signal_watch(const signal_watch&) = delete;
    signal_watch& operator=(const signal_watch&) = delete;
    ~signal_watch();

    /// Gives the number of the next signal; of several that have come, the lowest first.
    [[nodiscard]] task<int> next();

  private:
    std::unique_ptr<detail::signal_receiver> receiver_;
};

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
    std::unique_ptr<detail::signal_receiver> receiver_;
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
    try {
        co_await main;
    } catch (const std::system_error& error) {
        if (error.code() != std::errc::operation_canceled || signal.number() == 0) failure = std::current_exception();
    } catch (...) {
        failure = std::current_exception();
    }
    both.request_stop();
    try {
        co_await both.join();
    } catch (const std::system_error&) {  // this task was asked to stop, too
    }
    if (failure) std::rethrow_exception(failure);
    co_return signal.number();
}

}  // namespace detail

/// pool.run(fn, args...) for a server: SIGINT and SIGTERM ask it to stop. That it ends as canceled then is its normal end; any other
/// exception is thrown. Gives the number of the signal that came, also if the server took it as its cue and ended in order; 0 if none did.
///
/// This waits for main only. What else runs in the pool has until pool.shutdown(drain, stop), which the pool's destructor calls with the limits
/// of pool_options: it drains, asks to stop, and names what did not.
template <class Function, class... Arguments>
int run_until_terminated(pool& pool, Function&& function, Arguments&&... arguments) {
    termination_signal signal;
    return pool.run(detail::run_main<std::decay_t<Function>, peal::detail::kept_argument<Arguments>...>, std::ref(signal),
                    std::forward<Function>(function), std::forward<Arguments>(arguments)...);
}

}  // namespace peal::process
