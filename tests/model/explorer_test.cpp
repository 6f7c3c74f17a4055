// SPDX-License-Identifier: MIT

// The explorer finds what it is there to find: each kind of failure in a program of a few lines that has it, and none in its neighbour
// that does not.

#include <optional>
#include <string>

#include "runner.hpp"

namespace {

using model::settings;

void expect(const char* kind, const std::function<void()>& body, const settings& bounds = settings()) {
    model::outcome result = model::run(bounds, body);
    model::note(result.failed ? result.what : "nothing found", result.executions);
    if (kind == nullptr) {
        model::require(!result.failed, "nothing is wrong, but: " + result.report);
        return;
    }
    model::require(result.failed && result.what == kind, std::string("expected: ") + kind + ", found: " + result.report);
    // The printed list leads to the same failure, with the same trace.
    std::string key = "PEAL_MODEL_REPLAY=";
    std::size_t at = result.report.find(key);
    model::require(at != std::string::npos, "no choice list: " + result.report);
    if (at == std::string::npos) return;
    std::string list = result.report.substr(at + key.size());
    model::outcome again = model::replay(bounds, body, list.substr(0, list.find('\n')));
    model::require(again.failed && again.what == kind, "the replay went another way: " + again.report);
}

CASE("explorer: a data race is found") {
    expect("data race", [] {
        model::var<int> v;
        model::parallel([&] { v.set(1); }, [&] { v.set(2); });
    });
}
CASE("explorer: a mutex orders") {
    expect(nullptr, [] {
        model::var<int> v{0};
        model::mutex m;
        auto add = [&] {
            std::lock_guard guard(m);
            v.set(v.get() + 1);
        };
        model::parallel(add, add, add);
        model::check(v.get() == 3, "three additions");
    });
}
CASE("explorer: a lost update is found") {
    expect("check failed", [] {
        model::atomic<int> n{0};
        auto add = [&] { n.store(n.load() + 1); };
        model::parallel(add, add);
        model::check(n.load() == 2, "two additions");
    });
}
CASE("explorer: a lost wake-up is found") {
    expect("deadlock or lost wake-up", [] {
        model::atomic<bool> work{false}, sleeps{false};
        model::event wake;
        model::parallel(
            [&] {
                work.store(true, std::memory_order_release);
                if (sleeps.load(std::memory_order_acquire)) wake.raise();
            },
            [&] {
                sleeps.store(true, std::memory_order_release);
                if (!work.load(std::memory_order_acquire)) wake.await();
            });
    });
}
CASE("explorer: the same with seq_cst loses none") {
    expect(nullptr, [] {
        model::atomic<bool> work{false}, sleeps{false};
        model::event wake;
        model::parallel(
            [&] {
                work.store(true);
                if (sleeps.load()) wake.raise();
            },
            [&] {
                sleeps.store(true);
                if (!work.load()) wake.await();
            });
    }, settings().preempt(100).stale(100));
}
CASE("explorer: two mutexes in two orders are found") {
    expect("deadlock or lost wake-up", [] {
        model::mutex a, b;
        model::parallel([&] { std::scoped_lock one(a); std::scoped_lock two(b); }, [&] { std::scoped_lock one(b); std::scoped_lock two(a); });
    });
}
CASE("explorer: who spins for what never comes is found") {
    expect("deadlock or lost wake-up", [] {
        model::atomic<bool> set{false};
        model::parallel([&] { while (!set.load()) peal::detail::spin_hint(); }, [] {});
    });
}
CASE("explorer: who spins sees the newest value in the end") {
    expect(nullptr, [] {
        model::atomic<bool> set{false};
        model::parallel([&] { while (!set.load(std::memory_order_relaxed)) peal::detail::spin_hint(); },
                        [&] { set.store(true, std::memory_order_relaxed); });
    }, settings().preempt(100).stale(100));
}
CASE("explorer: a loop without end is found") {
    expect("does not end", [] {
        model::atomic<bool> set{false};
        model::parallel([&] { while (!set.load()) {} }, [] {});
    });
}
CASE("explorer: a leak is found") {
    expect("leak", [] {
        model::atomic<bool> first{true};
        [[maybe_unused]] static void* volatile lost;  // so that the compiler makes it
        auto make = [&] { if (!first.exchange(false)) lost = ::operator new(8); };
        model::parallel(make, make);
    });
}
CASE("explorer: a use after destruction is found") {
    expect("use after destruction", [] {
        std::optional<model::atomic<int>> place(0);  // no block of memory that is freed
        auto* n = &*place;
        model::parallel([&] { place.reset(); }, [&] { n->load(); });
    });
}
CASE("explorer: a destruction that races with a use before it is found") {
    expect("data race", [] {
        auto* n = new model::atomic<int>{0};
        model::atomic<bool> used{false};
        model::parallel([&] { while (!used.load(std::memory_order_relaxed)) peal::detail::spin_hint(); delete n; },
                        [&] { n->store(1, std::memory_order_relaxed); used.store(true, std::memory_order_relaxed); });
    });
}
CASE("explorer: a last use that is released is none") {
    expect(nullptr, [] {
        auto* n = new model::atomic<int>{0};
        model::atomic<bool> used{false};
        model::parallel([&] { while (!used.load(std::memory_order_acquire)) peal::detail::spin_hint(); delete n; },
                        [&] { n->store(1, std::memory_order_relaxed); used.store(true, std::memory_order_release); });
    });
}
CASE("explorer: an atomic that is used before its making is known is found") {
    expect("data race", [] {
        model::atomic<model::atomic<int>*> published{nullptr};
        model::parallel([&] { published.store(new model::atomic<int>{1}, std::memory_order_relaxed); },
                        [&] { if (auto* n = published.load(std::memory_order_relaxed)) n->load(); });
        delete published.load();
    });
}

// ---- plain variables, of which nothing was said to the explorer --------------------------------------------------------------------

struct node {
    int value = 0;
    node* next = nullptr;
};

CASE("plain variables: a data race is found") {
    expect("data race", [] {
        node n;
        model::atomic<bool> filled{false};
        model::parallel([&] { n.value = 1; filled.store(true, std::memory_order_relaxed); },
                        [&] { if (filled.load(std::memory_order_relaxed)) model::check(n.value == 1, "filled"); });
    });
}
CASE("plain variables: release and acquire order") {
    expect(nullptr, [] {
        node n;
        model::atomic<bool> filled{false};
        model::parallel([&] { n.value = 1; filled.store(true, std::memory_order_release); },
                        [&] { if (filled.load(std::memory_order_acquire)) model::check(n.value == 1, "filled"); });
        n.value = 2;
    });
}
CASE("plain variables: what follows a release is not part of it") {
    expect("data race", [] {
        node n;
        model::atomic<bool> filled{false};
        model::parallel([&] { filled.store(true, std::memory_order_release); n.value = 1; },
                        [&] { if (filled.load(std::memory_order_acquire)) model::check(n.value >= 0, "filled"); });
    });
}
CASE("plain variables: freed while another thread reads is found") {
    expect("data race", [] {
        auto* n = new node;
        model::atomic<bool> done{false};
        model::parallel([&] { model::check(n->value == 0, "alive"); done.store(true, std::memory_order_relaxed); },
                        [&] { while (!done.load(std::memory_order_relaxed)) peal::detail::spin_hint(); delete n; });
    });
}
CASE("plain variables: a use after it was freed is found") {
    expect("use after free", [] {
        auto* n = new node;
        model::atomic<int> step{0};
        model::parallel([&] { delete n; step.store(1); }, [&] { if (step.load() == 1) model::check(n->value == 0, "dead"); });
    });
}

CASE("explorer: a compare_exchange that fails for no reason is tried") {
    expect("check failed", [] {
        model::atomic<int> n{0};
        model::parallel([&] { int none = 0; model::check(n.compare_exchange_weak(none, 1, std::memory_order_relaxed), "fails"); }, [] {});
    });
}
CASE("explorer: an exception is a failure") {
    expect("exception", [] { model::parallel([] { throw std::string("thrown"); }, [] {}); });
}
CASE("explorer: exceptions are handled by each thread for itself") {
    expect(nullptr, [] {
        model::atomic<int> n{0};
        auto thrown = [&](int value) {
            try {
                throw value;
            } catch (int caught) {
                n.fetch_add(1);
                try {
                    throw caught + 10;
                } catch (int inner) {
                    n.fetch_add(1);
                    model::check(inner == value + 10, "its own exception");
                }
                n.fetch_add(1);
                model::check(caught == value, "its own exception");
            }
        };
        model::parallel([&] { thrown(1); }, [&] { thrown(2); });
    });
}
CASE("explorer: time may pass for who waits with a limit, at any moment") {
    expect("check failed", [] {
        model::event wake;
        model::parallel([&] { wake.raise(); }, [&] { model::check(wake.await_a_while(), "woken"); });
    });
}
CASE("explorer: a variable of a thread is its own") {
    static thread_local int mine = 7;
    static bool registered = (model::keep_per_thread(&mine, sizeof mine), true);
    static_cast<void>(registered);
    expect(nullptr, [] {
        model::atomic<int> n{0};
        auto change = [&] {
            model::check(mine == 7, "as registered");
            mine = static_cast<int>(model::thread_index());
            n.fetch_add(1);
            model::check(mine == static_cast<int>(model::thread_index()), "not another's");
        };
        model::parallel(change, change);
    });
}
CASE("explorer: priority change points find what needs two of them") {
    // Depth first is not let: the failure needs an order that the first hundred executions do not have.
    expect("check failed", [] {
        model::atomic<int> a{0}, b{0};
        model::parallel(
            [&] {
                for (int i = 0; i < 6; ++i) a.fetch_add(1);
                b.store(1);
            },
            [&] {
                int before = a.load();
                int flag = b.load();
                model::check(!(before == 3 && flag == 1), "three of six, and then all");
            });
    }, settings().at_most(1).at_random(20'000));
}

}  // namespace
