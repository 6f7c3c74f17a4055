// SPDX-License-Identifier: MIT
#pragma once

// affinity: the CPUs that a thread may use, as the system keeps them. A thread inherits those of the one that makes it.

#include <sched.h>

#include <cerrno>
#include <cstddef>
#include <vector>

namespace peal::rt {

class affinity {
  public:
    static constexpr int cpus_limit = 1 << 16;  // more than any machine has

    /// Of the calling thread; empty if the system does not tell. Throws std::bad_alloc.
    static affinity of_this_thread() {
        // Larger machines than the fixed mask of 1024 CPUs exist: ask with larger masks until the kernel is content.
        for (int room = CPU_SETSIZE; room <= cpus_limit; room *= 2) {
            affinity asked(room);
            if (::sched_getaffinity(0, asked.bytes(), asked.set()) == 0) return asked;
        }
        return affinity(0);
    }
    /// The calling thread may use one CPU only. Needs no memory; on a machine of more than CPU_SETSIZE CPUs it says no, whatever holds.
    static bool is_of_one_cpu() noexcept {
        cpu_set_t set;
        return ::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) == 1;
    }
    /// One CPU. Requires: 0 <= cpu.
    static affinity of_cpu(int cpu) {
        affinity one(cpu + 1);
        CPU_SET_S(static_cast<std::size_t>(cpu), one.bytes(), one.set());
        return one;
    }

    /// Gives 0, or the errno of the refusal. Of an empty one: nothing happens.
    int apply_to_this_thread() const noexcept {
        if (sets_.empty()) return 0;
        return ::sched_setaffinity(0, bytes(), sets_.data()) == 0 ? 0 : errno;
    }
    std::vector<int> cpus() const {
        std::vector<int> found;
        for (std::size_t cpu = 0; cpu < 8 * bytes(); ++cpu) {
            if (CPU_ISSET_S(cpu, bytes(), sets_.data())) found.push_back(static_cast<int>(cpu));
        }
        return found;
    }

  private:
    explicit affinity(int room) : sets_((static_cast<std::size_t>(room) + CPU_SETSIZE - 1) / CPU_SETSIZE) {}
    std::size_t bytes() const noexcept { return sets_.size() * sizeof(cpu_set_t); }
    cpu_set_t* set() noexcept { return sets_.data(); }

    std::vector<cpu_set_t> sets_;
};

}  // namespace peal::rt
