// SPDX-License-Identifier: MIT

// peal doctor: what this system gives peal. Exit status: 0 pools use io_uring; 1 they use epoll; 2 no pool can be made, or wrong arguments.

#include <cstdio>
#include <cstring>

#include <nlohmann/json.hpp>

#include "findings.hpp"

namespace {

using peal::doctor::report;

void print_text(const report& found) {
    std::printf("Linux %s, peal built with liburing %s\n", found.kernel.c_str(), found.liburing.c_str());
    std::printf("driver of a pool: %s\n", found.driver.empty() ? "none" : found.driver.c_str());
    if (!found.refusal.empty()) std::printf("\n%s\n", found.refusal.c_str());
    std::printf("\n");
    for (const auto& each : found.findings) {
        std::printf("  %-3s  %s\n", each.there ? "yes" : "NO", each.name.c_str());
        if (!each.there) std::printf("         costs:  %s\n         change: %s\n", each.costs.c_str(), each.change.c_str());
    }
    std::printf("\n");
    for (const auto& each : found.settings) std::printf("  %-28s %-16s %s\n", each.name.c_str(), each.value.c_str(), each.meaning.c_str());
}

void print_json(const report& found) {
    nlohmann::ordered_json all;
    all["kernel"] = found.kernel;
    all["liburing"] = found.liburing;
    all["driver"] = found.driver;
    all["refusal"] = found.refusal;
    for (const auto& each : found.findings) {
        all["findings"].push_back({{"name", each.name}, {"there", each.there}, {"costs", each.costs}, {"change", each.change}});
    }
    for (const auto& each : found.settings) {
        all["settings"].push_back({{"name", each.name}, {"value", each.value}, {"meaning", each.meaning}});
    }
    std::printf("%s\n", all.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace).c_str());
}

}  // namespace

int main(int count, char** arguments) {
    bool json = count == 3 && std::strcmp(arguments[2], "--json") == 0;
    if (count < 2 || std::strcmp(arguments[1], "doctor") != 0 || (count > 2 && !json)) {
        bool is_asked_for = count > 1 && (std::strcmp(arguments[count - 1], "--help") == 0 || std::strcmp(arguments[count - 1], "-h") == 0);
        std::fprintf(is_asked_for ? stdout : stderr, "usage: peal doctor [--json]\n"
                             "What this system gives peal, what each absence costs, and how to change it.\n"
                             "Exit status: 0 pools use io_uring; 1 they use epoll; 2 no pool can be made, or wrong arguments.\n");
        return is_asked_for ? 0 : 2;
    }
    report found = peal::doctor::examine();
    json ? print_json(found) : print_text(found);
    return found.driver == "uring" ? 0 : found.driver.empty() ? 2 : 1;
}
