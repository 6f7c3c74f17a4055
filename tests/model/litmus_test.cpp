// SPDX-License-Identifier: MIT

// The explorer's memory model against the litmus tests of the literature: for each, whether the outcome that sequential consistency
// forbids can be seen. Expected answers: C++20 in the reading of RC11 (Lahav et al., "Repairing sequential consistency in C/C++11", PLDI
// 2017), but for 2+2W. Searched to the end, without bounds.

#include <set>
#include <string>

#include "heap.hpp"
#include "runner.hpp"

namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;
constexpr auto acq_rel = std::memory_order_acq_rel;
constexpr auto seq_cst = std::memory_order_seq_cst;
using model::fence;

struct variables {
    model::atomic<int> x{0}, y{0}, z{0};
    int r[4] = {};
};

using thread_function = void (*)(variables&);

/// All outcomes "r0 r1 r2 r3", of as many registers as are asked for.
struct seen_outcomes {
    std::set<std::string> all;
    std::uint64_t executions;
};

seen_outcomes all_outcomes(unsigned registers, thread_function a, thread_function b, thread_function c = nullptr,
                           thread_function d = nullptr) {
    static std::set<std::string>* seen;
    std::set<std::string> collected;
    seen = &collected;
    model::outcome result = model::run(model::settings().preempt(100).stale(100).spurious(0).at_most(5'000'000), [=] {
        variables v;
        std::function<void()> none;
        model::parallel([&] { a(v); }, [&] { b(v); }, c != nullptr ? std::function<void()>([&] { c(v); }) : none,
                        d != nullptr ? std::function<void()>([&] { d(v); }) : none);
        char text[16];
        unsigned size = 0;
        for (unsigned i = 0; i < registers; ++i) {
            if (i != 0) text[size++] = ' ';
            text[size++] = static_cast<char>('0' + v.r[i]);
        }
        text[size] = '\0';
        model::heap::untracked guard;
        seen->insert(text);
    });
    model::require(!result.failed, result.report);
    model::require(result.complete, "not searched to the end");
    return {collected, result.executions};
}

enum class weak : bool { forbidden, allowed };

void litmus(weak expected, const char* outcome, unsigned registers, thread_function a, thread_function b, thread_function c = nullptr,
            thread_function d = nullptr) {
    seen_outcomes seen = all_outcomes(registers, a, b, c, d);
    bool is_seen = seen.all.contains(outcome);
    model::note(std::string(outcome) + (is_seen ? " seen, " : " never, ") + std::to_string(seen.all.size()) + " outcomes", seen.executions);
    model::require(is_seen == (expected == weak::allowed), std::string("outcome ") + outcome + (is_seen ? " was seen" : " was not seen"));
}

// ---- message passing -------------------------------------------------------------------------------------------------------------

CASE("MP, relaxed") {
    litmus(weak::allowed, "1 0", 2,
           [](variables& v) { v.x.store(1, relaxed), v.y.store(1, relaxed); },
           [](variables& v) { v.r[0] = v.y.load(relaxed), v.r[1] = v.x.load(relaxed); });
}
CASE("MP, release and acquire") {
    litmus(weak::forbidden, "1 0", 2,
           [](variables& v) { v.x.store(1, relaxed), v.y.store(1, release); },
           [](variables& v) { v.r[0] = v.y.load(acquire), v.r[1] = v.x.load(relaxed); });
}
CASE("MP, release and relaxed") {
    litmus(weak::allowed, "1 0", 2,
           [](variables& v) { v.x.store(1, relaxed), v.y.store(1, release); },
           [](variables& v) { v.r[0] = v.y.load(relaxed), v.r[1] = v.x.load(relaxed); });
}
CASE("MP, fences") {
    litmus(weak::forbidden, "1 0", 2,
           [](variables& v) { v.x.store(1, relaxed), fence(release), v.y.store(1, relaxed); },
           [](variables& v) { v.r[0] = v.y.load(relaxed), fence(acquire), v.r[1] = v.x.load(relaxed); });
}
CASE("MP, release fence alone") {
    litmus(weak::allowed, "1 0", 2,
           [](variables& v) { v.x.store(1, relaxed), fence(release), v.y.store(1, relaxed); },
           [](variables& v) { v.r[0] = v.y.load(relaxed), v.r[1] = v.x.load(relaxed); });
}

// ---- store buffering -------------------------------------------------------------------------------------------------------------

CASE("SB, release and acquire") {
    litmus(weak::allowed, "0 0", 2,
           [](variables& v) { v.x.store(1, release), v.r[0] = v.y.load(acquire); },
           [](variables& v) { v.y.store(1, release), v.r[1] = v.x.load(acquire); });
}
CASE("SB, seq_cst") {
    litmus(weak::forbidden, "0 0", 2,
           [](variables& v) { v.x.store(1, seq_cst), v.r[0] = v.y.load(seq_cst); },
           [](variables& v) { v.y.store(1, seq_cst), v.r[1] = v.x.load(seq_cst); });
}
CASE("SB, one side seq_cst, the other's load acquire") {
    litmus(weak::allowed, "0 0", 2,
           [](variables& v) { v.x.store(1, seq_cst), v.r[0] = v.y.load(seq_cst); },
           [](variables& v) { v.y.store(1, seq_cst), v.r[1] = v.x.load(acquire); });
}
CASE("SB, seq_cst fences") {
    litmus(weak::forbidden, "0 0", 2,
           [](variables& v) { v.x.store(1, relaxed), fence(seq_cst), v.r[0] = v.y.load(relaxed); },
           [](variables& v) { v.y.store(1, relaxed), fence(seq_cst), v.r[1] = v.x.load(relaxed); });
}
CASE("SB, seq_cst fence on one side") {
    litmus(weak::allowed, "0 0", 2,
           [](variables& v) { v.x.store(1, relaxed), fence(seq_cst), v.r[0] = v.y.load(relaxed); },
           [](variables& v) { v.y.store(1, relaxed), v.r[1] = v.x.load(relaxed); });
}
CASE("SB, fence on one side, seq_cst accesses on the other") {
    litmus(weak::forbidden, "0 0", 2,
           [](variables& v) { v.x.store(1, relaxed), fence(seq_cst), v.r[0] = v.y.load(relaxed); },
           [](variables& v) { v.y.store(1, seq_cst), v.r[1] = v.x.load(seq_cst); });
}
CASE("SB, exchange of seq_cst instead of stores") {
    litmus(weak::forbidden, "0 0", 2,
           [](variables& v) { v.x.exchange(1, seq_cst), v.r[0] = v.y.load(seq_cst); },
           [](variables& v) { v.y.exchange(1, seq_cst), v.r[1] = v.x.load(seq_cst); });
}
CASE("SB, exchange of acq_rel instead of stores") {
    litmus(weak::allowed, "0 0", 2,
           [](variables& v) { v.x.exchange(1, acq_rel), v.r[0] = v.y.load(acquire); },
           [](variables& v) { v.y.exchange(1, acq_rel), v.r[1] = v.x.load(acquire); });
}
CASE("SB, acq_rel additions of nothing instead of loads") {
    litmus(weak::forbidden, "0 0", 2,
           [](variables& v) { v.x.store(1, release), v.z.fetch_add(0, acq_rel), v.r[0] = v.y.fetch_add(0, acq_rel); },
           [](variables& v) { v.y.store(1, release), v.z.fetch_add(0, acq_rel), v.r[1] = v.x.fetch_add(0, acq_rel); });
}

// ---- more threads ------------------------------------------------------------------------------------------------------------------

CASE("IRIW, acquire") {
    litmus(weak::allowed, "1 0 1 0", 4,
           [](variables& v) { v.x.store(1, release); }, [](variables& v) { v.y.store(1, release); },
           [](variables& v) { v.r[0] = v.x.load(acquire), v.r[1] = v.y.load(acquire); },
           [](variables& v) { v.r[2] = v.y.load(acquire), v.r[3] = v.x.load(acquire); });
}
CASE("IRIW, seq_cst") {
    litmus(weak::forbidden, "1 0 1 0", 4,
           [](variables& v) { v.x.store(1, seq_cst); }, [](variables& v) { v.y.store(1, seq_cst); },
           [](variables& v) { v.r[0] = v.x.load(seq_cst), v.r[1] = v.y.load(seq_cst); },
           [](variables& v) { v.r[2] = v.y.load(seq_cst), v.r[3] = v.x.load(seq_cst); });
}
CASE("WRC, relaxed in the middle") {
    litmus(weak::allowed, "1 1 0", 3, [](variables& v) { v.x.store(1, release); },
           [](variables& v) { v.r[0] = v.x.load(acquire), v.y.store(1, relaxed); },
           [](variables& v) { v.r[1] = v.y.load(acquire), v.r[2] = v.x.load(relaxed); });
}
CASE("WRC, release and acquire") {
    litmus(weak::forbidden, "1 1 0", 3, [](variables& v) { v.x.store(1, release); },
           [](variables& v) { v.r[0] = v.x.load(acquire), v.y.store(1, release); },
           [](variables& v) { v.r[1] = v.y.load(acquire), v.r[2] = v.x.load(relaxed); });
}

// ---- coherence, release sequences, read-modify-writes --------------------------------------------------------------------------------

CASE("CoRR, relaxed") {
    litmus(weak::forbidden, "1 0", 2, [](variables& v) { v.x.store(1, relaxed); },
           [](variables& v) { v.r[0] = v.x.load(relaxed), v.r[1] = v.x.load(relaxed); });
}
CASE("CoRR of two readers, relaxed") {
    litmus(weak::forbidden, "1 2 2 1", 4, [](variables& v) { v.x.store(1, relaxed); }, [](variables& v) { v.x.store(2, relaxed); },
           [](variables& v) { v.r[0] = v.x.load(relaxed), v.r[1] = v.x.load(relaxed); },
           [](variables& v) { v.r[2] = v.x.load(relaxed), v.r[3] = v.x.load(relaxed); });
}
CASE("release sequence through a relaxed addition") {
    litmus(weak::forbidden, "2 0", 2, [](variables& v) { v.x.store(1, relaxed), v.y.store(1, release); },
           [](variables& v) { v.y.fetch_add(1, relaxed); },
           [](variables& v) { v.r[0] = v.y.load(acquire), v.r[1] = v.r[0] == 2 ? v.x.load(relaxed) : 1; });
}
CASE("release sequence broken by a store of another thread") {
    litmus(weak::allowed, "2 0", 2, [](variables& v) { v.x.store(1, relaxed), v.y.store(1, release); },
           [](variables& v) { if (v.y.load(relaxed) == 1) v.y.store(2, relaxed); },
           [](variables& v) { v.r[0] = v.y.load(acquire), v.r[1] = v.x.load(relaxed); });
}
CASE("two additions, relaxed: none is lost") {
    litmus(weak::forbidden, "0 0", 2, [](variables& v) { v.r[0] = v.x.fetch_add(1, relaxed); },
           [](variables& v) { v.r[1] = v.x.fetch_add(1, relaxed); });
}
CASE("two compare_exchange: one wins") {
    litmus(weak::forbidden, "1 1", 2,
           [](variables& v) { int none = 0; v.r[0] = v.x.compare_exchange_strong(none, 1, relaxed, relaxed) ? 1 : 0; },
           [](variables& v) { int none = 0; v.r[1] = v.x.compare_exchange_strong(none, 2, relaxed, relaxed) ? 1 : 0; });
}
CASE("a failed compare_exchange may see an old value") {
    // r0 = 1: y is set; r1: what the failed compare_exchange found in x, although x = 1 was stored before y.
    litmus(weak::allowed, "1 0", 2, [](variables& v) { v.x.store(1, relaxed), v.y.store(1, relaxed); },
           [](variables& v) {
               v.r[0] = v.y.load(relaxed);
               v.r[1] = 5;
               v.x.compare_exchange_strong(v.r[1], 6, relaxed, relaxed);
           });
}

// ---- where the explorer is stronger than the standard ----------------------------------------------------------------------------------

CASE("LB, relaxed: excluded here (and by RC11), permitted by the standard") {
    litmus(weak::forbidden, "1 1", 2, [](variables& v) { v.r[0] = v.x.load(relaxed), v.y.store(1, relaxed); },
           [](variables& v) { v.r[1] = v.y.load(relaxed), v.x.store(1, relaxed); });
}
CASE("2+2W, relaxed: not explored here, permitted by the standard and by RC11") {
    // Both locations end with the store that came first in its thread. Read by the body when the threads have ended.
    static std::set<std::string>* seen;
    std::set<std::string> collected;
    seen = &collected;
    model::outcome result = model::run(model::settings().preempt(100).stale(100), [] {
        variables v;
        model::parallel([&v] { v.x.store(1, relaxed), v.y.store(2, relaxed); }, [&v] { v.y.store(1, relaxed), v.x.store(2, relaxed); });
        char text[] = {static_cast<char>('0' + v.x.load(relaxed)), ' ', static_cast<char>('0' + v.y.load(relaxed)), '\0'};
        model::heap::untracked guard;
        seen->insert(text);
    });
    model::note("1 1 never, " + std::to_string(collected.size()) + " outcomes", result.executions);
    model::require(result.complete && collected.size() == 3 && !collected.contains("1 1"), "2+2W has changed: correct the README");
}

}  // namespace
