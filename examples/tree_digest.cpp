// SPDX-License-Identifier: MIT

// Shows: files on the rings, CPU work on the workers, a bound on what runs at a time, an orderly end.
// Run:   tree_digest /usr/share > digests         Expect: `sha256sum -c --quiet digests` has nothing to say.
//
// The tree is walked by a blocking thread (fs::directory_walk); a fixed number of digesters, each with one
// file and one buffer, take files from it (digest/file_list.hpp), read and hash them (digest/digester.hpp);
// the main task writes what they found. Nothing here waits for anything without a co_await, and everything is
// bounded: open files, buffers, files listed, lines not written.

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <exception>
#include <string>

#include <peal/peal.hpp>

#include "digest/digester.hpp"
#include "digest/options.hpp"
#include "digest/output.hpp"
#include "digest/progress.hpp"

using namespace examples;

namespace {

/// A quarter of what the system allows, at most: rings, folders on the way down, and what the program was
/// started with need some, too.
unsigned bound_of_open_files(unsigned wanted) noexcept {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return wanted;
    return static_cast<unsigned>(std::clamp<rlim_t>(limit.rlim_cur / 4, 1, wanted));
}

class shift {
  public:
    shift(digester& who, peal::join_handle<bool> work) : who(who), work(std::move(work)) {}
    digester& who;
    peal::join_handle<bool> work;
};

peal::task<void> digest_tree(const digest_options& options, bool with_progress, bool& all_read) {
    output lines(STDOUT_FILENO, "standard output");
    output messages(STDERR_FILENO, "standard error");
    sha256_algorithm algorithm;
    file_list files(options.root);
    totals done;
    std::deque<digester> crew;
    peal::scope tasks;  // on every way out of here it stops and joins them, before what they use is gone

    co_await files
        .fetch();  // one batch may be all: without it here, most of the crew would find nothing to do
    std::deque<shift> shifts;
    for (unsigned i = bound_of_open_files(options.open_files); i != 0; --i) {
        digester& each = crew.emplace_back(algorithm, files, done);
        shifts.emplace_back(each, tasks.spawn(&digester::work, &each));
    }
    if (with_progress)
        tasks.spawn(peal::spawn_options("progress"), show_progress, std::cref(done), std::ref(messages));

    while (!shifts.empty()) {
        shift next = std::move(shifts.front());
        shifts.pop_front();
        bool more = co_await next.work;
        if (!next.who.messages.empty()) {
            all_read = false;
            if (with_progress) next.who.messages.insert(0, clear_line);
            co_await messages.write_if_possible(next.who.messages);
            next.who.messages.clear();
        }
        co_await lines.write(next.who.lines);
        next.who.lines.clear();
        if (more) shifts.emplace_back(next.who, tasks.spawn(&digester::work, &next.who));
    }
    tasks.request_stop();  // the progress
    co_await tasks.join();
}

void say(const std::string& what) { std::fprintf(stderr, "tree_digest: %s\n", what.c_str()); }

int run(const digest_options& options, bool with_progress) {
    bool all_read = true;
    int signal = 0;
    std::string failure;
    try {
        peal::pool pool(peal::pool_options(options.workers));
        signal = peal::process::run_until_terminated(pool, digest_tree, std::cref(options), with_progress,
                                                     std::ref(all_read));
    } catch (const std::exception& thrown) {
        failure = thrown.what();
    }
    if (with_progress) std::fprintf(stderr, "%s", clear_line.data());
    if (signal != 0) {
        say("stopped by signal " + std::to_string(signal));
        return 128 + signal;
    }
    // Some file systems tell only now that there was no room.
    if (failure.empty() && ::close(STDOUT_FILENO) != 0)
        failure = std::string("standard output: ") + std::strerror(errno);
    if (!failure.empty()) {
        say(failure);
        return 1;
    }
    return all_read ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    fill_standard_streams();
    digest_options options(argc, argv);
    return run(options, progress_is_wanted());
}
