// SPDX-License-Identifier: MIT

// What hwloc says of CPUs: of made-up machines, of this one, and where /sys is missing. Built only if peal is built with hwloc.

#include <peal/pool/pool.hpp>

#include <sched.h>

#include <cstdlib>
#include <string>

#include "pool/cpus.hpp"
#include "pool/placement.hpp"
#include "pool/topology.hpp"
#include "support/catch.hpp"
#include "support/child.hpp"
#include "support/temp_folder.hpp"

using peal::rt::topology;
using peal::rt::topology_by_hwloc;

namespace {

using list = std::vector<int>;

/// Tells hwloc what to look at, until the end of the block.
class told {
  public:
    told(const char* variable, const std::string& value) : variable_(variable) { ::setenv(variable, value.c_str(), 1); }
    told(const told&) = delete;
    told& operator=(const told&) = delete;
    ~told() { ::unsetenv(variable_); }

  private:
    const char* variable_;
};

list first(int count) {
    list cpus;
    for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
    return cpus;
}

}  // namespace

TEST_CASE("hwloc: two nodes of four cores of two CPUs") {
    told synthetic("HWLOC_SYNTHETIC", "node:2 core:4 pu:2");  // CPUs 2i and 2i + 1 are at core i
    auto found = topology_by_hwloc(first(16));
    REQUIRE(found);
    REQUIRE(found->size() == 16);
    for (int cpu = 0; cpu < 16; ++cpu) {
        peal::rt::cpu_place expected{cpu, cpu / 2 * 2, -1, -1, cpu / 8};
        CHECK((*found)[static_cast<std::size_t>(cpu)] == expected);
    }
    CHECK(peal::rt::in_order(*found, peal::one_per::core, peal::placement::spread) == list{0, 8, 2, 10, 4, 12, 6, 14});
    CHECK(peal::rt::in_order(*found, peal::one_per::cpu, peal::placement::pack) == first(16));
}

TEST_CASE("hwloc: packages, caches of several levels, and numbers that go across") {
    told synthetic("HWLOC_SYNTHETIC", "pack:2 [numa] l3:2 l2:2 core:1 pu:2(indexes=0,8,1,9,2,10,3,11,4,12,5,13,6,14,7,15)");  // CPU 8 + i is at core i
    CHECK(topology_by_hwloc({0, 1, 2, 3, 4, 15, 8}) ==
          topology{{0, 0, 0, 0, 0}, {1, 1, 0, 0, 0}, {2, 2, 2, 0, 0}, {3, 3, 2, 0, 0}, {4, 4, 4, 4, 1}, {15, 7, 6, 4, 1}, {8, 0, 0, 0, 0}});
}

TEST_CASE("hwloc: a CPU that it does not know is a core") {
    told synthetic("HWLOC_SYNTHETIC", "core:2 pu:1");
    CHECK(topology_by_hwloc({1, 5}) == topology{{1, 1, -1, -1, 0}, {5, 5, -1, -1, -1}});
}

TEST_CASE("hwloc: says the same of this machine as /sys") {
    list cpus = peal::rt::allowed_cpus();
    topology by_files = peal::rt::topology_by_sysfs(cpus);
    auto found = topology_by_hwloc(cpus);
    REQUIRE(found);
    CHECK(peal::rt::read_topology(cpus) == *found);  // hwloc is asked first
    for (peal::one_per unit : {peal::one_per::cpu, peal::one_per::core}) {
        for (peal::placement how : {peal::placement::pack, peal::placement::spread}) {
            CHECK(peal::rt::in_order(*found, unit, how) == peal::rt::in_order(by_files, unit, how));
        }
    }
}

TEST_CASE("hwloc: without /sys it finds out from the CPUs, or says that it does not know") {
    support::temp_folder empty;
    told where("HWLOC_FSROOT", empty.path());
    told real("HWLOC_THISSYSTEM", "1");
    told quiet("HWLOC_HIDE_ERRORS", "2");
    list cpus = peal::rt::allowed_cpus();
    auto found = topology_by_hwloc(cpus);
#if defined(__x86_64__)
    REQUIRE(found);
    CHECK(found->size() == cpus.size());
    CHECK(found->front().package >= 0);
#endif
    CHECK(peal::rt::read_topology(cpus).size() == cpus.size());
    CHECK(peal::rt::allowed_cpus() == cpus);  // asking the CPUs moves the calling thread; it is back
    told nothing("HWLOC_COMPONENTS", "stop");
    CHECK_FALSE(topology_by_hwloc(cpus));
    CHECK(peal::rt::read_topology(cpus).size() == cpus.size());
}

TEST_CASE("child: CPUs that are all of one core", "[.child]") {
    told synthetic("HWLOC_SYNTHETIC", "core:1 pu:1024");
    peal::pool_options options;
    options.one_per = peal::one_per::core;
    CHECK(peal::pool(options).size() == 1);
    options.placement = peal::placement::pack;
    peal::pool pool(options);
    CHECK(pool.size() == 1);
    CHECK(pool.cpu_of(0) == peal::rt::allowed_cpus().front());
}
TEST_CASE("hwloc: a pool of one worker per core has as many as cores") {
    auto child = support::run_case("child: CPUs that are all of one core");
    INFO(child.output);
    CHECK(child.succeeded());
}
