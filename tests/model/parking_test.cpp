// SPDX-License-Identifier: MIT

// Models of falling asleep (P3, runtime/sched/README.md): the product's worker loop, idle and driver state against one who brings work, and
// nothing else, so that much of it is searched. Who brings it waits until it was done: a lost wake-up is a deadlock.

#include <optional>

#include <peal/detail/this_thread.hpp>
#include <peal/parallel/join.hpp>

#include <sched/scheduler.hpp>
#include <task/blocking_threads.hpp>

#include "../support/work.hpp"
#include "model_driver.hpp"
#include "tasks.hpp"

namespace {

using model::settings;
using support::work;

settings falling_asleep() {
    settings bounds;
    bounds.preempt(2).stale(2).spurious(0).at_most(15'000).at_random(15'000);
    bounds.steps = 20'000;
    return bounds;
}

/// The list of all schedulers is made when the first one is, and kept: not by an execution.
[[maybe_unused]] const bool list_is_made = [] {
    peal::rt::scheduler first{peal::rt::scheduler_settings{}};
    first.shutdown(std::chrono::milliseconds(0), std::chrono::milliseconds(0));
    return true;
}();

/// Workers on threads of their own. The body is the one who brings work.
class workers {
  public:
    explicit workers(unsigned count) : none_("model", 1), scheduler_(with(count)) {
        scheduler_.start([this](unsigned) { return std::make_unique<model::model_driver>(none_); });
    }
    ~workers() { scheduler_.shutdown(std::chrono::hours(1), std::chrono::hours(1)); }
    peal::rt::scheduler* operator->() { return &scheduler_; }

  private:
    static peal::rt::scheduler_settings with(unsigned count) {
        peal::rt::scheduler_settings settings;
        settings.workers = count;
        return settings;
    }
    peal::rt::blocking_pool none_;
    peal::rt::scheduler scheduler_;
};

MODEL("parking: an item for this worker, through its inbox", falling_asleep()) {
    model::event done;
    work item([&] { done.raise(); });
    workers all(1);
    all->enqueue_on(0, item);
    done.await();
}

MODEL("parking: an item for any worker, through the injection queue", falling_asleep()) {
    model::event done;
    work item([&] { done.raise(); });
    workers all(1);
    all->enqueue(item);
    done.await();
}

MODEL("parking: several items at once, through the injection queue", falling_asleep()) {
    model::event done;
    work item([&] { done.raise(); });
    workers all(1);
    peal::detail::work_list several;
    several.push_back(item);
    all->injected().push_all(several);
    all->wake_one();
    done.await();
}

MODEL("parking: two workers, an item for any of them", falling_asleep()) {
    model::event done;
    work item([&] { done.raise(); });
    workers all(2);
    all->enqueue(item);
    done.await();
}

MODEL("parking: an item in the queue of a worker that is busy", falling_asleep()) {
    // The first worker pushes an item onto its own queue and blocks: the other one, wherever it is in falling asleep, must come.
    model::event stolen, done;
    workers* its = nullptr;
    work item([&] { stolen.raise(); });
    work busy([&] {
        (*its)->this_worker()->push_spawned(item);
        stolen.await();
        done.raise();
    });
    workers all(2);
    its = &all;
    all->enqueue_on(0, busy);
    done.await();
}

MODEL("parking: two items at once, and the first one blocks", falling_asleep()) {
    // Whoever found the first item passes the errand on, or the second is never run.
    model::event first_runs, second_has_run, done;
    work first([&] {
        first_runs.raise();
        second_has_run.await();
        done.raise();
    });
    work second([&] { second_has_run.raise(); });
    workers all(2);
    all->enqueue(first);
    all->enqueue(second);
    done.await();
}

MODEL("parking: what a busy worker has forked", falling_asleep()) {
    // The first worker forks a function and blocks until it has run: the other one, wherever it is in falling asleep, must come.
    model::event taken, done;
    struct forked final : peal::detail::fork_record {
        explicit forked(model::event& told) noexcept : fork_record(&forked::tell, kind::call), told(told) {}
        static peal::detail::work_item* tell(fork_record& self) noexcept { return static_cast<forked&>(self).told.raise(), nullptr; }
        model::event& told;
    } record(taken);
    work busy([&] {
        model::check(peal::detail::this_thread.forks->push(record), "there is room");
        taken.await();
        done.raise();
    });
    workers all(2);
    all->enqueue_on(0, busy);
    done.await();
}

MODEL("parking: join() waits for a function that the other worker has taken", falling_asleep()) {
    // The first function ends when the second has begun elsewhere; then its worker sleeps until that has ended.
    model::event taken, done;
    int ran = 0;
    work computes([&] {
        peal::join([&] { taken.await(); },
                   [&] {
                       taken.raise();
                       ++ran;
                   });
        model::check(ran == 1, "the second has ended");
        done.raise();
    });
    workers all(2);
    all->enqueue_on(0, computes);
    done.await();
}

MODEL("scheduler: destroyed when the work is over, and when the one who brought it has left", falling_asleep()) {
    model::event done;
    work item([&] { done.raise(); });
    std::optional<workers> all(std::in_place, 1u);
    model::parallel([&] { (*all)->enqueue(item); },
                    [&] {
                        done.await();
                        all.reset();
                    });
}

MODEL("parking: shutdown meets a worker that falls asleep", falling_asleep()) { workers all(1); }

// ---- the driver alone --------------------------------------------------------------------------------------------------------------------

/// An operation that a blocking thread has performed.
class performed final : public peal::detail::operation {
  public:
    performed() : operation(peal::detail::operation_kind::nop) { outstanding = 1; }
};

/// What every owner of a driver does, by the contract of driver.hpp, until so many have come.
void wait_for(peal::rt::driver& driver, std::size_t wanted) {
    for (std::size_t count = 0; count < wanted;) {
        peal::detail::work_list ready;
        driver.prepare_to_park();
        if (driver.has_messages()) {
            driver.stay_awake();
            driver.poll(ready);
        } else {
            driver.wait(ready, peal::rt::time_point::max());
        }
        count += ready.size();
    }
}

struct one_driver {
    peal::rt::blocking_pool none{"model", 1};
    std::optional<model::model_driver> driver{std::in_place, none};
};

struct bystander final : peal::detail::spawned_context {
    bystander() : spawned_context(peal::spawn_options("model"), nullptr) {}
    std::exception_ptr failure() const noexcept override { return nullptr; }
    void drop_payload() noexcept override {}
    void fail() noexcept override {}
};

/// An operation that is underway, with its task.
struct underway {
    underway() {
        operation.owner = task;
        model::check(task->arm(operation), "armed");
    }
    ~underway() { task->abandon(); }
    bystander* task = new bystander;
    performed operation;
};

MODEL("driver: completed by a blocking thread while its owner falls asleep", settings().preempt(4).stale(4)) {
    one_driver its;
    underway one;
    model::parallel([&] { wait_for(*its.driver, 1); }, [&] { its.driver->completed_elsewhere(one.operation); });
}

MODEL("driver: two blocking threads, and the owner sleeps once for both", settings().preempt(3).stale(2)) {
    one_driver its;
    underway first, second;
    model::parallel([&] { wait_for(*its.driver, 2); }, [&] { its.driver->completed_elsewhere(first.operation); },
                    [&] { its.driver->completed_elsewhere(second.operation); });
}

MODEL("driver: stopped while its owner falls asleep, and completed by a blocking thread", settings().preempt(3).stale(2)) {
    one_driver its;
    underway one;
    one.operation.home = &*its.driver;
    model::parallel([&] { wait_for(*its.driver, 1); }, [&] { its.driver->completed_elsewhere(one.operation); },
                    [&] { one.task->request_stop(); });
}

MODEL("driver: destroyed when two who called it at the same time have left", settings().preempt(3).stale(1)) {
    one_driver its;
    underway first, second;
    model::parallel(
        [&] {
            wait_for(*its.driver, 2);
            its.driver->wait_for_callers();
            its.driver.reset();
        },
        [&] { its.driver->completed_elsewhere(first.operation); }, [&] { its.driver->completed_elsewhere(second.operation); });
}

MODEL("driver: destroyed when those who called it have left", settings().preempt(4).stale(3)) {
    one_driver its;
    underway one;
    model::parallel(
        [&] {
            wait_for(*its.driver, 1);
            its.driver->wait_for_callers();
            its.driver.reset();
        },
        [&] { its.driver->completed_elsewhere(one.operation); });
}

}  // namespace
