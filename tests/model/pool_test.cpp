// SPDX-License-Identifier: MIT

// Models of a pool as a whole: the product's scheduler and workers on threads of the explorer, with a driver whose kernel is a few lines
// (model_driver.hpp). Parking and waking, searching, the inbox, acceptance against shutdown, operations against stoppers, and a scope that waits in
// its destructor. A lost wake-up is a deadlock here: nobody looks again by himself.
//
// An execution has some hundred steps, so none of these is searched to the end; what they stand on is, in the other programs.

#include <cerrno>
#include <optional>

#include <peal/detail/operation.hpp>
#include <peal/detail/timer.hpp>
#include <peal/parallel/join.hpp>
#include <peal/sync/event.hpp>
#include <peal/task/as_result.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>

#include <sched/scheduler.hpp>
#include <task/arrivals.hpp>
#include <task/blocking_threads.hpp>
#include <task/descriptors.hpp>
#include <task/this_driver.hpp>
#include <time/wheel.hpp>

#include "model_driver.hpp"
#include "tasks.hpp"

namespace {

using model::settings;

settings whole_pool(unsigned preemptions = 2, unsigned stale = 1) {
    settings bounds;
    bounds.preempt(preemptions).stale(stale).spurious(0).at_most(6'000).at_random(14'000);
    bounds.steps = 20'000;
    return bounds;
}

/// A list of all schedulers is made when the first one is, and kept: not by an execution.
[[maybe_unused]] const bool list_is_made = [] {
    std::vector<std::unique_ptr<peal::rt::scheduler>> some;
    for (int i = 0; i < 3; ++i) some.push_back(std::make_unique<peal::rt::scheduler>(peal::rt::scheduler_settings{}));
    for (auto& each : some) each->shutdown(std::chrono::milliseconds(0), std::chrono::milliseconds(0));
    return true;
}();

class pool {
  public:
    explicit pool(unsigned workers, std::uint64_t most_pending = 0) : none_("model", 1), scheduler_(with(workers, most_pending)) {
        drivers_.resize(workers);
        scheduler_.start([this](unsigned index) {
            auto made = std::make_unique<model::model_driver>(none_);
            drivers_[index] = made.get();
            return made;
        });
    }
    /// Returns when all tasks have ended.
    peal::rt::end_report shut_down() { return scheduler_.shutdown(std::chrono::hours(1), std::chrono::hours(1)); }
    peal::rt::end_report cancel_all() { return scheduler_.shutdown(std::chrono::milliseconds(0), std::chrono::hours(1)); }

    template <class Function, class... Arguments>
    auto spawn(Function function, Arguments&&... arguments) {
        return spawn_as(peal::spawn_options("model"), std::move(function), std::forward<Arguments>(arguments)...);
    }
    template <class Function, class... Arguments>
    auto spawn_in(peal::share group, Function function, Arguments&&... arguments) {
        return spawn_as(peal::spawn_options("model", group), std::move(function), std::forward<Arguments>(arguments)...);
    }
    template <class Function, class... Arguments>
    auto spawn_as(const peal::spawn_options& options, Function function, Arguments&&... arguments) {
        return peal::detail::start_spawned(
            scheduler_, nullptr,
            peal::detail::make_spawned(options, &scheduler_, std::move(function), std::forward<Arguments>(arguments)...));
    }
    peal::share make_share(unsigned weight) { return peal::share(*scheduler_.shares().make(&scheduler_, weight)); }
    peal::rt::scheduler& scheduler() { return scheduler_; }
    model::model_driver& driver(unsigned index) { return *drivers_[index]; }

  private:
    static peal::rt::scheduler_settings with(unsigned workers, std::uint64_t most_pending) {
        peal::rt::scheduler_settings settings;
        settings.workers = workers;
        settings.bounds.all = most_pending;
        return settings;
    }
    peal::rt::blocking_pool none_;
    std::vector<model::model_driver*> drivers_;
    peal::rt::scheduler scheduler_;
};

peal::task<> count(int& ends) {
    ++ends;
    co_return;
}

peal::task<> count_and_tell(model::event& told, int& ends) {
    ++ends;
    told.raise();
    co_return;
}
/// Does not let go of its worker before that.
peal::task<> block_and_count(model::event& awaited, int& ends) {
    awaited.await();
    ++ends;
    co_return;
}

// ---- parking and waking ----------------------------------------------------------------------------------------------------------------

MODEL("pool of one: two tasks from two threads outside", whole_pool()) {
    pool p(1);
    int first = 0, second = 0;
    model::parallel([&] { p.spawn(count, std::ref(first)); }, [&] { p.spawn(count, std::ref(second)); });
    auto report = p.shut_down();
    model::check(first == 1 && second == 1 && report.drained, "both have run");
}

MODEL("pool of two: two tasks from two threads outside", whole_pool(2, 1)) {
    pool p(2);
    int first = 0, second = 0;
    model::parallel([&] { p.spawn(count, std::ref(first)); }, [&] { p.spawn(count, std::ref(second)); });
    p.shut_down();
    model::check(first == 1 && second == 1, "both have run");
}

MODEL("pool of one: an event from outside wakes a task while its worker parks", whole_pool(3, 1)) {
    pool p(1);
    peal::event happened;
    int ends = 0;
    auto wait = [](peal::event& awaited, int& ended) -> peal::task<> {
        co_await awaited.wait();
        ++ended;
    };
    p.spawn(wait, std::ref(happened), std::ref(ends));
    model::parallel([&] { happened.set(); }, [] {});
    p.shut_down();
    model::check(ends == 1, "woken");
}

MODEL("pool of two: what lies behind a task that blocks its worker is stolen", whole_pool()) {
    // The first task does not let go of its worker before the second has run: the other worker must come for it.
    pool p(2);
    model::event second_has_run;
    int ends = 0;
    auto first = [](pool& its, model::event& awaited, int& ended) -> peal::task<> {
        its.spawn(count_and_tell, std::ref(awaited), std::ref(ended));
        awaited.await();
        ++ended;
        co_return;
    };
    p.spawn(first, std::ref(p), std::ref(second_has_run), std::ref(ends));
    p.shut_down();
    model::check(ends == 2, "both have run");
}

MODEL("pool of two: what has another priority behind a task that blocks its worker is stolen", whole_pool()) {
    pool p(2);
    model::event second_has_run;
    int ends = 0;
    auto first = [](pool& its, model::event& awaited, int& ended) -> peal::task<> {
        its.spawn_as(peal::spawn_options("low", peal::priority::low), count_and_tell, std::ref(awaited), std::ref(ended));
        awaited.await();
        ++ended;
        co_return;
    };
    p.spawn(first, std::ref(p), std::ref(second_has_run), std::ref(ends));
    p.shut_down();
    model::check(ends == 2, "both have run");
}

MODEL("pool of two: a task woken by one that blocks is taken as a last resort", whole_pool()) {
    // It lies in the LIFO slot of the worker that is blocked by whoever woke it. For a while: nobody is woken for what lies in that slot, so
    // a searcher that came too early leaves it there until its owner goes on.
    pool p(2);
    model::event other_has_run;
    peal::event happened;
    int ends = 0;
    auto wait = [](peal::event& awaited, model::event& tells, int& ended) -> peal::task<> {
        co_await awaited.wait();
        ++ended;
        tells.raise();
    };
    auto wake = [](peal::event& told, model::event& awaited, pool& its, int& ended) -> peal::task<> {
        told.set();
        its.spawn(count, std::ref(ended));  // so that somebody is woken to search
        static_cast<void>(awaited.await_a_while());
        co_return;
    };
    int other = 0;
    p.spawn(wait, std::ref(happened), std::ref(other_has_run), std::ref(ends));
    p.spawn(wake, std::ref(happened), std::ref(other_has_run), std::ref(p), std::ref(other));
    p.shut_down();
    model::check(ends == 1 && other == 1, "all have run");
}

MODEL("pool of two: two tasks woken by one that blocks, the second displaces the first", whole_pool(2, 0)) {
    pool p(2);
    model::event first_has_run, second_has_run;
    peal::event one, other;
    int first = 0, second = 0, third = 0;
    auto wait = [](peal::event& awaited, model::event& tells, int& ended) -> peal::task<> {
        co_await awaited.wait();
        ++ended;
        tells.raise();
    };
    auto wake = [](peal::event& a, peal::event& b, model::event& a_ran, model::event& b_ran, pool& its, int& ended) -> peal::task<> {
        its.spawn(count, std::ref(ended));  // so that somebody searches, also in the LIFO slot
        a.set();
        b.set();
        static_cast<void>(a_ran.await_a_while());
        static_cast<void>(b_ran.await_a_while());
        co_return;
    };
    p.spawn(wait, std::ref(one), std::ref(first_has_run), std::ref(first));
    p.spawn(wait, std::ref(other), std::ref(second_has_run), std::ref(second));
    p.spawn(wake, std::ref(one), std::ref(other), std::ref(first_has_run), std::ref(second_has_run), std::ref(p), std::ref(third));
    p.shut_down();
    model::check(first == 1 && second == 1 && third == 1, "each once");
}

MODEL("pool of two: from worker to worker through the inbox", whole_pool()) {
    pool p(2);
    int ends = 0;
    class hop : public peal::detail::work_item {
      public:
        hop(pool& its, unsigned to) : its_(its), to_(to) {}
        bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<peal::task<>::promise_type> awaiting) noexcept {
            handle = awaiting;
            owner = &awaiting.promise().owner();
            peal::detail::enqueue_on(its_.scheduler(), to_, *this);
        }
        void await_resume() const noexcept {
            model::check(peal::detail::this_thread.worker->index() == to_, "there");
        }

      private:
        pool& its_;
        unsigned to_;
    };
    auto travel = [](pool& its, int& ended) -> peal::task<> {
        for (unsigned to : {0u, 1u, 0u}) {
            hop next(its, to);
            co_await next;
        }
        ++ended;
    };
    p.spawn(travel, std::ref(p), std::ref(ends));
    p.shut_down();
    model::check(ends == 1, "arrived");
}

MODEL("pool of two: two tasks of one share from two threads outside", whole_pool()) {
    pool p(2);
    peal::share group = p.make_share(100);
    int first = 0, second = 0;
    model::parallel([&] { p.spawn_in(group, count, std::ref(first)); }, [&] { p.spawn_in(group, count, std::ref(second)); });
    p.shut_down();
    model::check(first == 1 && second == 1, "both have run");
}

MODEL("pool of one: an event from outside wakes a task of a share while its worker parks", whole_pool(3, 1)) {
    pool p(1);
    peal::share group = p.make_share(100);
    peal::event happened;
    int ends = 0;
    auto wait = [](peal::event& awaited, int& ended) -> peal::task<> {
        co_await awaited.wait();
        ++ended;
    };
    p.spawn_in(group, wait, std::ref(happened), std::ref(ends));
    model::parallel([&] { happened.set(); }, [] {});
    p.shut_down();
    model::check(ends == 1, "woken");
}

MODEL("pool of two: what a task of a share leaves behind while it blocks its worker is taken", whole_pool()) {
    // It yields, and its worker takes another of the share, which blocks until the first has gone on elsewhere.
    pool p(2);
    peal::share group = p.make_share(100);
    model::event first_has_ended;
    int ends = 0;
    auto yields = [](model::event& tells, int& ended) -> peal::task<> {
        co_await peal::yield();
        ++ended;
        tells.raise();
    };
    p.spawn_in(group, yields, std::ref(first_has_ended), std::ref(ends));
    p.spawn_in(group, block_and_count, std::ref(first_has_ended), std::ref(ends));
    p.shut_down();
    model::check(ends == 2, "both have run");
}

MODEL("pool of two: what lies in a share behind a task that blocks its worker is taken", whole_pool()) {
    pool p(2);
    peal::share group = p.make_share(100);
    model::event second_has_run;
    int ends = 0;
    p.spawn_in(group, block_and_count, std::ref(second_has_run), std::ref(ends));
    p.spawn_in(group, count_and_tell, std::ref(second_has_run), std::ref(ends));
    p.shut_down();
    model::check(ends == 2, "both have run");
}

// ---- acceptance and shutdown -------------------------------------------------------------------------------------------------------------

// ---- the door --------------------------------------------------------------------------------------------------------------------------

MODEL("door: two threads bring more than may wait, while the worker parks", whole_pool(2, 1)) {
    pool p(1, 1);
    int first = 0, second = 0;
    auto bring_two = [&p](int& ran) {
        for (int i = 0; i < 2; ++i) p.spawn(count, std::ref(ran));
    };
    model::parallel([&] { bring_two(first); }, [&] { bring_two(second); });
    auto report = p.shut_down();
    model::check(first == 2 && second == 2 && report.drained, "all have come in");
}

MODEL("door: one that waits is refused by shutdown, or has come in before", whole_pool(2, 1)) {
    pool p(1, 1);
    int ran = 0, refused = 0;
    auto bring = [&] {
        for (int i = 0; i < 2; ++i) {
            try {
                p.spawn(count, std::ref(ran));
            } catch (const std::system_error&) {
                ++refused;
            }
        }
    };
    peal::rt::end_report report;
    model::parallel(bring, [&] { report = p.shut_down(); });
    model::check(ran + refused == 2 && report.drained, "none is lost");
}

/// As pool::submit(), to a pool that the task does not run on.
peal::task<> submit_to(peal::rt::scheduler& target, int& ran) {
    peal::detail::door_operation room(target, peal::detail::door_waiter::wish::room, peal::priority::normal, nullptr, "submit");
    co_await room;
    static_cast<void>(peal::detail::start_spawned(
        target, nullptr, peal::detail::make_spawned(peal::spawn_options("model"), &target, count, std::ref(ran)), &room));
}

MODEL("door: a task that waits comes in, or is stopped, and the place is free again", whole_pool(2, 0)) {
    pool p(1, 1);
    int ran = 0, submitted = 0;
    auto waits = [](pool& its, int& brought) -> peal::task<> { co_await submit_to(its.scheduler(), brought); };
    p.spawn(count, std::ref(ran));
    auto waiting = p.spawn(waits, std::ref(p), std::ref(submitted));
    model::parallel([&] { waiting.request_stop(); }, [&] { p.spawn(count, std::ref(ran)); });
    auto report = p.shut_down();
    model::check(ran == 2 && submitted <= 1 && report.drained, "all have run but for the one that was stopped");
}

MODEL("pool of one: spawned from outside against shutdown", whole_pool(3, 2)) {
    pool p(1);
    int ends = 0;
    bool refused = false;
    model::parallel(
        [&] {
            try {
                p.spawn(count, std::ref(ends));
            } catch (const std::system_error&) {
                refused = true;
            }
        },
        [&] { p.shut_down(); });
    auto counts = p.scheduler().counts();
    model::check(ends == (refused ? 0 : 1), "accepted and run, or refused");
    model::check(counts.live() == 0 && counts.accepted == 1, "counted");
}

MODEL("pool of one: shutdown lets tasks end what they began", whole_pool()) {
    pool p(1);
    int ends = 0;
    auto begin = [](pool& its, int& ended) -> peal::task<> {
        co_await peal::yield();
        its.spawn(count, std::ref(ended));  // still accepted: from inside, while it drains
        ++ended;
    };
    p.spawn(begin, std::ref(p), std::ref(ends));
    auto report = p.shut_down();
    model::check(ends == 2 && report.drained, "both have run");
}

MODEL("pool of one: shutdown cancels what waits for ever", whole_pool()) {
    pool p(1);
    peal::event never;
    bool canceled = false;
    auto wait = [](peal::event& awaited, bool& stopped) -> peal::task<> {
        try {
            co_await awaited.wait();
        } catch (const std::system_error&) {
            stopped = true;
        }
    };
    p.spawn(wait, std::ref(never), std::ref(canceled));
    auto report = p.cancel_all();
    model::check(canceled && report.not_stopped.empty(), "stopped");
}

/// As schedule_on().
struct on_worker : peal::detail::work_item {
    on_worker(peal::rt::scheduler& target, unsigned index) noexcept : to(target), worker(index) {}
    bool await_ready() const noexcept { return false; }
    template <peal::detail::peal_promise Promise>
    void await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        handle = awaiting;
        owner = &awaiting.promise().owner();
        owner->set_scheduler(&to);
        peal::detail::enqueue_on(to, worker, *this);
    }
    void await_resume() const noexcept {}

    peal::rt::scheduler& to;
    unsigned worker;
};

MODEL("pool of two: one that searched meets work of its own, and the other gets what it saw", whole_pool(3, 1)) {
    pool p(2);
    model::event ran, over;
    int ends = 0;
    auto keep_worker = [](pool& its, model::event& awaited, model::event& told) -> peal::task<> {
        co_await on_worker(its.scheduler(), 0);
        awaited.await();
        told.raise();
    };
    model::started_task<> outside(keep_worker, std::ref(p), std::ref(ran), std::ref(over));
    p.spawn(count_and_tell, std::ref(ran), std::ref(ends));
    outside.start();
    over.await();
    p.shut_down();
    model::check(ends == 1, "run");
}

/// Its end runs code of the program, as that of a timeout() may, and that waits.
struct blocking_timer : peal::detail::timer {
    explicit blocking_timer(model::event& awaited) noexcept : timer(&blocking_timer::fire_blocking), awaited(awaited) {}
    static void fire_blocking(timer& self) noexcept { static_cast<blocking_timer&>(self).awaited.await(); }
    model::event& awaited;
};

MODEL("pool of two: what a timer runs blocks the worker that was woken to search", whole_pool(2, 0)) {
    using model::model_driver;
    model_driver::set_time(model_driver::beginning);
    pool p(2);
    model::event armed, last_has_run;
    blocking_timer timer(last_has_run);
    int ends = 0;
    auto arm = [](blocking_timer& armed_here, model::event& told) -> peal::task<> {
        const auto now = model_driver::beginning;
        model::check(peal::rt::this_wheel()->arm(armed_here, now + std::chrono::seconds(1), now), "armed");
        told.raise();
        co_return;
    };
    p.spawn(arm, std::ref(timer), std::ref(armed));
    armed.await();
    model_driver::set_time(model_driver::beginning + std::chrono::seconds(2));
    int first = 0;
    p.spawn(count, std::ref(first));
    p.spawn(count_and_tell, std::ref(last_has_run), std::ref(ends));
    p.shut_down();
    model::check(first == 1 && ends == 1, "both have run");
}

MODEL("pool of two: what a timer runs waits for a task that has yielded", whole_pool(1, 0)) {
    using model::model_driver;
    model_driver::set_time(model_driver::beginning);
    pool p(2);
    model::event has_run;
    blocking_timer timer(has_run);
    int ends = 0;
    auto yield_on = [](blocking_timer& armed_here, model::event& told, int& ended) -> peal::task<> {
        const auto now = model_driver::beginning;
        model::check(peal::rt::this_wheel()->arm(armed_here, now + std::chrono::seconds(1), now), "armed");
        model_driver::set_time(now + std::chrono::seconds(2));
        for (int i = 0; i < 40; ++i) co_await peal::yield();  // until the worker looks at its timers
        ++ended;
        told.raise();
    };
    p.spawn(yield_on, std::ref(timer), std::ref(has_run), std::ref(ends));
    p.shut_down();
    model::check(ends == 1, "run");
}

MODEL("pool of two: what a timer runs waits for a function that its worker has taken in join()", whole_pool(2, 0).at_random(20'000)) {
    using model::model_driver;
    model_driver::set_time(model_driver::beginning);
    pool p(2);
    model::event begun, has_run;
    blocking_timer timer(has_run);
    int ends = 0;
    auto join_two = [](blocking_timer& armed_here, model::event& other_begun, model::event& told, int& ended) -> peal::task<> {
        const auto now = model_driver::beginning;
        model::check(peal::rt::this_wheel()->arm(armed_here, now + std::chrono::seconds(1), now), "armed");
        peal::join(
            [&] {
                other_begun.await();
                model_driver::set_time(now + std::chrono::seconds(2));
            },
            [&] {
                other_begun.raise();
                peal::join([] {}, [&] { told.raise(); });
            });
        ++ended;
        co_return;
    };
    p.spawn(join_two, std::ref(timer), std::ref(begun), std::ref(has_run), std::ref(ends));
    p.shut_down();
    model::check(ends == 1, "run");
}

// ---- operations ----------------------------------------------------------------------------------------------------------------------

peal::task<> operate(std::int32_t& outcome) {
    peal::detail::void_operation operation(peal::detail::operation_kind::nop);
    auto result = co_await peal::as_result(operation);
    outcome = result ? 1 : result.error().is_canceled() ? 2 : 3;
}

MODEL("operation: its completion against a stop", whole_pool(3, 1)) {
    pool p(1);
    std::int32_t outcome = 0;
    auto handle = p.spawn(operate, std::ref(outcome));
    peal::stop_handle stop = handle.stop_handle();
    model::parallel([&] { p.driver(0).complete_one(0); }, [&] { stop.request_stop(); });
    p.shut_down();
    model::check(outcome == 1 || outcome == 2, "one of two ends");
}

/// The number of a descriptor whose count is made before any execution, and kept.
constexpr int the_number = 901;
[[maybe_unused]] const bool count_is_made = [] {
    static_cast<void>(peal::rt::begin_use(the_number));
    return peal::rt::end_use(the_number) == peal::rt::left_to_close::nothing;
}();

class next_arrival : public peal::detail::arrival_wait {
  public:
    explicit next_arrival(peal::rt::arrivals& from) noexcept : arrival_wait(from) {}
    std::int32_t await_resume() const noexcept { return was_canceled() ? -ECANCELED : outcome(); }
};

peal::task<> await_arrival(peal::rt::arrivals& from, std::int32_t& got) { got = co_await next_arrival(from); }

MODEL("arrivals: one comes while its wait is stopped, and the next wait gets it", whole_pool(3, 1)) {
    pool p(1);
    auto* incoming = new peal::rt::arrivals(the_number);
    std::int32_t first = 0, second = 0;
    auto handle = p.spawn(await_arrival, std::ref(*incoming), std::ref(first));
    peal::stop_handle stop = handle.stop_handle();
    model::parallel([&] { p.driver(0).complete_one(5); }, [&] { stop.request_stop(); });
    auto after = [](peal::rt::arrivals& from, peal::join_handle<> before, const std::int32_t& had, std::int32_t& has) -> peal::task<> {
        co_await std::move(before);
        if (had < 0) has = co_await next_arrival(from);
    };
    p.spawn(after, std::ref(*incoming), std::move(handle), std::cref(first), std::ref(second));
    p.driver(0).complete_one(5);
    p.cancel_all();
    incoming->drop();
    model::check(first == 5 || (first == -ECANCELED && (second == 5 || second == -ECANCELED)), "not lost");
}

peal::task<> await_arrival_and_tell(peal::rt::arrivals& from, model::event& told) {
    const std::int32_t got = co_await next_arrival(from);
    model::check(got == 5, "the first");
    told.raise();
}

/// One that runs, and nobody waits for it.
peal::rt::arrivals* running_in(pool& p) {
    auto* made = new peal::rt::arrivals(the_number);
    model::event came;
    p.spawn(await_arrival_and_tell, std::ref(*made), std::ref(came));
    p.driver(0).complete_next(5);
    came.await();
    return made;
}

MODEL("arrivals: dropped while one comes", whole_pool(3, 1)) {
    pool p(1);
    auto* incoming = running_in(p);
    model::parallel([&] { p.driver(0).complete_one(5); }, [&] { incoming->drop(); });
    p.shut_down();
}

MODEL("arrivals: dropped while the stream ends", whole_pool(3, 1)) {
    pool p(1);
    auto* incoming = running_in(p);
    model::parallel([&] { p.driver(0).complete_one(0); }, [&] { incoming->drop(); });
    p.shut_down();
}

MODEL("arrivals: dropped while its pool ends", whole_pool(3, 1)) {
    pool p(1);
    auto* incoming = running_in(p);
    model::parallel([&] { p.shut_down(); }, [&] { incoming->drop(); });
}

/// Its wait is stopped while it begins; then the receiver is dropped, and the stream closed.
MODEL("arrivals: dropped while the first wait begins", whole_pool(3, 1)) {
    model::model_driver::closed = -1;
    pool p(2);
    auto waits_and_drops = [](peal::rt::arrivals* from) -> peal::task<> {
        static_cast<void>(co_await next_arrival(*from));
        from->drop();
        peal::rt::close_file(the_number);
    };
    auto handle = p.spawn(waits_and_drops, new peal::rt::arrivals(the_number));
    handle.stop_handle().request_stop();
    p.shut_down();
    static_cast<void>(peal::rt::begin_use(the_number));  // takes a closing mark away
    static_cast<void>(peal::rt::end_use(the_number));
}

// ---- a scope that waits in its destructor ---------------------------------------------------------------------------------------------

MODEL("scope: its destructor runs or awaits the children", whole_pool()) {
    pool p(2);
    int ends = 0;
    auto parent = [](int& ended) -> peal::task<> {
        int children = 0;
        {
            peal::scope scope;
            auto child = [](int& counted) -> peal::task<> {
                ++counted;
                co_return;
            };
            scope.spawn(child, std::ref(children));
        }
        model::check(children == 1, "none outlives it");
        ++ended;
        co_return;
    };
    p.spawn(parent, std::ref(ends));
    p.shut_down();
    model::check(ends == 1, "ended");
}

MODEL("scope: join against the ends of two children", whole_pool()) {
    pool p(2);
    int ends = 0;
    auto parent = [](int& ended) -> peal::task<> {
        int first = 0, second = 0;
        peal::scope scope;
        scope.spawn(count, std::ref(first));
        scope.spawn(count, std::ref(second));
        co_await scope.join();
        model::check(first == 1 && second == 1, "both have ended");
        ++ended;
    };
    p.spawn(parent, std::ref(ends));
    p.shut_down();
    model::check(ends == 1, "ended");
}

}  // namespace
