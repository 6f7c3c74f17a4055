// SPDX-License-Identifier: MIT

#include "placement.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <span>

namespace peal::rt {
namespace {

/// A way to divide CPUs into groups.
using level = int cpu_place::*;
using levels = std::span<const level>;

std::size_t count_groups(const topology& cpus, level by) {
    std::set<int> numbers;
    for (const cpu_place& each : cpus) numbers.insert(each.*by);
    return numbers.size();
}

/// Which is which depends: a package has several NUMA nodes on some machines, a node several packages on others.
std::vector<level> coarse_to_fine(const topology& cpus) {
    std::multimap<std::size_t, level> by_count;
    for (level by : {&cpu_place::node, &cpu_place::package, &cpu_place::cache, &cpu_place::core}) by_count.emplace(count_groups(cpus, by), by);
    std::vector<level> sorted;
    for (auto& [count, by] : by_count) sorted.push_back(by);
    return sorted;
}

/// The groups at one level. Larger ones first, so that few workers that are to be together find room in one; then by their lowest CPU.
std::vector<topology> divide(const topology& cpus, level by) {
    std::map<int, topology> by_number;
    for (const cpu_place& each : cpus) by_number[each.*by].push_back(each);
    std::vector<topology> groups;
    for (auto& [number, group] : by_number) groups.push_back(std::move(group));
    std::ranges::sort(groups, [](const topology& a, const topology& b) {
        return a.size() != b.size() ? a.size() > b.size() : a.front().cpu < b.front().cpu;
    });
    return groups;
}

std::vector<int> one_after_the_other(const std::vector<std::vector<int>>& parts) {
    std::vector<int> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
}

/// The first of each, then the second of each that has one.
std::vector<int> in_turn(const std::vector<std::vector<int>>& parts) {
    std::vector<int> all;
    for (std::size_t i = 0, before = 0;; ++i, before = all.size()) {
        for (const auto& part : parts) {
            if (i < part.size()) all.push_back(part[i]);
        }
        if (all.size() == before) return all;
    }
}

std::vector<int> arrange(const topology& cpus, levels below, placement how) {
    std::vector<std::vector<int>> parts;
    if (below.empty()) {
        for (const cpu_place& each : cpus) parts.push_back({each.cpu});
    } else {
        for (const topology& group : divide(cpus, below.front())) parts.push_back(arrange(group, below.subspan(1), how));
    }
    return how == placement::spread ? in_turn(parts) : one_after_the_other(parts);
}

/// The first CPU of each core, the second of each, and so on.
std::vector<topology> by_rank_in_core(const topology& cpus) {
    std::map<int, std::size_t> seen;
    std::vector<topology> ranks;
    for (const cpu_place& each : cpus) {
        std::size_t rank = seen[each.core]++;
        if (rank == ranks.size()) ranks.emplace_back();
        ranks[rank].push_back(each);
    }
    return ranks;
}

}  // namespace

std::vector<int> in_order(topology cpus, one_per unit, placement how) {
    std::ranges::sort(cpus, {}, &cpu_place::cpu);
    std::vector<level> all_levels = coarse_to_fine(cpus);
    std::vector<topology> ranks = by_rank_in_core(cpus);
    if (unit == one_per::core) ranks.resize(std::min<std::size_t>(ranks.size(), 1));
    if (unit == one_per::cpu && how != placement::spread) ranks = {cpus};
    std::vector<std::vector<int>> parts;
    for (const topology& rank : ranks) parts.push_back(arrange(rank, all_levels, how));
    return one_after_the_other(parts);
}

}  // namespace peal::rt
