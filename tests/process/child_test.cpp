// SPDX-License-Identifier: MIT

// Programs that are started: what they are given, how they end, and that nothing is left of them here: no zombie, no descriptor.

#include <peal/process/child.hpp>

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <peal/combine/timeout.hpp>
#include <peal/fs/file.hpp>
#include <peal/io/buffered_reader.hpp>
#include <peal/pool/pool.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/time/sleep.hpp>

#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/leaks.hpp"
#include "support/temp_folder.hpp"

using namespace std::chrono_literals;
using peal::process::command;
using peal::process::exit_status;
using peal::process::standard_stream;

namespace {

/// Until this process has no child, running or ended.
bool no_child_is_left() {
    for (int i = 0; i < 20'000; ++i) {
        siginfo_t any{};
        if (::waitid(P_ALL, 0, &any, WEXITED | WNOHANG | WNOWAIT) != 0 && errno == ECHILD) return true;
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

bool descriptors_become(std::size_t count) {
    for (int i = 0; i < 20'000; ++i) {
        if (support::open_descriptors() == count) return true;
        std::this_thread::sleep_for(1ms);
    }
    return false;
}

command shell(std::string script) { return command("/bin/sh", "-c", std::move(script)); }

peal::task<exit_status> status_of(command what) {
    peal::task<peal::process::child> starting = peal::process::start(std::move(what));
    peal::process::child program = co_await std::move(starting);
    co_return co_await program.wait();
}

peal::task<std::string> failure_of_starting(command what) {
    peal::task<peal::process::child> starting = peal::process::start(std::move(what));
    auto started = co_await peal::as_result(std::move(starting));
    co_return started ? "started" : started.error().message();
}

std::string output_of(peal::pool& pool, command what) {
    auto result = pool.run(peal::process::run, std::move(what), std::string(), std::size_t{100'000});
    INFO(result.errors);
    CHECK(result.status.success());
    return result.output;
}

}  // namespace

TEST_CASE("child: how it ended") {
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(status_of, shell("exit 0")).success());
    exit_status three = pool.run(status_of, shell("exit 3"));
    CHECK(three == exit_status::exited(3));
    CHECK_FALSE(three.success());
    CHECK(three.to_string() == "exited with 3");
    exit_status killed = pool.run(status_of, shell("kill -KILL $$"));
    CHECK_FALSE(killed.has_exited());
    CHECK(killed.signal() == SIGKILL);
    CHECK(killed.code() == -1);
    CHECK(killed.to_string() == "killed by signal 9 (Killed)");
    exit_status crashed = pool.run(status_of, shell("ulimit -c 0; kill -SEGV $$"));
    CHECK(crashed.signal() == SIGSEGV);
    CHECK_FALSE(crashed.dumped_core());
    CHECK(no_child_is_left());
}

TEST_CASE("child: a program that cannot be started is an error that names it") {
    support::temp_folder folder;
    support::put(folder / "text", "no program\n");
    support::put(folder / "garbage", std::string("\0\1\2\3", 4));
    support::put(folder / "script", "#!/no/such/interpreter\n");
    for (const char* name : {"garbage", "script"}) REQUIRE(::chmod((folder / name).c_str(), 0755) == 0);
    peal::pool pool(peal::pool_options(1));
    std::size_t before = support::open_descriptors();
    CHECK(pool.run(failure_of_starting, command("/no/such/program")) == "posix_spawn /no/such/program: No such file or directory");
    CHECK(pool.run(failure_of_starting, command("no-such-program-anywhere")) ==
          "posix_spawn no-such-program-anywhere: No such file or directory");
    CHECK(pool.run(failure_of_starting, command(folder / "text")) == "posix_spawn " + folder / "text" + ": Permission denied");
    CHECK(pool.run(failure_of_starting, command(folder.path())) == "posix_spawn " + folder.path() + ": Permission denied");
    CHECK(pool.run(failure_of_starting, command(folder / "garbage")).ends_with("Exec format error"));
    CHECK(pool.run(failure_of_starting, command(folder / "script")).ends_with("No such file or directory"));
    CHECK(pool.run(failure_of_starting, command("")).ends_with("No such file or directory"));
    CHECK(pool.run(failure_of_starting, shell("true").directory(folder / "missing")) ==
          "working directory " + folder / "missing" + ": No such file or directory");
    CHECK(pool.run(failure_of_starting, shell("true").directory(folder / "text")) ==
          "working directory " + folder / "text" + ": Not a directory");
    CHECK(pool.run(failure_of_starting, shell("true").directory(std::string("/\0x", 3))) == "working directory /?x: Invalid argument");
    CHECK(pool.run(failure_of_starting, shell("true").output(standard_stream::descriptor(9999))) ==
          "standard stream 1 of /bin/sh: Bad file descriptor");
    CHECK(pool.run(failure_of_starting, shell(std::string("a\0b", 3))).ends_with("Invalid argument"));
    CHECK(pool.run(failure_of_starting, shell("true").argument(std::string(4'000'000, 'x'))).ends_with("Argument list too long"));
    CHECK(descriptors_become(before));
    CHECK(no_child_is_left());
}

TEST_CASE("child: arguments, environment and working directory are as given") {
    support::temp_folder folder;
    peal::pool pool(peal::pool_options(1));
    CHECK(output_of(pool, command("printf", "%s|", "a b", "", "$HOME", "\"'")) == "a b||$HOME|\"'|");
    CHECK(output_of(pool, command("pwd").directory(folder.path())) == folder.path() + "\n");
    REQUIRE(::setenv("PEAL_TEST_INHERITED", "yes", 1) == 0);
    CHECK(output_of(pool, shell("echo $PEAL_TEST_INHERITED $MORE").environment("MORE", "a=b")) == "yes a=b\n");
    CHECK(output_of(pool, shell("echo ${PEAL_TEST_INHERITED-none}").without_environment("PEAL_TEST_INHERITED")) == "none\n");
    CHECK(output_of(pool, shell("echo ${PEAL_TEST_INHERITED-none}").environment("PEAL_TEST_INHERITED", "")) == "\n");
    CHECK(output_of(pool, command("env").clear_environment().environment("ONLY", "1").environment("ONLY", "2")) == "ONLY=2\n");
    ::unsetenv("PEAL_TEST_INHERITED");
}

TEST_CASE("child: signals act by default, none is blocked, and no descriptor is inherited") {
    peal::pool pool(peal::pool_options(1));
    ::signal(SIGUSR1, SIG_IGN);
    int leaking = ::dup(1);  // without O_CLOEXEC, as careless libraries open theirs
    CHECK(output_of(pool, command("grep", "^SigBlk:", "/proc/self/status")) == "SigBlk:\t0000000000000000\n");
    std::string ignored = output_of(pool, command("sed", "-n", "s/^SigIgn:.//p", "/proc/self/status"));
    INFO(ignored);
    CHECK((std::stoull(ignored, nullptr, 16) & ~(std::uint64_t{3} << 31)) == 0);  // but 32 and 33, which the C library keeps for itself
    CHECK(output_of(pool, command("ls", "/proc/self/fd")) == "0\n1\n2\n3\n");  // 3: the folder that it lists
    ::close(leaking);
    ::signal(SIGUSR1, SIG_DFL);
    // A writer whose reader has gone dies of SIGPIPE, as in any pipeline.
    auto body = []() -> peal::task<exit_status> {
        peal::task<peal::process::child> starting = peal::process::start(shell("while :; do echo x; done").output(standard_stream::pipe()));
        peal::process::child program = co_await std::move(starting);
        program.output().close();
        co_return co_await program.wait();
    };
    CHECK(pool.run(body).signal() == SIGPIPE);
}

TEST_CASE("child: streams that are null, a descriptor, or the same") {
    support::temp_folder folder;
    auto to_file = [](std::string path) -> peal::task<exit_status> {
        peal::fs::file log = co_await peal::fs::file::open(path, peal::fs::open_mode::append);
        command what = shell("echo out; echo err >&2");
        what.output(standard_stream::descriptor(log.native_handle())).errors(standard_stream::same_as_output());
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        peal::process::child program = co_await std::move(starting);
        co_return co_await program.wait();
    };
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(to_file, folder / "log").success());
    CHECK(support::content_of(folder / "log") == "out\nerr\n");
    CHECK(output_of(pool, command("cat").input(standard_stream::null())) == "");
    auto merged = pool.run(peal::process::run, shell("echo out; echo err >&2").errors(standard_stream::same_as_output()), std::string(),
                           std::size_t{100});
    CHECK(merged.output == "out\nerr\n");
    auto dropped = pool.run(peal::process::run, shell("echo out; echo err >&2").output(standard_stream::null()), std::string(), std::size_t{100});
    CHECK(dropped.output == "");
    CHECK(dropped.errors == "err\n");
}

TEST_CASE("child: standard streams also where this process has closed its own") {
    auto child = support::run_case("child: without standard streams");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: without standard streams", "[.child]") {
    int out = ::dup(1);
    ::close(0);
    ::close(1);
    ::close(2);
    std::string output;
    std::string errors;
    {
        peal::pool pool(peal::pool_options(1));
        auto result = pool.run(peal::process::run, shell("cat; echo errors >&2"), std::string("through"), std::size_t{100});
        output = result.output;
        errors = result.errors;
    } // the pipes have had the numbers 0 to 2, and the pool may still be closing them: it ends before they are taken back
    ::dup2(out, 0);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::close(out);
    CHECK(output == "through");
    CHECK(errors == "errors\n");
}

TEST_CASE("child: talks over its pipes, line by line") {
    auto body = []() -> peal::task<> {
        command what("cat");
        what.input(standard_stream::pipe()).output(standard_stream::pipe());
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        peal::process::child program = co_await std::move(starting);
        CHECK_FALSE(program.errors().is_open());
        CHECK(program.id() > 0);
        peal::io::buffered_reader lines(program.output());
        for (int i = 0; i < 100; ++i) {
            std::string line = "line " + std::to_string(i);
            std::string sent = line + '\n';
            co_await program.input().write_all(peal::io::bytes_of(sent));
            auto answer = co_await lines.read_line(100);
            bool same = answer && *answer == line;
            REQUIRE(same);
        }
        program.input().close();
        auto end = co_await lines.read_line(100);
        CHECK_FALSE(end);
        exit_status status = co_await program.wait();
        CHECK(status.success());
        exit_status again = co_await program.wait();
        CHECK(again == status);
        CHECK_FALSE(program.kill(SIGTERM));
    };
    peal::pool pool(peal::pool_options(2));
    pool.run(body);
    CHECK(no_child_is_left());
}

TEST_CASE("run: input and output larger than a pipe, bounded capture, and a program that does not read its input") {
    peal::pool pool(peal::pool_options(2));
    std::string input(3'000'000, 'x');
    auto copied = pool.run(peal::process::run, command("cat"), input, std::size_t{4'000'000});
    CHECK(copied.output == input);
    CHECK(copied.status.success());
    auto bounded = pool.run(peal::process::run, shell("cat >&2; echo done"), input, std::size_t{1000});
    CHECK(bounded.errors == std::string(1000, 'x'));
    CHECK(bounded.errors_bytes == 3'000'000);
    CHECK(bounded.output == "done\n");
    CHECK(bounded.output_bytes == 5);
    auto unread = pool.run(peal::process::run, shell("exec 0<&-; echo ignored; exit 7"), input, std::size_t{1000});
    CHECK(unread.output == "ignored\n");
    CHECK(unread.status.code() == 7);
    auto closes_early = pool.run(peal::process::run, shell("exec 1>&- 2>&-; cat >/dev/null; exit 5"), input, std::size_t{1000});
    CHECK(closes_early.status.code() == 5);
    CHECK(closes_early.output == "");
    CHECK(no_child_is_left());
}

TEST_CASE("child: wait() in time, stopped, and again") {
    auto body = []() -> peal::task<> {
        command what("cat");
        what.input(standard_stream::pipe());
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        peal::process::child program = co_await std::move(starting);
        for (int i = 0; i < 3; ++i) {
            peal::task<exit_status> waiting = program.wait();
            auto limited = peal::timeout(3ms, std::move(waiting));
            auto early = co_await peal::as_result(limited);
            REQUIRE_FALSE(early);
            CHECK(early.error().code() == std::errc::timed_out);
        }
        program.input().close();
        exit_status status = co_await program.wait();
        CHECK(status.success());
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

TEST_CASE("child: terminate() by SIGTERM, and by SIGKILL where that is ignored") {
    auto body = [](std::string script, std::chrono::milliseconds grace) -> peal::task<exit_status> {
        command what = shell(std::move(script));
        what.output(standard_stream::pipe());
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        peal::process::child program = co_await std::move(starting);
        std::array<std::byte, 1> ready;
        co_await program.output().read(ready);
        co_return co_await program.terminate(grace);
    };
    peal::pool pool(peal::pool_options(1));
    CHECK(pool.run(body, "echo; exec sleep 1000", 60s).signal() == SIGTERM);
    CHECK(pool.run(body, "trap 'exit 4' TERM; echo; while :; do sleep 0.01; done", 60s).code() == 4);
    CHECK(pool.run(body, "trap '' TERM; echo; while :; do sleep 0.01; done", 20ms).signal() == SIGKILL);
    CHECK(no_child_is_left());
}

TEST_CASE("child: kill() of a group reaches what the program has started") {
    auto body = []() -> peal::task<> {
        command what = shell("sleep 1000 & sleep 1000 & echo; wait");
        what.own_group().output(standard_stream::pipe());
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        peal::process::child program = co_await std::move(starting);
        std::array<std::byte, 1> ready;
        co_await program.output().read(ready);
        CHECK(program.kill(SIGKILL));
        std::size_t end = co_await program.output().read(ready);  // the end: nobody has the pipe any more
        CHECK(end == 0);
        exit_status status = co_await program.wait();
        CHECK(status.signal() == SIGKILL);
    };
    peal::pool pool(peal::pool_options(1));
    pool.run(body);
}

TEST_CASE("child: one that is dropped is killed and leaves no zombie, also without a pool") {
    std::size_t before = support::open_descriptors();
    {
        std::vector<peal::process::child> kept;
        {
            peal::pool pool(peal::pool_options(2));
            for (int i = 0; i < 20; ++i) kept.push_back(pool.run(peal::process::start, command("sleep", "1000")));
            for (int i = 0; i < 10; ++i) kept.pop_back();
            CHECK_FALSE(kept.empty());
        }
        CHECK(::kill(kept.front().id(), 0) == 0);
        kept.front() = peal::process::child();
    }
    CHECK(no_child_is_left());
    CHECK(descriptors_become(before));
}

TEST_CASE("run: stopped by a timeout, it kills the program") {
    auto body = []() -> peal::task<> {
        peal::task<peal::process::run_result> running = peal::process::run(shell("trap '' TERM; echo; exec sleep 1000"));
        auto limited = peal::timeout(30ms, std::move(running));
        auto ended = co_await peal::as_result(limited);
        REQUIRE_FALSE(ended);
        CHECK(ended.error().code() == std::errc::timed_out);
    };
    peal::pool pool(peal::pool_options(2));
    pool.run(body);
    CHECK(no_child_is_left());
}

TEST_CASE("run: 200 programs at once") {
    auto one = [](int number, std::atomic<int>& right) -> peal::task<> {
        std::string text = std::to_string(number);
        peal::task<peal::process::run_result> running = peal::process::run(shell("cat; exit " + std::to_string(number % 100)), text, 100);
        peal::process::run_result result = co_await std::move(running);
        right += result.output == text && result.status.code() == number % 100;
    };
    auto all = [&one](std::atomic<int>& right) -> peal::task<> {
        peal::scope programs;
        for (int i = 0; i < 200; ++i) programs.spawn(one, i, std::ref(right));
        co_await programs.join();
    };
    std::size_t before = support::open_descriptors();
    {
        std::atomic<int> right{0};
        peal::pool pool(peal::pool_options(2));
        pool.run(all, std::ref(right));
        CHECK(right == 200);
    }
    CHECK(no_child_is_left());
    CHECK(descriptors_become(before));
}

TEST_CASE("child: whose end somebody else has taken") {
    auto child = support::run_case("child: SIGCHLD is ignored");
    INFO(child.output);
    CHECK(child.succeeded());
}
TEST_CASE("child: SIGCHLD is ignored", "[.child]") {
    auto body = []() -> peal::task<std::string> {
        command what("cat");
        what.input(standard_stream::pipe());
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        peal::process::child program = co_await std::move(starting);
        program.input().close();
        peal::task<exit_status> waiting = program.wait();
        auto ended = co_await peal::as_result(std::move(waiting));
        co_return ended ? "ended" : ended.error().message();
    };
    ::signal(SIGCHLD, SIG_IGN);
    peal::pool pool(peal::pool_options(1));
    std::string said = pool.run(body);
    INFO(said);
    CHECK(said.find("SIGCHLD is ignored") != std::string::npos);
    CHECK(said.ends_with("No child processes"));
}

namespace {

/// Numbers of descriptors that stand for programs.
std::vector<int> pidfds() {
    std::vector<int> found;
    for (int fd = 0; fd < 1024; ++fd) {
        std::array<char, 64> text{};
        std::string name = "/proc/self/fd/" + std::to_string(fd);
        if (::readlink(name.c_str(), text.data(), text.size() - 1) > 0 && std::string(text.data()) == "anon_inode:[pidfd]") found.push_back(fd);
    }
    return found;
}

peal::task<> start_and_drop(int count) {
    std::vector<peal::process::child> programs;
    for (int i = 0; i < count; ++i) {
        command what("/bin/sleep", "100");
        peal::task<peal::process::child> starting = peal::process::start(std::move(what));
        programs.push_back(co_await std::move(starting));
    }
}

}  // namespace

TEST_CASE("child: programs that are dropped close their own descriptors and no others, also where copies of these are about") {
    peal::pool pool(peal::pool_options(1));
    std::size_t before = support::open_descriptors();
    for (int round = 0; round < 5; ++round) {
        std::vector<int> copies;
        auto copied = [&copies]() -> peal::task<> {
            command what("/bin/sleep", "100");
            peal::task<peal::process::child> starting = peal::process::start(std::move(what));
            peal::process::child program = co_await std::move(starting);
            for (int fd : pidfds()) copies.push_back(::fcntl(fd, F_DUPFD_CLOEXEC, 100));  // as a program has that is just starting
        };
        pool.run(copied);
        pool.run(start_and_drop, 3);
        std::vector<int> others;
        for (int i = 0; i < 50; ++i) others.push_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
        pool.run(start_and_drop, 3);
        REQUIRE(no_child_is_left());
        for (int fd : others) CHECK(::close(fd) == 0);
        for (int fd : copies) ::close(fd);
    }
    CHECK(descriptors_become(before));
}
