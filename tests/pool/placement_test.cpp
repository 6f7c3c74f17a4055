// SPDX-License-Identifier: MIT

// In which order workers take CPUs, on machines made by hand.

#include "pool/placement.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>

#include "support/catch.hpp"
#include "support/sanitized.hpp"

using peal::one_per;
using peal::placement;
using peal::rt::cpu_place;
using peal::rt::in_order;
using peal::rt::topology;

namespace {

using list = std::vector<int>;
using group = int cpu_place::*;

/// Nodes of so many caches, of so many cores, of so many CPUs; a package is a node. Numbered as Linux does it on most machines: first one
/// CPU of each core, then the second of each.
topology machine(int nodes, int caches, int cores, int threads) {
    topology made;
    int all_cores = nodes * caches * cores;
    for (int thread = 0; thread < threads; ++thread) {
        for (int core = 0; core < all_cores; ++core) {
            int cache = core / cores;
            int node = cache / caches;
            made.push_back({thread * all_cores + core, core, cache * cores, node * caches * cores, node});
        }
    }
    return made;
}

topology only(const topology& all, const list& allowed) {
    topology left;
    for (const cpu_place& each : all) {
        if (std::ranges::count(allowed, each.cpu) != 0) left.push_back(each);
    }
    return left;
}

/// How many CPUs of the first `count` are in each group.
std::map<int, int> spread_of(const topology& all, const list& order, std::size_t count, group by) {
    std::span<const int> begin(order.data(), count);
    std::map<int, int> taken;
    for (const cpu_place& each : all) taken[each.*by] += static_cast<int>(std::ranges::count(begin, each.cpu));
    return taken;
}
int groups_used(const std::map<int, int>& taken) {
    return static_cast<int>(std::ranges::count_if(taken, [](const auto& each) { return each.second != 0; }));
}
/// Into how few groups so many CPUs go.
int groups_needed(const topology& all, std::size_t count, group by) {
    std::map<int, std::size_t> sizes;
    for (const cpu_place& each : all) ++sizes[each.*by];
    list descending;
    for (auto& [number, size] : sizes) descending.push_back(static_cast<int>(size));
    std::ranges::sort(descending, std::greater());
    int needed = 0;
    for (int left = static_cast<int>(count); left > 0; ++needed) left -= descending[static_cast<std::size_t>(needed)];
    return needed;
}

topology first_of_each_core(topology all) {
    std::ranges::sort(all, {}, &cpu_place::cpu);
    std::set<int> seen;
    std::erase_if(all, [&seen](const cpu_place& each) { return !seen.insert(each.core).second; });
    return all;
}

list numbers(const topology& cpus) {
    list found;
    for (const cpu_place& each : cpus) found.push_back(each.cpu);
    std::ranges::sort(found);
    return found;
}

/// What holds on every machine. Empty: all of it.
std::string wrong_with(const topology& all) {
    for (placement how : {placement::anywhere, placement::pack, placement::spread}) {
        for (one_per unit : {one_per::cpu, one_per::core}) {
            topology usable = unit == one_per::core ? first_of_each_core(all) : all;
            list order = in_order(all, unit, how);
            list sorted = order;
            std::ranges::sort(sorted);
            if (sorted != numbers(usable)) return "not each CPU or core once";
            int cores = static_cast<int>(first_of_each_core(all).size());
            int nodes = static_cast<int>(spread_of(all, order, 0, &cpu_place::node).size());
            for (std::size_t count = 1; count <= order.size(); ++count) {
                int workers = static_cast<int>(count);
                int used_nodes = groups_used(spread_of(usable, order, count, &cpu_place::node));
                int used_cores = groups_used(spread_of(usable, order, count, &cpu_place::core));
                if (how == placement::pack && used_nodes != groups_needed(usable, count, &cpu_place::node)) return "packed on too many nodes";
                if (how == placement::spread && used_nodes != std::min(workers, nodes)) return "spread over too few nodes";
                if (how == placement::spread && used_cores != std::min(workers, cores)) return "spread over too few cores";
            }
        }
    }
    return "";
}

/// On machines whose groups are all alike more holds.
std::string wrong_with_even(const topology& all) {
    for (group by : {&cpu_place::core, &cpu_place::cache, &cpu_place::package, &cpu_place::node}) {
        list packed = in_order(all, one_per::cpu, placement::pack);
        list spread = in_order(all, one_per::cpu, placement::spread);
        for (std::size_t count = 1; count <= all.size(); ++count) {
            if (groups_used(spread_of(all, packed, count, by)) != groups_needed(all, count, by)) return "packed into too many groups";
            auto taken = spread_of(all, spread, count, by);
            auto [least, most] = std::ranges::minmax_element(taken, {}, [](const auto& each) { return each.second; });
            if (most->second - least->second > 1) return "spread unevenly";
        }
    }
    return wrong_with(all);
}

}  // namespace

TEST_CASE("placement: two nodes of four cores of two CPUs") {
    topology all = machine(2, 1, 4, 2);  // cores 0-3 are node 0, and CPU 8 + i is at core i
    CHECK(in_order(all, one_per::cpu, placement::pack) == list{0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15});
    CHECK(in_order(all, one_per::core, placement::pack) == list{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(in_order(all, one_per::cpu, placement::spread) == list{0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15});
    CHECK(in_order(all, one_per::core, placement::spread) == list{0, 4, 1, 5, 2, 6, 3, 7});
    CHECK(in_order(all, one_per::core, placement::anywhere).size() == 8);
    CHECK(in_order(all, one_per::cpu, placement::anywhere).size() == 16);
    std::ranges::reverse(all);  // whatever order they come in
    CHECK(in_order(all, one_per::core, placement::pack) == list{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(in_order(all, one_per::cpu, placement::pack) == list{0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15});
}

TEST_CASE("placement: caches within a node") {
    topology all = machine(2, 2, 2, 1);  // node 0: CPUs 0 1 | 2 3, node 1: 4 5 | 6 7
    CHECK(in_order(all, one_per::cpu, placement::pack) == list{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(in_order(all, one_per::cpu, placement::spread) == list{0, 4, 2, 6, 1, 5, 3, 7});
}

TEST_CASE("placement: packages of several nodes, and nodes of several packages") {
    topology nodes_in_package = machine(4, 1, 2, 1);  // nodes 0 and 1 are in one package, 2 and 3 in the other
    for (cpu_place& each : nodes_in_package) each.package = each.node / 2 * 4;
    CHECK(in_order(nodes_in_package, one_per::cpu, placement::spread) == list{0, 4, 2, 6, 1, 5, 3, 7});
    CHECK(in_order(nodes_in_package, one_per::cpu, placement::pack) == list{0, 1, 2, 3, 4, 5, 6, 7});
    topology packages_in_node = machine(4, 1, 2, 1);
    for (cpu_place& each : packages_in_node) each.node /= 2;
    CHECK(in_order(packages_in_node, one_per::cpu, placement::spread) == list{0, 4, 2, 6, 1, 5, 3, 7});
    CHECK(in_order(packages_in_node, one_per::cpu, placement::pack) == list{0, 1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("placement: what is left of a machine by affinity") {
    topology all = machine(2, 1, 4, 2);
    // One core's second CPU, and three cores of node 1: few workers have room together there.
    topology uneven = only(all, {10, 4, 5, 13, 7});
    CHECK(in_order(uneven, one_per::cpu, placement::pack) == list{5, 13, 4, 7, 10});
    CHECK(in_order(uneven, one_per::core, placement::pack) == list{4, 5, 7, 10});
    CHECK(in_order(uneven, one_per::cpu, placement::spread) == list{4, 10, 5, 7, 13});
    CHECK(in_order(uneven, one_per::core, placement::spread) == list{4, 10, 5, 7});
    // A core whose first CPU may not be used is the CPU that may.
    CHECK(in_order(only(all, {8, 9}), one_per::core, placement::spread) == list{8, 9});
    CHECK(in_order(only(all, {0, 8}), one_per::core, placement::pack) == list{0});
    CHECK(in_order(only(all, {0, 8}), one_per::cpu, placement::spread) == list{0, 8});
}

TEST_CASE("placement: large and small cores") {
    // Two cores of two CPUs and four of one, at one cache.
    topology all = {{0, 0, 0, 0, 0}, {1, 0, 0, 0, 0}, {2, 2, 0, 0, 0}, {3, 2, 0, 0, 0},
                    {4, 4, 0, 0, 0}, {5, 5, 0, 0, 0}, {6, 6, 0, 0, 0}, {7, 7, 0, 0, 0}};
    CHECK(in_order(all, one_per::cpu, placement::spread) == list{0, 2, 4, 5, 6, 7, 1, 3});
    CHECK(in_order(all, one_per::cpu, placement::pack) == list{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(wrong_with(all) == "");
}

TEST_CASE("placement: one CPU, and CPUs of which nothing is known") {
    topology single = {{5, 5}};
    topology unknown = {{3, 3}, {17, 17}, {1500, 1500}, {9, 9}};
    for (placement how : {placement::anywhere, placement::pack, placement::spread}) {
        for (one_per unit : {one_per::cpu, one_per::core}) {
            CHECK(in_order(single, unit, how) == list{5});
            CHECK(in_order(unknown, unit, how) == list{3, 9, 17, 1500});
        }
    }
}

TEST_CASE("placement: machines of many shapes") {
    for (int nodes : {1, 2, 3}) {
        for (int caches : {1, 2}) {
            for (int cores : {1, 3}) {
                for (int threads : {1, 2, 4}) {
                    INFO(nodes << " nodes, " << caches << " caches, " << cores << " cores, " << threads << " threads");
                    CHECK(wrong_with_even(machine(nodes, caches, cores, threads)) == "");
                }
            }
        }
    }
}

TEST_CASE("placement: every affinity of a machine of eight CPUs") {
    topology all = machine(2, 1, 2, 2);
    for (unsigned mask = 1; mask < 256; ++mask) {
        topology left = all;
        std::erase_if(left, [mask](const cpu_place& each) { return (mask >> each.cpu & 1) == 0; });
        INFO("mask " << mask);
        REQUIRE(wrong_with(left) == "");
    }
}

TEST_CASE("placement: any affinities of larger machines, with holes in the numbering") {
    std::mt19937 random(20);
    for (int round = 0; round < (support::is_sanitized ? 100 : 1000); ++round) {
        topology all = machine(3, 2, 3, 2);
        for (cpu_place& each : all) each.cpu = each.cpu * 7 + 2;
        auto keep = 1 + random() % 4;
        std::erase_if(all, [&](const cpu_place&) { return random() % 4 >= keep; });
        if (all.empty()) continue;
        INFO("round " << round);
        REQUIRE(wrong_with(all) == "");
    }
}
