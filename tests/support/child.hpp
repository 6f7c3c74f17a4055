// SPDX-License-Identifier: MIT
#pragma once

// child: runs one hidden case of this test program as a program of its own. For cases that end their process, give up rights,
// lower limits or install system call filters: none of that may touch the other cases, and fork() without exec is no good in a
// process with threads.
//
//     TEST_CASE("child: raises a signal", "[.child]") { ... }
//     TEST_CASE("signal: ...") { auto ended = support::run_case("child: raises a signal"); CHECK(ended.signal == SIGTERM); }
//
// Names of such cases hold no comma and no bracket, which mean something on the command line of Catch2.

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <vector>

namespace support {

class child_result {
  public:
    child_result() {}
    int code = -1;        // of exit; -1 if it did not get that far
    int signal = 0;       // that killed it
    bool hung = false;    // it had to be killed
    std::string output;   // standard output and error

    bool succeeded() const { return code == 0; }
    bool says(const std::string& words) const { return output.find(words) != std::string::npos; }
};

/// First line of a child case that ends by abort(): Catch2's handler of SIGABRT, which no sanitizer likes, is out of the way.
inline void expect_abort() { ::signal(SIGABRT, SIG_DFL); }

namespace detail {

/// The environment, with the leak check of the address sanitizer off: it cannot look into a process that gave up its rights or
/// that filters system calls. The check of test_main for frames and descriptors stays.
inline std::vector<std::string> child_environment() {
    std::vector<std::string> variables;
    std::string options = "ASAN_OPTIONS=detect_leaks=0";
    for (char** each = ::environ; *each != nullptr; ++each) {
        std::string variable = *each;
        if (variable.starts_with("ASAN_OPTIONS=")) {
            options = variable + ":detect_leaks=0";
        } else {
            variables.push_back(std::move(variable));
        }
    }
    variables.push_back(std::move(options));
    return variables;
}

inline void read_all(int fd, std::chrono::steady_clock::time_point deadline, child_result& result, pid_t child) {
    for (;;) {
        auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd waiting{fd, POLLIN, 0};
        int ready = left.count() <= 0 ? 0 : ::poll(&waiting, 1, static_cast<int>(left.count()));
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) {
            result.hung = true;
            ::kill(child, SIGKILL);
            return;
        }
        char piece[4096];
        ssize_t got = ::read(fd, piece, sizeof piece);
        if (got <= 0) return;
        result.output.append(piece, static_cast<std::size_t>(got));
    }
}

}  // namespace detail

/// Runs the case called `name` and waits for its end. `patience` is a guard against a hang.
inline child_result run_case(const std::string& name, std::chrono::seconds patience = std::chrono::seconds(50)) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::system_error(errno, std::system_category(), "pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);

    char path[4096];
    ssize_t length = ::readlink("/proc/self/exe", path, sizeof path - 1);
    if (length < 0) throw std::system_error(errno, std::system_category(), "readlink /proc/self/exe");
    path[length] = '\0';
    std::string argument = name;
    char* arguments[] = {path, argument.data(), nullptr};
    std::vector<std::string> variables = detail::child_environment();
    std::vector<char*> environment;
    for (std::string& each : variables) environment.push_back(each.data());
    environment.push_back(nullptr);

    pid_t child = -1;
    int refused = ::posix_spawn(&child, path, &actions, nullptr, arguments, environment.data());
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (refused != 0) {
        ::close(ends[0]);
        throw std::system_error(refused, std::system_category(), "posix_spawn");
    }
    child_result result;
    detail::read_all(ends[0], std::chrono::steady_clock::now() + patience, result, child);
    ::close(ends[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFSIGNALED(status)) result.signal = WTERMSIG(status);
    if (WIFEXITED(status)) result.code = WEXITSTATUS(status);
    if (result.code == 0 && result.output.find("All tests passed") == std::string::npos) {
        result.code = -1;  // the name matched no case, or the case checked nothing
    }
    return result;
}

}  // namespace support
