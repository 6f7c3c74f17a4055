// SPDX-License-Identifier: MIT

#include <peal/process/child.hpp>

#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <optional>
#include <stop_token>
#include <system_error>

#include <peal/combine/timeout.hpp>
#include <peal/detail/blocking_call.hpp>
#include <peal/detail/thread_mutex.hpp>

#include "launch.hpp"
#include "reaper.hpp"

namespace peal::process {

std::string exit_status::to_string() const {
    if (how_ == how::exited) return "exited with " + std::to_string(number_);
    std::string text = "killed by signal " + std::to_string(number_);
    if (const char* description = ::strsignal(number_)) text += " (" + std::string(description) + ')';
    return dumped_core_ ? text + ", core dumped" : text;
}

/// The program behind a child. Its number stays its own until status_ is set; whoever uses the number holds the lock.
class child::process {
  public:
    process(int pid, int pidfd, bool leads_group) noexcept : pid_(pid), pidfd_(pidfd), leads_group_(leads_group) {}
    process(const process&) = delete;
    process& operator=(const process&) = delete;
    ~process() {
        if (status_) {
            ::close(pidfd_);
            return;
        }
        static_cast<void>(send(SIGKILL));  // refused: it took another user's rights, and is waited for until it ends by itself
        rt::reap_later(pidfd_);
    }

    int pid() const noexcept { return pid_; }
    int pidfd() const noexcept { return pidfd_; }

    /// How it ended; nothing if it has not.
    std::optional<exit_status> try_take_end() {
        std::lock_guard guard(mutex_);
        if (status_) return status_;
        siginfo_t ended{};
        if (::waitid(rt::child_by_pidfd, static_cast<id_t>(pidfd_), &ended, WEXITED | WNOHANG) != 0) {
            throw std::system_error(errno, std::system_category(),
                                    "waitid (no such child: SIGCHLD is ignored, or somebody else waits for all children)");
        }
        if (ended.si_pid == 0) return std::nullopt;
        status_ = ended.si_code == CLD_EXITED ? exit_status::exited(ended.si_status)
                                              : exit_status::killed(ended.si_status, ended.si_code == CLD_DUMPED);
        return status_;
    }

    bool kill(int signal) {
        std::lock_guard guard(mutex_);
        if (status_) return false;
        if (send(signal) == 0) return true;
        if (errno == ESRCH) return false;  // its end was taken by somebody else
        throw std::system_error(errno, std::system_category(), "kill");
    }

  private:
    int send(int signal) noexcept {
        if (leads_group_) return ::kill(-pid_, signal);
        return static_cast<int>(::syscall(SYS_pidfd_send_signal, pidfd_, signal, nullptr, 0));
    }

    const int pid_;
    const int pidfd_;
    const bool leads_group_;
    peal::detail::thread_mutex mutex_;   // guards status_
    std::optional<exit_status> status_;
};

child::child() noexcept = default;
child::child(child&&) noexcept = default;
child& child::operator=(child&&) noexcept = default;
child::~child() = default;
child::child(std::unique_ptr<process> started) noexcept : process_(std::move(started)) {}

int child::id() const noexcept { return process_ ? process_->pid() : 0; }

bool child::kill(int signal) {
    PEAL_ASSERT(process_, "child::kill() of a child without a program: it was moved from");
    return process_->kill(signal);
}

task<exit_status> child::wait() {
    PEAL_ASSERT(process_, "child::wait() for a child without a program: it was moved from");
    for (;;) {
        std::optional<exit_status> ended = process_->try_take_end();
        if (ended) co_return *ended;
        peal::detail::void_operation until_ended(peal::detail::operation_kind::wait_readable, process_->pidfd(), 0, 0);
        co_await until_ended;
    }
}

task<exit_status> child::terminate(std::chrono::nanoseconds grace) {
    kill(SIGTERM);
    task<exit_status> waiting = wait();
    auto limited = timeout(grace, std::move(waiting));
    auto ended = co_await as_result(limited);
    if (ended) co_return *ended;
    if (ended.error().code() != std::errc::timed_out) ended.error().raise();
    kill(SIGKILL);
    co_return co_await wait();
}

task<child> start(command what) {
    std::stop_source stopped;  // not looked at: what has begun is finished
    auto launch = [&what] { return rt::launch(what); };
    peal::detail::blocking_call launching(launch, peal::detail::blocking_class::files, &stopped);
    rt::launched made = co_await launching;
    child started(std::make_unique<child::process>(made.pid, made.pidfd.get(), what.has_own_group()));
    made.pidfd.release();
    started.input_ = io::pipe_writer(made.pipes[0].release());
    started.output_ = io::pipe_reader(made.pipes[1].release());
    started.errors_ = io::pipe_reader(made.pipes[2].release());
    co_return started;
}

}  // namespace peal::process
