// SPDX-License-Identifier: MIT

// Runs the models and cases whose names contain the argument (all without one), prints a table, and stops at the first that fails.
// With PEAL_MODEL_REPLAY in the environment the models run that one execution and print its trace.

#include "runner.hpp"

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

int main(int argc, char** argv) {
    const char* wanted = argc > 1 ? argv[1] : "";
    const char* replayed = std::getenv("PEAL_MODEL_REPLAY");
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    std::printf("executions  search (switches/stale/spurious)\n");
    unsigned count = 0;
    for (const model::entry& each : model::entries()) {
        if (std::strstr(each.name, wanted) == nullptr) continue;
        ++count;
        if (!(each.is_model ? model::run_model(each, replayed) : model::run_case(each))) return 1;
    }
    std::printf("%u models and cases\n", count);
    return count != 0 ? 0 : 1;
}
