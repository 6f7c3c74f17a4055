// SPDX-License-Identifier: MIT

#include "findings.hpp"

#include <sys/resource.h>
#include <sys/utsname.h>

#include <cstdlib>
#include <exception>
#include <optional>
#include <string_view>

#include <peal/pool/pool.hpp>

#include "../base/system_file.hpp"
#include "../pool/cpus.hpp"
#include "../uring/ring.hpp"

namespace peal::doctor {

namespace {

std::string kernel_release() {
    utsname name{};
    return ::uname(&name) == 0 ? name.release : "unknown";
}

std::string limit_text(int resource, const char* unit) {
    rlimit limit{};
    if (::getrlimit(static_cast<__rlimit_resource_t>(resource), &limit) != 0) return "unknown";
    return limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur) + unit;
}

std::string first_line(const std::string& path) {
    std::string text = rt::read_system_file(path);
    text.resize(std::min(text.find('\n'), text.size()));
    return text.empty() ? "not there" : text;
}

/// The word behind "Name:" in a file of such lines.
std::string field_of(const std::string& path, const std::string& name) {
    std::string text = rt::read_system_file(path);
    std::size_t at = text.find(name + ":");  // no field's name ends with another's that is looked for
    if (at == std::string::npos) return "unknown";
    at = text.find_first_not_of(" \t", at + name.size() + 1);
    std::size_t end = text.find('\n', at);
    return at == std::string::npos ? "unknown" : text.substr(at, end - at);
}

bool has_exclusive_rings() noexcept {
    try {
        return rt::ring(8, rt::ring::use::exclusive).is_exclusive();
    } catch (const std::exception&) {
        return false;
    }
}

void look_at_ring(report& found) {
    std::optional<rt::ring> ring;
    try {
        ring.emplace(8);
    } catch (const std::exception& refused) {
        found.refusal = refused.what();
    }
    found.findings.push_back({"io_uring", ring.has_value(), "workers use epoll: several times the system calls, and files by threads",
                              "see the reason above"});
    if (!ring) return;
    struct operation {
        unsigned code;  // of the kernel's list: newer than the headers that peal may be built with
        const char* name;
        const char* costs;
        const char* linux_version;
    };
    for (const operation& each : {
             operation{13, "accept", "no server", "5.5"},
             operation{16, "connect", "no client", "5.5"},
             operation{18, "openat", "files are opened by threads", "5.6"},
             operation{21, "statx", "stat is done by threads", "5.6"},
             operation{26, "send", "no streams", "5.6"},
             operation{27, "recv", "no streams", "5.6"},
             operation{28, "openat2", "paths in folders are opened by threads", "5.6"},
             operation{35, "renameat", "renaming is done by threads", "5.11"},
             operation{36, "unlinkat", "removing is done by threads", "5.11"},
             operation{47, "send without a copy", "tcp_stream::set_zero_copy() has no effect", "6.0"},
             operation{55, "ftruncate", "truncating is done by threads", "6.9"},
         }) {
        found.findings.push_back({std::string("operation ") + each.name, ring->supports(each.code), each.costs,
                                  std::string("Linux ") + each.linux_version + " or newer, and a filter that allows it"});
    }
    found.findings.push_back({"completions without interrupts (COOP_TASKRUN)", ring->is_cooperative(),
                              "5 to 15 % more CPU time per request", "Linux 5.19 or newer"});
    found.findings.push_back({"rings of one worker alone (DEFER_TASKRUN)", has_exclusive_rings(),
                              "pool_options::ring_mode has no effect", "Linux 6.1 or newer"});
    found.findings.push_back({"registered ring descriptor", ring->is_registered(), "one look-up more per system call", "Linux 5.18 or newer"});
    found.findings.push_back({"sleep without I/O wait (NO_IOWAIT)", ring->sleeps_as_idle(), "an idle program is shown as waiting for I/O",
                              "Linux 6.15 or newer"});
}

void look_at_limits(report& found) {
    auto& settings = found.settings;
    settings.push_back({"locked memory (ulimit -l)", limit_text(RLIMIT_MEMLOCK, " bytes"),
                        "from Linux 6.14, rings count against it, about 32 KiB per worker of 256 entries, for all processes of a user"});
    settings.push_back({"descriptors (ulimit -n)", limit_text(RLIMIT_NOFILE, ""), "three per worker, one per connection and open file"});
    settings.push_back({"threads (ulimit -u)", limit_text(RLIMIT_NPROC, ""), "one per worker, and those that block for it"});
    settings.push_back({"kernel.io_uring_disabled", first_line("/proc/sys/kernel/io_uring_disabled"),
                        "0: allowed, 1: for kernel.io_uring_group only, 2: forbidden"});
    std::string filter = field_of("/proc/self/status", "Seccomp");
    settings.push_back({"seccomp", filter == "0" ? "none" : filter == "2" ? "a filter" : filter,
                        "filters of containers forbid io_uring by default"});
    std::string cpus = std::to_string(rt::allowed_cpus().size());
    settings.push_back({"CPUs of this process", cpus, "by its affinity"});
    settings.push_back({"workers of a pool", std::to_string(rt::usable_cpus()), "by default: CPUs, but no more than the cgroup gives time for"});
    const char* said = std::getenv("PEAL_DRIVER");
    settings.push_back({"PEAL_DRIVER", said != nullptr && *said != '\0' ? said : "not set", "uring or epoll, for pools that leave it open"});
    said = std::getenv("PEAL_STALL_MS");
    settings.push_back({"PEAL_STALL_MS", said != nullptr && *said != '\0' ? said : "not set", "when a task that keeps its worker is told of on standard error; 0: never"});
}

}  // namespace

report examine() {
    report found;
    found.kernel = kernel_release();
    found.liburing = std::string(PEAL_LIBURING_VERSION);
    look_at_ring(found);
    look_at_limits(found);
    try {
        pool one(pool_options(1));
        found.driver = one.driver_of(0);
    } catch (const std::exception& failure) {
        found.refusal = failure.what();
    }
    return found;
}

}  // namespace peal::doctor
