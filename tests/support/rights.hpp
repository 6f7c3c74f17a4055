// SPDX-License-Identifier: MIT
#pragma once

// rights: gives up root, lowers limits, forbids system calls. Only in a child case (child.hpp): there is no way back.

#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <system_error>

namespace support {

/// From now on an ordinary user, one that no other process runs as: limits that count per user start from nothing. Does nothing
/// if the process is an ordinary user's already.
inline void give_up_root() {
    if (::geteuid() != 0) return;
    auto id = static_cast<uid_t>(1'000'000 + ::getpid());
    if (::setgroups(0, nullptr) != 0 || ::setgid(id) != 0 || ::setuid(id) != 0) {
        throw std::system_error(errno, std::system_category(), "giving up root");
    }
    ::prctl(PR_SET_DUMPABLE, 1);  // or /proc/self could not be read any more
}

inline void set_limit(int which, rlim_t soft) {
    rlimit limit{};
    ::getrlimit(static_cast<__rlimit_resource_t>(which), &limit);
    limit.rlim_cur = soft;
    if (::setrlimit(static_cast<__rlimit_resource_t>(which), &limit) != 0) {
        throw std::system_error(errno, std::system_category(), "setrlimit");
    }
}

/// From now on `number` fails with `error_number` in this thread and those that it makes.
inline void forbid_system_call(long number, int error_number) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error_number)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    sock_fprog filter{};
    filter.len = sizeof program / sizeof *program;
    filter.filter = program;
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
        throw std::system_error(errno, std::system_category(), "seccomp");
    }
}

}  // namespace support
