// SPDX-License-Identifier: MIT

// main() of the benchmark programs: Google Benchmark's, with other defaults and with --smoke.
//
//   --smoke   the least that shows that every benchmark works; takes below two seconds
//   else      five repetitions in random order, each after a warm-up; median, mean and spread on the terminal. With
//             --benchmark_out=FILE every repetition goes into a JSON file, with CPU, kernel, compiler and commit.
// Every flag of Google Benchmark may be given and wins over these defaults.

#include <sys/utsname.h>

#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "bench.hpp"
#include "commit.hpp"

namespace {

bool is_smoke_run = false;

std::string cpu_model() {
    std::ifstream cpus("/proc/cpuinfo");
    for (std::string line; std::getline(cpus, line);) {
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    }
    return "unknown";
}

std::string kernel_release() {
    utsname name{};
    return ::uname(&name) == 0 ? name.release : "unknown";
}

constexpr const char* compiler =
#if defined(__clang__)
    "clang " __clang_version__;
#else
    "g++ " __VERSION__;
#endif

}  // namespace

namespace bench {

bool smoke() noexcept { return is_smoke_run; }

}  // namespace bench

int main(int argc, char** argv) {
    std::vector<std::string> given;
    for (int i = 1; i < argc; ++i) {
        if (std::strcmp(argv[i], "--smoke") == 0) {
            is_smoke_run = true;
        } else {
            given.emplace_back(argv[i]);
        }
    }
    std::vector<std::string> flags = {argv[0]};
    if (is_smoke_run) {
        flags.insert(flags.end(), {"--benchmark_min_time=0.001", "--benchmark_repetitions=1"});
    } else {
        flags.insert(flags.end(), {"--benchmark_min_time=0.1", "--benchmark_min_warmup_time=0.05", "--benchmark_repetitions=5",
                                   "--benchmark_enable_random_interleaving=true", "--benchmark_display_aggregates_only=true"});
    }
    flags.insert(flags.end(), given.begin(), given.end());
    std::vector<char*> pointers;
    for (std::string& flag : flags) pointers.push_back(flag.data());
    int count = static_cast<int>(pointers.size());

    benchmark::AddCustomContext("cpu", cpu_model());
    benchmark::AddCustomContext("kernel", kernel_release());
    benchmark::AddCustomContext("compiler", compiler);
    benchmark::AddCustomContext("commit", bench_commit);
    benchmark::Initialize(&count, pointers.data());
    if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
    bench::add_all();
    std::size_t ran = benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return ran != 0 ? 0 : 1;  // a filter that fits nothing
}
