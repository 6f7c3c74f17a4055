// SPDX-License-Identifier: MIT
#pragma once

// child: a program that was started, waited for without a thread; run: a whole program, from start to end.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include <peal/io/pipe.hpp>
#include <peal/process/command.hpp>
#include <peal/task/task.hpp>

namespace peal::process {

/// How a program ended.
class PEAL_EXPORT exit_status {
  public:
    enum class how : std::uint8_t { exited, killed };
    static exit_status exited(int code) noexcept { return exit_status(how::exited, code, false); }
    static exit_status killed(int signal, bool dumped_core) noexcept { return exit_status(how::killed, signal, dumped_core); }

    /// It ended by itself, with code 0.
    bool success() const noexcept { return how_ == how::exited && number_ == 0; }
    bool has_exited() const noexcept { return how_ == how::exited; }
    /// What it gave to exit(), 0 to 255; -1 if it was killed.
    int code() const noexcept { return how_ == how::exited ? number_ : -1; }
    /// The signal that ended it; 0 if it ended by itself.
    int signal() const noexcept { return how_ == how::killed ? number_ : 0; }
    bool dumped_core() const noexcept { return dumped_core_; }
    /// "exited with 3", "killed by signal 11 (Segmentation fault), core dumped".
    std::string to_string() const;

    friend bool operator==(const exit_status&, const exit_status&) noexcept = default;

  private:
    exit_status(how ended, int number, bool dumped_core) noexcept : number_(number), how_(ended), dumped_core_(dumped_core) {}
    int number_;
    how how_;
    bool dumped_core_;
};

/// A program that was started by this process.
///
///     auto child = co_await peal::process::start(peal::process::command("make", "-j2").output(peal::process::standard_stream::pipe()));
///     ... child.output().read(buffer) ...
///     auto status = co_await peal::timeout(5min, child.wait());
///
/// When the object goes before the program has ended, the program is killed by SIGKILL, and taken notice of so that no zombie is left. The
/// destructor does not wait for that: a thread of peal's, which exists only while there is such work, does.
///
/// Threads:      one at a time; kill() also beside a wait(), and different threads for the different pipes.
/// Cancellation: a wait() that is stopped leaves the program alone; wait again, or let the object go.
/// Lifetime:     longer than what it is asked for. It may outlive the pool.
/// Errors:       std::system_error with the errno and the name of the system call. no_child_process from wait() if somebody else has taken
///               the end of the program: SIGCHLD is ignored in this process, or another part of it waits for all children.
/// Kernel:       Linux 5.4. The end is a poll on a process descriptor, on the ring of the worker that awaits.
class PEAL_EXPORT child {
  public:
    child() noexcept;
    child(child&&) noexcept;
    child& operator=(child&&) noexcept;
    ~child();

    /// The pipes that were asked for by standard_stream::pipe(); not open otherwise. Close input() to let the program see the end of it.
    io::pipe_writer& input() noexcept { return input_; }
    io::pipe_reader& output() noexcept { return output_; }
    io::pipe_reader& errors() noexcept { return errors_; }

    /// Waits for its end. Again and again the same afterwards. Does not read its pipes: a program whose output nobody reads waits, too.
    [[nodiscard]] task<exit_status> wait();

    /// Sends a signal; to its whole group if it was started with own_group(). False if it has ended already.
    bool kill(int signal);

    /// SIGTERM, time to end, then SIGKILL; gives how it ended.
    /// Cancellation: as wait(): it has been sent SIGTERM then, and perhaps no more.
    [[nodiscard]] task<exit_status> terminate(std::chrono::nanoseconds grace);

    /// Its number in the system, meaningful until its end has been waited for; 0 for an object without a program.
    int id() const noexcept;

  private:
    friend task<child> start(command what);
    class process;
    explicit child(std::unique_ptr<process> started) noexcept;

    std::unique_ptr<process> process_;
    io::pipe_writer input_;
    io::pipe_reader output_;
    io::pipe_reader errors_;
};

/// Starts a program. Ends when it runs, so what could not be started is an error here: no_such_file_or_directory, permission_denied,
/// executable_format_error, argument_list_too_long. The text names the program.
///
/// Threads:      on a worker (asserted). The system call is made by a blocking thread of the pool: it takes a millisecond or more, and the
///               program does not inherit the CPU that a worker is pinned to.
/// Cancellation: stops it only before it has begun; after that the child is given.
/// Kernel:       posix_spawn: between fork and exec runs nothing of this program. Not to be mixed with setenv() in other threads.
PEAL_EXPORT task<child> start(command what);

/// What became of a program that was run.
class run_result {
  public:
    run_result(exit_status status) noexcept : status(status) {}
    exit_status status;
    std::string output;              // its first bytes, up to the bound
    std::string errors;
    std::uint64_t output_bytes = 0;  // all that it wrote; more than output.size() if it was more than the bound
    std::uint64_t errors_bytes = 0;
};

/// Runs a program to its end: gives it `input`, collects what it writes, and its status. A status that is not success() is no error.
///
/// Of each of output and errors `capture_bytes` are kept at most; the rest is read, counted and dropped, so the program is not held up. A stream
/// that the command says something of is used as it says, and not collected (or fed). Ends when the program has ended and nobody has its pipes
/// any more: a program that leaves others behind with its output is waited for until they end.
///
/// A program that does not read all of its input is no error.
///
/// With a limit of time: timeout(10s, run(...)). What it has written by then is lost (start() it and read its pipes to keep that), and what it has
/// started itself lives on, unless the command has an own_group(): a shell script needs that.
///
/// Cancellation: kills the program, as child does.   Errors: those of start() and of reading its pipes.
PEAL_EXPORT task<run_result> run(command what, std::string input = {}, std::size_t capture_bytes = std::size_t{1} << 20);

}  // namespace peal::process
