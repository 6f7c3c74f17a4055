// SPDX-License-Identifier: MIT
#pragma once

// signals_blocked: threads made while one exists get no signals. Signals are for the threads of the program: a handler must not
// interrupt a worker, and a write to a closed pipe (SIGPIPE) must not end the program. Faults stay open: their handlers report
// crashes, and profilers sample by SIGPROF.

#include <pthread.h>
#include <signal.h>

namespace peal::rt {

class signals_blocked {
  public:
    signals_blocked() noexcept {
        sigset_t set;
        sigfillset(&set);
        for (int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS, SIGPROF}) sigdelset(&set, fault);
        pthread_sigmask(SIG_SETMASK, &set, &before_);
    }
    signals_blocked(const signals_blocked&) = delete;
    signals_blocked& operator=(const signals_blocked&) = delete;
    ~signals_blocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  private:
    sigset_t before_;
};

}  // namespace peal::rt
