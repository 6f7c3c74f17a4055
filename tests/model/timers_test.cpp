// SPDX-License-Identifier: MIT

// Models of timers: disarmed by another thread while they fire, fired by another thread for an owner that does not come to it, and what stands on them:
// sleeping, a limit on one operation, a limit on a task. The worker behind the seam (its wheel, its clock) is this file's: one owner, who arms and advances.

#include <optional>

#include <peal/combine/timeout.hpp>
#include <peal/detail/leaf_operation.hpp>
#include <peal/sync/event.hpp>
#include <peal/time/sleep.hpp>

#include <task/blocking_threads.hpp>
#include <task/this_driver.hpp>
#include <task/unhandled.hpp>
#include <time/wheel.hpp>

#include "../support/null_driver.hpp"
#include "tasks.hpp"

// ---- the seam -------------------------------------------------------------------------------------------------------------------------

namespace {

using namespace std::chrono_literals;
using model::settings;
using model::started_task;

const peal::rt::time_point begin{1h};

struct nobody : peal::rt::blocking_pool {
    nobody() : blocking_pool("model", 1) {}
};

/// Of the owner: a clock that stands still, and nothing to wait for.
class standing_clock final : public support::null_driver {
  public:
    using null_driver::null_driver;
    peal::rt::time_point now() const noexcept override { return begin; }
};

/// As on a worker, whoever is woken runs after what woke it, and on that thread.
peal::detail::work_list woken[5];

void run_woken() {
    peal::detail::work_list& mine = woken[model::thread_index()];
    while (!mine.empty()) {
        peal::detail::work_item& item = mine.pop_front();
        peal::context* before = std::exchange(peal::detail::this_thread.current, item.owner);
        peal::detail::resume_chain(item.handle);
        peal::detail::this_thread.current = before;
    }
}

struct owner_state {
    nobody none;
    standing_clock clock{none};
    peal::rt::wheel timers;
};
owner_state* owner = nullptr;  // of the execution; made by the body

class with_owner {
  public:
    with_owner() {
        owner = &state_;
        for (auto& each : woken) each = {};
    }
    ~with_owner() { owner = nullptr; }
    void time_passes() {
        state_.timers.advance(begin + 1s);
        run_woken();
    }
    /// Another thread, for the owner.
    void time_is_seen_to_pass() {
        state_.timers.advance_for_owner(begin + 1s);
        run_woken();
    }
    peal::rt::wheel& timers() { return state_.timers; }

  private:
    owner_state state_;
};

}  // namespace

namespace peal::rt {

driver* this_driver() noexcept { return &owner->clock; }
wheel* this_wheel() noexcept { return &owner->timers; }
void count_ended(scheduler&, detail::outcome, detail::time_mark) noexcept {}
void report_unhandled(std::exception_ptr, const context&, scheduler*) noexcept {}
void report_unhandled_late(std::exception_ptr, const context&, scheduler*) noexcept {}

}  // namespace peal::rt

namespace peal::detail {

void enqueue_woken(work_item& item) noexcept { woken[model::thread_index()].push_back(item); }
void enqueue(rt::scheduler&, work_item& item) noexcept { enqueue_woken(item); }
rt::scheduler* current_scheduler() noexcept { return nullptr; }

}  // namespace peal::detail

namespace {

// ---- wheel ------------------------------------------------------------------------------------------------------------------------------

struct counted_timer : peal::detail::timer {
    counted_timer() : timer(&counted_timer::fired) {}
    static void fired(timer& self) noexcept { ++static_cast<counted_timer&>(self).count; }
    int count = 0;
};

MODEL("wheel: disarmed by another thread while it fires", settings().preempt(4).stale(4)) {
    peal::rt::wheel wheel;
    counted_timer timer;
    model::check(wheel.arm(timer, begin + 1ms, begin), "armed");
    bool disarmed = false;
    model::parallel([&] { wheel.advance(begin + 1s); }, [&] { disarmed = wheel.disarm(timer); });
    model::check(timer.count == (disarmed ? 0 : 1) && wheel.size() == 0, "one of two");
}

MODEL("wheel: two timers of one slot, disarmed by two while they fire", settings().preempt(3).stale(3)) {
    peal::rt::wheel wheel;
    counted_timer a, b;
    model::check(wheel.arm(a, begin + 1ms, begin) && wheel.arm(b, begin + 1ms, begin), "armed");
    bool a_disarmed = false, b_disarmed = false;
    model::parallel([&] { wheel.advance(begin + 1s); }, [&] { a_disarmed = wheel.disarm(a); }, [&] { b_disarmed = wheel.disarm(b); });
    model::check(a.count == (a_disarmed ? 0 : 1) && b.count == (b_disarmed ? 0 : 1) && wheel.size() == 0, "one of two, each");
}

MODEL("wheel: the owner arms while another thread disarms", settings().preempt(4).stale(4)) {
    peal::rt::wheel wheel;
    counted_timer a, b;
    model::check(wheel.arm(a, begin + 1ms, begin), "armed");
    bool disarmed = false;
    model::parallel(
        [&] {
            model::check(wheel.arm(b, begin + 1ms, begin), "armed");
            model::check(wheel.next_advance() != peal::rt::wheel::never, "something is armed");
            wheel.advance(begin + 1s);
        },
        [&] { disarmed = wheel.disarm(a); });
    model::check(a.count == (disarmed ? 0 : 1) && b.count == 1 && wheel.size() == 0, "one of two, and the other");
}

MODEL("wheel: another advances while the owner arms, goes on to its next item, and advances", settings().preempt(3).stale(3)) {
    peal::rt::wheel wheel;
    counted_timer a, b;
    int seen_within = 0;
    model::check(wheel.arm(a, begin + 1ms, begin), "armed");
    wheel.end_item();
    model::parallel(
        [&] {
            wheel.arm_soon(b, begin + 1ms, begin);
            seen_within = b.count;  // a race, if others fired it
            wheel.end_item();
            wheel.advance(begin + 1s);
        },
        [&] { wheel.advance_for_owner(begin + 1s); });
    wheel.advance(begin + 2s);  // it may have been put off to the tick after another's time
    model::check(a.count == 1 && b.count == 1 && seen_within == 0 && wheel.size() == 0, "each once, and none within its item");
}

MODEL("wheel: disarmed while its owner and another fire it", settings().preempt(3).stale(2)) {
    peal::rt::wheel wheel;
    counted_timer a, b;
    model::check(wheel.arm(a, begin + 1ms, begin) && wheel.arm(b, begin + 1ms, begin), "armed");
    wheel.end_item();
    bool disarmed = false;
    model::parallel([&] { wheel.advance(begin + 1s); }, [&] { wheel.advance_for_owner(begin + 1s); }, [&] { disarmed = wheel.disarm(a); });
    model::check(a.count == (disarmed ? 0 : 1) && b.count == 1 && wheel.size() == 0, "one of two, and the other");
}

// ---- sleeping ---------------------------------------------------------------------------------------------------------------------------

MODEL("sleep: stopped while its time is over", settings().preempt(4).stale(3)) {
    with_owner seam;
    auto sleep = [](bool& canceled) -> peal::task<> {
        try {
            co_await peal::sleep_for(1ms);
        } catch (const std::system_error&) {
            canceled = true;
        }
    };
    bool canceled = false;
    started_task a(sleep, std::ref(canceled));
    model::parallel(
        [&] {
            a.start();
            run_woken();
            seam.time_passes();
        },
        [&] { a.request_stop(), run_woken(); });
    model::check(a.has_ended() && seam.timers().size() == 0, "awake");
}

/// In an item of its own. In the end the owner looks itself.
template <class Task>
void start_while_another_fires(with_owner& seam, Task& task) {
    model::parallel(
        [&] {
            seam.timers().end_item();
            task.start();
            seam.timers().end_item();
            run_woken();
        },
        [&] { seam.time_is_seen_to_pass(); });
    seam.time_passes();
}

MODEL("sleep: begun while another fires for the owner", settings().preempt(4).stale(3)) {
    with_owner seam;
    auto sleep = []() -> peal::task<> { co_await peal::sleep_for(1ms); };
    started_task a(sleep);
    start_while_another_fires(seam, a);
    model::check(a.has_ended() && seam.timers().size() == 0, "awake");
}

// ---- a limit on one operation ---------------------------------------------------------------------------------------------------------------

/// One of the two: how 1, or 2.
void happens_while_time_is_over(peal::task<> (*limited)(peal::event&, int&)) {
    with_owner seam;
    peal::event happened;
    int how = 0;
    started_task a(limited, std::ref(happened), std::ref(how));
    a.start();
    model::parallel([&] { seam.time_passes(); }, [&] { happened.set(), run_woken(); });
    model::check(a.has_ended() && (how == 1 || how == 2) && seam.timers().size() == 0, "one of two");
}

/// One of the three.
void happens_and_is_stopped_while_time_is_over(peal::task<> (*limited)(peal::event&, int&)) {
    with_owner seam;
    peal::event happened;
    int how = 0;
    started_task a(limited, std::ref(happened), std::ref(how));
    model::parallel(
        [&] {
            a.start();
            run_woken();
            seam.time_passes();
        },
        [&] { happened.set(), run_woken(); }, [&] { a.request_stop(), run_woken(); });
    model::check(a.has_ended() && how != 0 && seam.timers().size() == 0, "one of three");
}

/// Nothing happens: its time is over, whoever says so, and whenever.
void another_fires_while_it_begins(peal::task<> (*limited)(peal::event&, int&)) {
    with_owner seam;
    peal::event never;
    int how = 0;
    started_task a(limited, std::ref(never), std::ref(how));
    start_while_another_fires(seam, a);
    model::check(a.has_ended() && how == 2 && seam.timers().size() == 0, "in time");
}

/// One of the two.
void happens_while_another_fires(peal::task<> (*limited)(peal::event&, int&)) {
    with_owner seam;
    peal::event happened;
    int how = 0;
    started_task a(limited, std::ref(happened), std::ref(how));
    seam.timers().end_item();
    a.start();
    model::parallel(
        [&] {
            seam.timers().end_item();
            happened.set();
            run_woken();
        },
        [&] { seam.time_is_seen_to_pass(); });
    seam.time_passes();
    model::check(a.has_ended() && (how == 1 || how == 2) && seam.timers().size() == 0, "one of two");
}

peal::task<> wait_limited(peal::event& awaited, int& how) {
    try {
        co_await peal::timeout(1ms, awaited.wait());
        how = 1;
    } catch (const std::system_error& failure) {
        how = failure.code() == std::errc::timed_out ? 2 : 3;
    }
}

MODEL("timeout of one operation: it happens while the time is over", settings().preempt(4).stale(3)) { happens_while_time_is_over(wait_limited); }

MODEL("timeout of one operation: stopped, and it happens, while the time is over", settings().preempt(2).stale(1)) {
    happens_and_is_stopped_while_time_is_over(wait_limited);
}

MODEL("timeout of one operation: begun while another fires for the owner", settings().preempt(4).stale(3)) { another_fires_while_it_begins(wait_limited); }

MODEL("timeout of one operation: it happens while another fires for the owner", settings().preempt(4).stale(3)) { happens_while_another_fires(wait_limited); }

// ---- a limit on a task --------------------------------------------------------------------------------------------------------------------

peal::task<> wait_for(peal::event& awaited) { co_await awaited.wait(); }

peal::task<> wait_limited_task(peal::event& awaited, int& how) {
    try {
        co_await peal::timeout(1ms, wait_for(awaited));
        how = 1;
    } catch (const std::system_error& failure) {
        how = failure.code() == std::errc::timed_out ? 2 : 3;
    }
}

MODEL("timeout of a task: it ends while the time is over", settings().preempt(4).stale(2)) { happens_while_time_is_over(wait_limited_task); }

MODEL("timeout of a task: stopped, and it ends, while the time is over", settings().preempt(2).stale(1)) {
    happens_and_is_stopped_while_time_is_over(wait_limited_task);
}

MODEL("timeout of a task: begun while another fires for the owner", settings().preempt(4).stale(2)) { another_fires_while_it_begins(wait_limited_task); }

MODEL("timeout of a task: it happens while another fires for the owner", settings().preempt(4).stale(2)) { happens_while_another_fires(wait_limited_task); }

}  // namespace
