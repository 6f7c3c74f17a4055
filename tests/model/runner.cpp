// SPDX-License-Identifier: MIT

// Runs the models and cases whose names contain one of the arguments (all without any), prints a table, and stops at the first that fails.
// With PEAL_MODEL_REPLAY in the environment the models run that one execution and print its trace.

#include "mutants.hpp"
#include "runner.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <peal/detail/config.hpp>

namespace model {

namespace {

struct entry {
    const char* name;
    settings bounds;
    bool is_model;
    void (*body)();
};

std::vector<entry>& entries() {
    static std::vector<entry> all;
    return all;
}

bool case_failed;
std::string noted;
std::uint64_t noted_executions;

bool run_model(const entry& each, const char* replayed) {
    auto begin = std::chrono::steady_clock::now();
    outcome result = replayed != nullptr ? replay(each.bounds, each.body, replayed) : run(each.bounds, each.body);
    double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    char bounds[32];
    std::snprintf(bounds, sizeof bounds, "%s %u/%u/%u", result.failed ? "FAILED" : result.complete ? "complete" : "bounded ",
                  each.bounds.preemptions, each.bounds.stale_reads, each.bounds.spurious_failures);
    std::printf("%10llu  %-16s %6.2f s  %s\n", static_cast<unsigned long long>(result.executions), bounds, seconds, each.name);
    if (result.failed || replayed != nullptr) std::printf("%s", result.report.c_str());
    return !result.failed;
}

bool run_case(const entry& each) {
    case_failed = false;
    noted.clear();
    noted_executions = 0;
    each.body();
    std::printf("%10llu  %-16s %8s  %s%s%s\n", static_cast<unsigned long long>(noted_executions), case_failed ? "FAILED" : "as expected", "", each.name,
                noted.empty() ? "" : ": ", noted.c_str());
    return !case_failed;
}

}  // namespace

registration::registration(const char* name, const settings& bounds, void (*body)()) {
    entries().push_back({name, bounds, true, body});
}
registration::registration(const char* name, void (*body)()) { entries().push_back({name, settings(), false, body}); }

void require(bool holds, const std::string& what, std::source_location where) {
    if (holds) return;
    std::printf("%s:%u: %s\n", where.file_name(), static_cast<unsigned>(where.line()), what.c_str());
    case_failed = true;
}

void note(const std::string& text, std::uint64_t executions) {
    noted += (noted.empty() ? "" : "; ") + text;
    noted_executions += executions;
}

}  // namespace model

namespace peal::detail {

/// A broken contract of the library is a failure of the execution, with its trace.
void assertion_failed(const char* what, const char* file, int line) noexcept {
    if (model::is_running) model::fail("assertion", std::string(what) + " (" + file + ':' + std::to_string(line) + ')');
    std::fprintf(stderr, "peal: %s (%s:%d)\n", what, file, line);
    std::abort();
}

}  // namespace peal::detail

namespace {

/// No arguments: all.
bool is_wanted(const char* name, int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        if (std::strstr(name, argv[i]) != nullptr) return true;
    }
    return argc == 1;
}

/// For mutate.py: which operations of the library each model reaches, in a few executions.
int list_operations(int argc, char** argv) {
    for (model::entry& each : model::entries()) {
        if (!each.is_model || !is_wanted(each.name, argc, argv)) continue;
        model::note_operations();
        each.bounds.at_most(500).at_random(500);
        static_cast<void>(model::run(each.bounds, each.body));
        std::printf("model %s\n%s", each.name, model::noted_operations().c_str());
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const char* replayed = std::getenv("PEAL_MODEL_REPLAY");
    if (std::getenv("PEAL_MODEL_LIST") != nullptr) return list_operations(argc, argv);
    if (const char* mutant = std::getenv("PEAL_MODEL_MUTANT")) {
        if (!model::mutate(mutant)) {
            std::fprintf(stderr, "not understood: PEAL_MODEL_MUTANT=%s\n", mutant);
            return 2;
        }
        // Some hundred times all models: those that are not searched to the end get less time.
        for (model::entry& each : model::entries()) {
            each.bounds.at_most(std::min<std::uint64_t>(each.bounds.executions, 40'000)).at_random(each.bounds.random_executions / 5);
        }
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("executions  search (switches/stale/spurious)\n");
    unsigned count = 0;
    for (const model::entry& each : model::entries()) {
        if (!is_wanted(each.name, argc, argv)) continue;
        ++count;
        if (!(each.is_model ? model::run_model(each, replayed) : model::run_case(each))) return 1;
    }
    std::printf("%u models and cases\n", count);
    return count != 0 ? 0 : 1;
}
