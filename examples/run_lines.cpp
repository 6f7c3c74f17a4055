// SPDX-License-Identifier: MIT

// Shows: programs that are started and waited for without a thread each, so many at a time; a limit in time that ends them and what they have started; standard
//        input and output as streams; no program is left behind, however this one ends.
// Run:   ls *.gz | run_lines -j 4 -t 60 gzip -t     Expect: for each line the program is run with that line as its last argument. What it writes comes out when
//        it has ended, each of its lines behind the one it was run for; then, if it failed, why. Ends with 1 if one has failed.

#include <signal.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <peal/peal.hpp>

struct settings {
    unsigned at_once = 4;
    std::chrono::seconds limit{0};  // 0: none
    std::vector<std::string> words;
};

/// Where results go, whole ones in the order in which they come.
class results {
  public:
    peal::task<> add(std::string text, bool failed) {
        auto turn = co_await turn_.lock();
        if (failed) ++failed_;
        co_await output_.write_all(peal::io::bytes_of(text));
    }
    /// Read when nothing runs any more.
    unsigned failed() const noexcept { return failed_; }

  private:
    peal::mutex turn_;
    peal::io::pipe_writer output_ = peal::process::standard_output();
    unsigned failed_ = 0;
};

void append_lines(std::string& to, std::string_view label, std::string_view text) {
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        to.append(label).append(": ").append(line).append("\n");
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
}

peal::task<> run_one(const settings& how, results& all, std::string line, [[maybe_unused]] peal::semaphore::permit counted) {
    peal::process::command what(how.words.front());
    for (std::size_t i = 1; i < how.words.size(); ++i) what.argument(how.words[i]);
    what.argument(line).input(peal::process::standard_stream::null()).errors(peal::process::standard_stream::same_as_output()).own_group();
    std::string text;
    std::string trouble;
    try {
        auto limit = how.limit.count() != 0 ? how.limit : std::chrono::seconds(std::chrono::hours(24 * 365));
        auto ended = co_await peal::timeout(limit, peal::process::run(std::move(what)));
        append_lines(text, line, ended.output);
        if (ended.output_bytes > ended.output.size()) append_lines(text, line, "... " + std::to_string(ended.output_bytes) + " bytes in all");
        if (!ended.status.success()) trouble = ended.status.to_string();
    } catch (const std::system_error& failure) {
        if (peal::is_canceled(failure)) throw;
        trouble = failure.what();
    }
    if (!trouble.empty()) append_lines(text, line, trouble);
    co_await all.add(std::move(text), !trouble.empty());
}

peal::task<> read_lines(const settings& how, results& all, peal::scope& running, peal::semaphore& limit) {
    peal::io::pipe_reader input = peal::process::standard_input();
    peal::io::buffered_reader lines(input, 128 * 1024);
    for (;;) {
        auto permit = co_await limit.acquire();
        auto line = co_await lines.read_line(100 * 1024);
        if (!line) break;
        running.spawn(run_one, std::cref(how), std::ref(all), std::string(*line), std::move(permit));
    }
}

peal::task<> run_lines(const settings& how, results& all) {
    peal::semaphore limit(how.at_once);
    peal::scope running;  // one that cannot write ends all the others, and the reading
    running.spawn(read_lines, std::cref(how), std::ref(all), std::ref(running), std::ref(limit));
    co_await running.join();
}

int main(int argc, char** argv) {
    settings how;
    auto usage = [](const char* wrong) {
        std::fprintf(stderr, "run_lines: %s\nusage: ... | run_lines [-j AT_ONCE] [-t SECONDS] PROGRAM [ARGUMENT...]\n", wrong);
        return 2;
    };
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i += 2) {
        std::string_view option = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
        unsigned number = 0;
        auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
        if (error != std::errc() || end != value.data() + value.size() || number == 0) return usage("a number from 1 on is missing behind an option");
        if (option == "-j") {
            how.at_once = number;
        } else if (option == "-t") {
            how.limit = std::chrono::seconds(number);
        } else {
            return usage("there are -j and -t");
        }
    }
    how.words.assign(argv + i, argv + argc);
    if (how.words.empty()) return usage("which program?");
    ::signal(SIGPIPE, SIG_IGN);  // whoever reads our output may end: then writing fails, and that ends us in order
    try {
        results all;
        peal::pool pool(peal::pool_options(2));
        if (int number = peal::process::run_until_terminated(pool, run_lines, std::cref(how), std::ref(all))) return 128 + number;
        return all.failed() == 0 ? 0 : 1;
    } catch (const std::exception& failure) {
        std::fprintf(stderr, "run_lines: %s\n", failure.what());
        return 1;
    }
}
