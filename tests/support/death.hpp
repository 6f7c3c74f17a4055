// SPDX-License-Identifier: MIT
#pragma once

// death: what becomes of this process when it breaks a contract. The function runs in a copy of the process, which is expected to
// abort with a message.
//
// Requires that the process has one thread when this is called: all pools are gone. The copy may make threads of its own.

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <system_error>

#include <peal/sim/simulation.hpp>

namespace support {

class death {
  public:
    death() {}
    bool aborted = false;  // by SIGABRT; false if it returned, threw, hung or ended otherwise
    std::string text;      // what it wrote to standard error

    /// It ended as a broken contract does, with these words.
    bool says(const std::string& words) const { return aborted && text.find(words) != std::string::npos; }
};

template <class Function>
death death_of(Function function) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::system_error(errno, std::system_category(), "pipe");
    std::fflush(nullptr);
    pid_t child = ::fork();
    if (child < 0) throw std::system_error(errno, std::system_category(), "fork");
    if (child == 0) {
        ::signal(SIGABRT, SIG_DFL);  // Catch2 would report a crash of the whole program
        rlimit no_core{0, 0};
        ::setrlimit(RLIMIT_CORE, &no_core);
        ::alarm(60);  // a guard against a hang
        ::dup2(ends[1], STDERR_FILENO);
        try {
            function();
        } catch (...) {
            ::_exit(2);
        }
        ::_exit(0);
    }
    ::close(ends[1]);
    death seen;
    char piece[1024];
    for (;;) {
        ssize_t got = ::read(ends[0], piece, sizeof piece);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        seen.text.append(piece, static_cast<std::size_t>(got));
    }
    ::close(ends[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    seen.aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
    return seen;
}

/// The same for a task of a simulation: `fn(pool)`.
inline death death_in_task(peal::task<> (*fn)(peal::pool&)) {
    return death_of([fn] {
        peal::simulation sim(1);
        sim.pool().run(fn, sim.pool());
    });
}

}  // namespace support
