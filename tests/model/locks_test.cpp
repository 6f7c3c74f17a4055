// SPDX-License-Identifier: MIT

// Models of what blocks nobody for long: spin_lock, claim, and of mutex, the lock of tasks.

#include <optional>

#include <peal/detail/claim.hpp>
#include <peal/detail/spin_lock.hpp>
#include <peal/sync/mutex.hpp>

#include "tasks.hpp"

namespace {

using model::settings;
using model::started_task;

// ---- spin lock ---------------------------------------------------------------------------------------------------------------------

MODEL("spin lock: one at a time, who comes later sees what was done", settings().preempt(3).stale(3)) {
    peal::detail::spin_lock lock;
    int count = 0;
    auto add = [&] {
        std::lock_guard guard(lock);
        ++count;
    };
    model::parallel([&] { add(), add(); }, add, add);
    model::check(count == 4, "four additions");
}

MODEL("spin lock: try_lock takes it only when it is free", settings().preempt(4).stale(4)) {
    peal::detail::spin_lock lock;
    int count = 0;
    int expected = 1;
    model::atomic<int> taken{0};
    auto try_add = [&] {
        if (!lock.try_lock()) return;
        ++count;
        taken.fetch_add(1, std::memory_order_relaxed);
        lock.unlock();
    };
    model::parallel(
        [&] {
            std::lock_guard guard(lock);
            ++count;
        },
        try_add, try_add);
    expected += taken.load(std::memory_order_relaxed);
    model::check(count == expected, "as often as it was taken");
}

MODEL("spin lock: destroyed after the last holder has let go", settings().preempt(4).stale(4)) {
    // As every object of sync/: whoever is told under the lock that it is not needed any more waits for the teller's unlock.
    struct guarded {
        peal::detail::spin_lock lock;
        model::atomic<bool> done{false};
        ~guarded() { lock.wait_until_free(); }
    };
    auto* thing = new guarded;
    model::parallel(
        [&] {
            std::lock_guard guard(thing->lock);
            thing->done.store(true, std::memory_order_release);
        },
        [&] {
            while (!thing->done.load(std::memory_order_acquire)) peal::detail::spin_hint();
            delete thing;
        });
}

// ---- claim -------------------------------------------------------------------------------------------------------------------------

MODEL("claim: one of two alternatives wins, and what was done before is seen", settings().preempt(4).stale(4).spurious(2)) {
    peal::detail::claim_group group;
    peal::detail::claim a, b;
    a.belong_to(group);
    b.belong_to(group);
    int given = 0;  // written by the winner alone; read by who finds that it is decided
    model::atomic<int> winners{0};
    auto take = [&](peal::detail::claim& mine, int value) {
        if (mine.try_take()) {
            winners.fetch_add(1, std::memory_order_relaxed);
            given = value;
        }
    };
    model::parallel([&] { take(a, 1); }, [&] { take(b, 2); });
    model::check(winners.load() == 1 && group.is_decided(), "one winner");
    model::check(group.winner() == (given == 1 ? &a : &b), "the one that gave");
}

MODEL("claim: what the taker did before it took is seen by who finds it decided", settings().preempt(4).stale(4)) {
    peal::detail::claim_group group;
    peal::detail::claim a, b;
    a.belong_to(group);
    b.belong_to(group);
    int prepared = 0;
    model::parallel(
        [&] {
            prepared = 1;
            model::check(a.try_take() || prepared == 1, "taken");
        },
        [&] {
            if (group.winner() == &a) model::check(prepared == 1, "seen by winner()");
            if (!b.try_take()) model::check(prepared == 1, "seen by who lost");
        });
}

MODEL("claim: two selects that serve each other, in both directions", settings().preempt(4).stale(3).spurious(2)) {
    // Each group has an alternative that gives and one that takes; the two pairs are tried at the same time.
    peal::detail::claim_group first, second;
    peal::detail::claim gives_first, takes_first, gives_second, takes_second;
    gives_first.belong_to(first), takes_first.belong_to(first);
    gives_second.belong_to(second), takes_second.belong_to(second);
    bool one = false, other = false;
    model::parallel([&] { one = try_take_both(&gives_first, &takes_second); },
                    [&] { other = try_take_both(&gives_second, &takes_first); });
    model::check(one != other, "one pair, whole");
    model::check(first.winner() == (one ? &gives_first : &takes_first), "both of the pair");
    model::check(second.winner() == (one ? &takes_second : &gives_second), "both of the pair");
}

MODEL("claim: of three in two groups, one pair or a single one wins", settings().preempt(3).stale(2)) {
    peal::detail::claim_group first, second;
    peal::detail::claim a, b, c;
    a.belong_to(first);
    b.belong_to(second);
    c.belong_to(second);
    bool pair = false, single = false;
    int first_data = 0, second_data = 0;
    model::parallel(
        [&] {
            if ((pair = try_take_both(&a, &b))) first_data = second_data = 1;
        },
        [&] {
            if ((single = try_take_both(nullptr, &c))) second_data = 2;
        });
    model::check(pair != single, "the second group is won once");
    model::check(first.is_decided() == pair, "the first group is free again if the pair lost");
    model::check(!single || a.try_take(), "and can be taken");
    model::check(first_data == (pair ? 1 : 0) && second_data == (pair ? 1 : 2), "given once");
}

// ---- mutex -------------------------------------------------------------------------------------------------------------------------

peal::task<> add_under(peal::mutex& mutex, int& count) {
    peal::mutex::guard guard = co_await mutex.lock();
    ++count;
}

MODEL("mutex: two tasks", settings().preempt(3).stale(3)) {
    peal::mutex mutex;
    int count = 0;
    started_task a(add_under, std::ref(mutex), std::ref(count)), b(add_under, std::ref(mutex), std::ref(count));
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended() && count == 2, "both had it");
}

MODEL("mutex: three tasks", settings().preempt(2).stale(1)) {
    peal::mutex mutex;
    int count = 0;
    started_task a(add_under, std::ref(mutex), std::ref(count)), b(add_under, std::ref(mutex), std::ref(count)),
        c(add_under, std::ref(mutex), std::ref(count));
    model::parallel([&] { a.start(); }, [&] { b.start(); }, [&] { c.start(); });
    model::check(a.has_ended() && b.has_ended() && c.has_ended() && count == 3, "all had it");
}

MODEL("mutex: try_lock against tasks", settings().preempt(3).stale(2)) {
    peal::mutex mutex;
    int count = 0;
    started_task a(add_under, std::ref(mutex), std::ref(count));
    bool got = false;
    model::parallel([&] { a.start(); },
                    [&] {
                        if (auto guard = mutex.try_lock()) {
                            got = true;
                            ++count;
                        }
                    });
    model::check(a.has_ended() && count == (got ? 2 : 1), "as often as it was had");
    model::check(mutex.try_lock().has_value(), "free in the end");
}

peal::task<> add_or_leave(peal::mutex& mutex, int& count, bool& canceled) {
    try {
        peal::mutex::guard guard = co_await mutex.lock();
        ++count;
    } catch (const std::system_error&) {
        canceled = true;
    }
}

MODEL("mutex: a canceled waiter and the one behind it", settings().preempt(2).stale(1)) {
    peal::mutex mutex;
    int count = 0;
    bool canceled = false;
    std::optional<peal::mutex::guard> held(mutex.try_lock());
    started_task a(add_or_leave, std::ref(mutex), std::ref(count), std::ref(canceled));
    started_task b(add_under, std::ref(mutex), std::ref(count));
    a.start();
    b.start();
    model::parallel([&] { held.reset(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && b.has_ended(), "nobody is forgotten");
    model::check(count == (canceled ? 1 : 2), "a canceled waiter has not had it");
    model::check(mutex.try_lock().has_value(), "free in the end");
}

MODEL("mutex: free again after its only waiter was canceled", settings().preempt(3).stale(2)) {
    peal::mutex mutex;
    int count = 0;
    int taken = 0;
    bool canceled = false;
    std::optional<peal::mutex::guard> held(mutex.try_lock());
    started_task a(add_or_leave, std::ref(mutex), std::ref(count), std::ref(canceled));
    a.start();
    model::parallel(
        [&] {
            ++count;
            held.reset();
        },
        [&] { a.request_stop(); },
        [&] {
            if (auto guard = mutex.try_lock()) {
                ++count;
                taken = 1;
            }
        });
    model::check(a.has_ended() && count == 1 + taken + (canceled ? 0 : 1), "one at a time");
}

MODEL("mutex: stopped while it begins to wait", settings().preempt(3).stale(2)) {
    peal::mutex mutex;
    int count = 0;
    bool canceled = false;
    std::optional<peal::mutex::guard> held(mutex.try_lock());
    started_task a(add_or_leave, std::ref(mutex), std::ref(count), std::ref(canceled));
    model::parallel([&] { a.start(); }, [&] { held.reset(); }, [&] { a.request_stop(); });
    model::check(a.has_ended(), "it goes on in any case");
    model::check(count == (canceled ? 0 : 1), "one of two ends");
    model::check(mutex.try_lock().has_value(), "free in the end");
}

MODEL("mutex: destroyed by who had it last", settings().preempt(3).stale(2)) {
    // The task that is let in destroys the mutex, while the one that let it in is still in unlock().
    auto* mutex = new peal::mutex;
    int count = 0;
    auto last = [](peal::mutex* its, int& counted) -> peal::task<> {
        peal::mutex::guard guard = co_await its->lock();
        bool is_last = ++counted == 2;
        guard.unlock();
        if (is_last) delete its;
    };
    started_task a(last, mutex, std::ref(count));
    started_task b(last, mutex, std::ref(count));
    std::optional<peal::mutex::guard> held(mutex->try_lock());
    a.start();
    b.start();
    model::parallel([&] { held.reset(); }, [] {});
    model::check(a.has_ended() && b.has_ended() && count == 2, "both had it");
}

}  // namespace
