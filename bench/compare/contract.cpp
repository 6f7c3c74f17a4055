// SPDX-License-Identifier: MIT

#include "contract.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace {

bool is_smoke_run = false;

[[noreturn]] void refuse(const char* program) {
    std::fprintf(stderr, "usage: %s --list, --version, or WORKLOAD --threads N [--smoke]\n", program);
    std::exit(2);
}

}  // namespace

namespace bench {

bool smoke() noexcept { return is_smoke_run; }

}  // namespace bench

int main(int argc, char** argv) {
    if (argc == 2 && std::string_view(argv[1]) == "--list") {
        for (const compare::workload& each : compare::workloads()) std::puts(each.name);
        return 0;
    }
    if (argc == 2 && std::string_view(argv[1]) == "--version") {
        std::puts(compare::version().c_str());
        return 0;
    }
    if (argc < 4 || argc > 5 || std::string_view(argv[2]) != "--threads") refuse(argv[0]);
    std::string_view digits = argv[3];
    unsigned threads = 0;
    if (std::from_chars(digits.begin(), digits.end(), threads).ptr != digits.end() || threads == 0) refuse(argv[0]);
    is_smoke_run = argc == 5 && std::string_view(argv[4]) == "--smoke";
    for (const compare::workload& each : compare::workloads()) {
        if (std::string_view(each.name) != argv[1]) continue;
        compare::measured result = each.run(threads);
        std::printf("%s %u %.3f %lld\n", each.name, threads, result.ns_per_item, static_cast<long long>(result.items));
        return 0;
    }
    refuse(argv[0]);
}
