// SPDX-License-Identifier: MIT

// What the files in /sys say of CPUs: made-up folders, files that are missing or odd, and this machine.

#include "pool/topology.hpp"

#include <filesystem>
#include <map>
#include <set>

#include "pool/cpus.hpp"
#include "support/catch.hpp"
#include "support/temp_folder.hpp"

using peal::rt::cpu_place;
using peal::rt::parse_cpu_list;
using peal::rt::topology;
using peal::rt::topology_by_sysfs;

namespace {

using list = std::vector<int>;

class made_up_sysfs {
  public:
    const std::string& path() const { return folder_.path(); }

    void file(const std::string& name, const std::string& content) {
        std::filesystem::create_directories(std::filesystem::path(folder_ / name).parent_path());
        support::put(folder_ / name, content + "\n");
    }
    void cpu(int number, const std::string& name, const std::string& content) {
        file("cpu/cpu" + std::to_string(number) + '/' + name, content);
    }
    void cache(int number, int index, const std::string& level, const std::string& shared) {
        cpu(number, "cache/index" + std::to_string(index) + "/level", level);
        cpu(number, "cache/index" + std::to_string(index) + "/shared_cpu_list", shared);
    }

  private:
    support::temp_folder folder_;
};

}  // namespace

TEST_CASE("topology: lists of CPUs") {
    const std::pair<const char*, list> rows[] = {
        {"", {}},           {"\n", {}},       {"0\n", {0}},       {"0-3\n", {0, 1, 2, 3}}, {"0-1,4,6-7\n", {0, 1, 4, 6, 7}},
        {"5-5", {5}},       {"3-1,9", {9}},   {"nonsense", {}},   {"1,nonsense", {1}},     {"1-", {}},
        {"0,1-x", {0}},     {"-1", {}},       {"7,99999999", {7}}, {"0-99999999999", {}},  {"2;3", {2}},
    };
    for (auto& [text, expected] : rows) {
        INFO("'" << text << "'");
        CHECK(parse_cpu_list(text) == expected);
    }
}

TEST_CASE("topology: cores, caches, packages and nodes of a made-up machine") {
    // One package of two nodes; each has two cores of two CPUs, and a cache.
    made_up_sysfs system;
    for (int cpu = 0; cpu < 8; ++cpu) {
        int core = cpu % 4;
        bool second = core >= 2;
        system.cpu(cpu, "topology/core_cpus_list", std::to_string(core) + ',' + std::to_string(core + 4));
        system.cpu(cpu, "topology/package_cpus_list", "0-7");
        system.cache(cpu, 0, "1", std::to_string(core) + ',' + std::to_string(core + 4));
        system.cache(cpu, 1, "1", std::to_string(core) + ',' + std::to_string(core + 4));
        system.cache(cpu, 2, "3", second ? "2-3,6-7" : "0-1,4-5");
        system.cache(cpu, 3, "2", std::to_string(core) + ',' + std::to_string(core + 4));  // the last level need not be the last folder
    }
    system.file("node/online", "0-1");
    system.file("node/node0/cpulist", "0-1,4-5");
    system.file("node/node1/cpulist", "2-3,6-7");
    CHECK(topology_by_sysfs({0, 1, 2, 3, 4, 5, 6, 7}, system.path()) ==
          topology{{0, 0, 0, 0, 0}, {1, 1, 0, 0, 0}, {2, 2, 2, 0, 1}, {3, 3, 2, 0, 1},
                   {4, 0, 0, 0, 0}, {5, 1, 0, 0, 0}, {6, 2, 2, 0, 1}, {7, 3, 2, 0, 1}});
    // Only those that were asked for, in that order.
    CHECK(topology_by_sysfs({6, 1}, system.path()) == topology{{6, 2, 2, 0, 1}, {1, 1, 0, 0, 0}});
}

TEST_CASE("topology: files of older kernels") {
    made_up_sysfs system;
    for (int cpu : {0, 1}) {
        system.cpu(cpu, "topology/thread_siblings_list", "0-1");
        system.cpu(cpu, "topology/core_siblings_list", "0-3");
    }
    CHECK(topology_by_sysfs({0, 1}, system.path()) == topology{{0, 0, -1, 0, -1}, {1, 0, -1, 0, -1}});
}

TEST_CASE("topology: nodes without CPUs, with holes in the numbering") {
    made_up_sysfs system;
    system.file("node/online", "0,4-5");
    system.file("node/node0/cpulist", "");  // memory only
    system.file("node/node4/cpulist", "1");
    CHECK(topology_by_sysfs({0, 1}, system.path()) == topology{{0, 0, -1, -1, -1}, {1, 1, -1, -1, 4}});
}

TEST_CASE("topology: without the files each CPU is a core") {
    support::temp_folder empty;
    topology expected = {{0, 0, -1, -1, -1}, {7, 7, -1, -1, -1}};
    CHECK(topology_by_sysfs({0, 7}, empty.path()) == expected);
    CHECK(topology_by_sysfs({0, 7}, empty / "missing") == expected);
    made_up_sysfs nonsense;
    for (int cpu : {0, 7}) {
        nonsense.cpu(cpu, "topology/core_cpus_list", "?");
        nonsense.cpu(cpu, "topology/package_cpus_list", "");
        nonsense.cache(cpu, 0, "x", "y");
    }
    nonsense.file("node/online", "none");
    CHECK(topology_by_sysfs({0, 7}, nonsense.path()) == expected);
}

TEST_CASE("topology: of this machine, each CPU that this process may use, once") {
    list cpus = peal::rt::allowed_cpus();
    CHECK(std::set<int>(cpus.begin(), cpus.end()).size() == cpus.size());
    for (const topology& found : {topology_by_sysfs(cpus), peal::rt::read_topology(cpus)}) {
        REQUIRE(found.size() == cpus.size());
        for (std::size_t i = 0; i < cpus.size(); ++i) {
            CHECK(found[i].cpu == cpus[i]);
            CHECK(found[i].core >= 0);
        }
    }
}
