// SPDX-License-Identifier: MIT

// Models of the life of a task: its end against joiners, stoppers and handles; lists of tasks; the branches of when_all, when_any and
// select; and what blocks a thread until a task has ended.

#include <optional>

#include <peal/combine/select.hpp>
#include <peal/combine/when_all.hpp>
#include <peal/combine/when_any.hpp>
#include <peal/detail/task_list.hpp>
#include <peal/sync/channel.hpp>
#include <peal/sync/event.hpp>
#include <peal/sync/lazy.hpp>
#include <peal/task/sync_wait.hpp>

#include "tasks.hpp"

namespace {

using model::settings;
using model::started_task;

peal::task<int> give(int value) { co_return value; }
peal::task<int> wait_and_give(peal::event& before, int value) {
    co_await before.wait();
    co_return value;
}
peal::task<int> join(peal::join_handle<int>& handle) { co_return co_await handle; }

// ---- end, joiner, handle, stopper ---------------------------------------------------------------------------------------------------

MODEL("task: its end against who joins it", settings().preempt(4).stale(4)) {
    started_task<int> child(give, 7);
    started_task<int> joiner(join, std::ref(child.handle()));
    model::parallel([&] { child.start(); }, [&] { joiner.start(); });
    model::check(joiner.has_ended() && joiner.context().take() == 7, "joined, with the value");
}

MODEL("task: its end against a joiner that is stopped", settings().preempt(3).stale(2)) {
    started_task<int> child(give, 7);
    auto join_or_leave = [](peal::join_handle<int>& handle, bool& left) -> peal::task<int> {
        try {
            co_return co_await handle;
        } catch (const std::system_error&) {
            left = true;
            co_return 0;
        }
    };
    bool left = false;
    started_task<int> joiner(join_or_leave, std::ref(child.handle()), std::ref(left));
    model::parallel([&] { child.start(); }, [&] { joiner.start(); }, [&] { joiner.request_stop(); });
    model::check(joiner.has_ended() && joiner.context().take() == (left ? 0 : 7), "joined or left");
}

MODEL("task: fails while somebody begins to join it", settings().preempt(4).stale(3)) {
    // Its list takes the failure if nobody has begun to join, and whoever joins gets it in any case.
    struct failures : peal::detail::task_list {
        failures() : task_list(nullptr, &failures::take) {}
        static void take(task_list& self, std::exception_ptr, const peal::context&) noexcept { ++static_cast<failures&>(self).count; }
        int count = 0;
    } list;
    auto fail = []() -> peal::task<int> {
        throw 5;
        co_return 0;
    };
    auto join_failing = [](peal::join_handle<int>& handle) -> peal::task<int> {
        try {
            co_return co_await handle;
        } catch (int thrown) {
            co_return thrown;
        }
    };
    started_task<int> child(fail);
    started_task<int> joiner(join_failing, std::ref(child.handle()));
    list.insert(child.context());
    model::parallel([&] { child.start(); }, [&] { joiner.start(); });
    model::check(joiner.has_ended() && joiner.context().take() == 5 && list.count <= 1 && list.size() == 0, "thrown");
}

MODEL("task: its end against detach", settings().preempt(4).stale(4)) {
    // The payload (frame, arguments) is dropped once, by the end or by the handle, and the task is freed by whoever is last.
    auto owned = std::make_unique<int>(1);
    auto hold = [](std::unique_ptr<int> kept) -> peal::task<> {
        model::check(*kept == 1, "its argument");
        co_return;
    };
    auto* task = peal::detail::make_spawned(peal::spawn_options("model"), nullptr, hold, std::move(owned));
    std::optional<peal::join_handle<>> handle(task);
    model::parallel(
        [&] {
            peal::detail::this_thread.current = task;
            peal::detail::resume_chain(task->handle);
        },
        [&] { handle.reset(); });
}

MODEL("task: its end, detach, and a stop_handle that is used and dropped", settings().preempt(3).stale(2)) {
    auto* task = peal::detail::make_spawned(peal::spawn_options("model"), nullptr, give, 1);
    std::optional<peal::join_handle<int>> handle(task);
    std::optional<peal::stop_handle> stop(handle->stop_handle());
    model::parallel(
        [&] {
            peal::detail::this_thread.current = task;
            peal::detail::resume_chain(task->handle);
        },
        [&] { handle.reset(); },
        [&] {
            stop->request_stop();
            stop.reset();
        });
}

MODEL("task: woken and stopped while it runs", settings().preempt(3).stale(2)) {
    // It waits twice; the first event wakes it while the stopper comes, and the second may never: the stop must reach it.
    peal::event first, second;
    auto wait_twice = [](peal::event& one, peal::event& other, bool& stopped) -> peal::task<> {
        try {
            co_await one.wait();
            co_await other.wait();
        } catch (const std::system_error&) {
            stopped = true;
        }
    };
    bool stopped = false;
    started_task a(wait_twice, std::ref(first), std::ref(second), std::ref(stopped));
    model::parallel([&] { a.start(); }, [&] { first.set(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && stopped, "the stop reached it, wherever it was");
}

MODEL("task: two stoppers, one event", settings().preempt(3).stale(1)) {
    peal::event happened;
    auto wait = [](peal::event& awaited, int& ends) -> peal::task<> {
        try {
            co_await awaited.wait();
        } catch (const std::system_error&) {
        }
        ++ends;
    };
    int ends = 0;
    started_task a(wait, std::ref(happened), std::ref(ends));
    a.start();
    model::parallel([&] { happened.set(); }, [&] { a.request_stop(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && ends == 1, "resumed once");
}

MODEL("task: stop_leaf ends the wait and not the task", settings().preempt(4).stale(3)) {
    peal::event happened;
    auto wait = [](peal::event& awaited, int& canceled) -> peal::task<> {
        for (int i = 0; i < 2; ++i) {
            try {
                co_await awaited.wait();
            } catch (const std::system_error&) {
                ++canceled;
            }
        }
    };
    int canceled = 0;
    started_task a(wait, std::ref(happened), std::ref(canceled));
    bool stopped = false;
    model::parallel([&] { a.start(); }, [&] { stopped = a.context().stop_leaf(); });
    model::check(canceled == (stopped ? 1 : 0) && !a.context().stop_requested(), "one wait at most");
    happened.set();
    model::check(a.has_ended(), "it goes on");
}

MODEL("sync_wait: the end of the task on another thread against the one that blocks", settings().preempt(3).stale(2)) {
    peal::event happened;
    model::parallel([&] { model::check(peal::sync_wait(wait_and_give(happened, 3)) == 3, "its value"); }, [&] { happened.set(); });
}

MODEL("channel: threads that block", settings().preempt(2).stale(1)) {
    peal::channel<int> channel(0);
    model::parallel([&] { channel.blocking_send(4); }, [&] { model::check(channel.blocking_receive() == 4, "received"); });
}

MODEL("once: two callers", settings().preempt(3).stale(2)) {
    peal::once once;
    int done = 0;
    auto call = [](peal::once& its, int& count) -> peal::task<> {
        co_await its.call([&count] { ++count; });
        model::check(count == 1, "done before anybody goes on");
    };
    started_task a(call, std::ref(once), std::ref(done)), b(call, std::ref(once), std::ref(done));
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended() && done == 1, "once");
    a.context().take();
    b.context().take();
}

// ---- lists of tasks -------------------------------------------------------------------------------------------------------------------

peal::task<> wait_for(peal::event& awaited, bool& stopped) {
    try {
        co_await awaited.wait();
    } catch (const std::system_error&) {
        stopped = true;
    }
}

MODEL("task list: all are asked to stop while one enters", settings().preempt(3).stale(2)) {
    peal::event never;
    bool a_stopped = false, b_stopped = false;
    peal::detail::task_list list;
    started_task a(wait_for, std::ref(never), std::ref(a_stopped)), b(wait_for, std::ref(never), std::ref(b_stopped));
    list.insert(a.context());
    a.start();
    model::parallel(
        [&] {
            list.insert(b.context());
            b.start();
        },
        [&] { list.request_stop_all(); });
    model::check(a.has_ended() && b.has_ended() && a_stopped && b_stopped && list.size() == 0, "nobody is forgotten");
}

MODEL("task list: all are asked to stop while they end", settings().preempt(2).stale(1)) {
    peal::event happened;
    bool a_stopped = false, b_stopped = false;
    peal::detail::task_list list;
    started_task a(wait_for, std::ref(happened), std::ref(a_stopped)), b(wait_for, std::ref(happened), std::ref(b_stopped));
    list.insert(a.context());
    list.insert(b.context());
    a.start();
    b.start();
    model::parallel([&] { happened.set(); }, [&] { list.request_stop_all(); });
    model::check(a.has_ended() && b.has_ended() && list.size() == 0, "all have ended");
}

MODEL("task list: destroyed by who waited for it to be empty", settings().preempt(4).stale(3)) {
    struct told final : peal::detail::waiter {
        told() : waiter(&told::tell) {}
        static void tell(waiter& self) noexcept { static_cast<told&>(self).empty.raise(); }
        model::event empty;
    } waiter;
    auto* list = new peal::detail::task_list;
    started_task<int> a(give, 1), b(give, 2);
    list->insert(a.context());
    list->insert(b.context());
    model::parallel([&] { a.start(); }, [&] { b.start(); },
                    [&] {
                        if (list->wait_for_empty(waiter)) waiter.empty.await();
                        delete list;
                    });
    model::check(a.has_ended() && b.has_ended(), "both have ended");
}

MODEL("task list: who waits for it to be empty takes that back", settings().preempt(4).stale(3)) {
    struct told final : peal::detail::waiter {
        told() : waiter(&told::tell) {}
        static void tell(waiter& self) noexcept { static_cast<told&>(self).count.fetch_add(1); }
        model::atomic<int> count{0};
    } waiter;
    peal::detail::task_list list;
    started_task<int> a(give, 1);
    list.insert(a.context());
    bool forgotten = false;
    model::parallel([&] { a.start(); }, [&] { forgotten = list.wait_for_empty(waiter) ? list.forget(waiter) : true; });
    model::check(waiter.count.load() == (forgotten ? 0 : 1), "told, or forgotten");
}

// ---- branches -------------------------------------------------------------------------------------------------------------------------

peal::task<int> wait_for_both(peal::event& one, peal::event& other) {
    auto [a, b] = co_await peal::when_all(wait_and_give(one, 1), wait_and_give(other, 2));
    co_return a + b;
}

MODEL("when_all: two branches end at the same time", settings().preempt(4).stale(3)) {
    peal::event one, other;
    started_task<int> a(wait_for_both, std::ref(one), std::ref(other));
    a.start();
    model::parallel([&] { one.set(); }, [&] { other.set(); });
    model::check(a.has_ended() && a.context().take() == 3, "both values");
}

MODEL("when_all: the branches end while they are started", settings().preempt(3).stale(1)) {
    peal::event one, other;
    started_task<int> a(wait_for_both, std::ref(one), std::ref(other));
    model::parallel([&] { a.start(); }, [&] { one.set(); }, [&] { other.set(); });
    model::check(a.has_ended() && a.context().take() == 3, "both values");
}

MODEL("when_all: stopped while a branch ends", settings().preempt(3).stale(1)) {
    peal::event one, never;
    started_task<int> a(wait_for_both, std::ref(one), std::ref(never));
    a.start();
    model::parallel([&] { one.set(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && peal::is_canceled(a.context().failure()), "canceled as a whole");
    a.context().set_observed();
}

MODEL("when_all: stopped while both branches end", settings().preempt(2).stale(1)) {
    peal::event one, other;
    started_task<int> a(wait_for_both, std::ref(one), std::ref(other));
    a.start();
    model::parallel([&] { one.set(); }, [&] { other.set(); }, [&] { a.request_stop(); });
    model::check(a.has_ended(), "it goes on, once");
}

MODEL("when_all: stopped while it starts", settings().preempt(3).stale(1)) {
    peal::event one, other;
    started_task<int> a(wait_for_both, std::ref(one), std::ref(other));
    model::parallel([&] { a.start(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && peal::is_canceled(a.context().failure()), "canceled");
}

MODEL("when_all: two branches fail at the same time", settings().preempt(3).stale(2)) {
    peal::event one, other;
    auto fail = [](peal::event& before, int value) -> peal::task<int> {
        co_await before.wait();
        throw value;
    };
    auto both = [](auto failing, peal::event& first, peal::event& second) -> peal::task<int> {
        try {
            co_await peal::when_all(failing(first, 1), failing(second, 2));
        } catch (int value) {
            co_return value;
        } catch (const std::system_error&) {
        }
        co_return 0;
    };
    started_task<int> a(both, fail, std::ref(one), std::ref(other));
    a.start();
    model::parallel([&] { one.set(); }, [&] { other.set(); });
    model::check(a.has_ended(), "ended");
    int value = a.context().take();
    model::check(value == 1 || value == 2, "one of the two failures");
}

MODEL("when_any: both are first", settings().preempt(4).stale(2)) {
    peal::event one, other;
    auto first = [](peal::event& a, peal::event& b) -> peal::task<int> {
        auto got = co_await peal::when_any(wait_and_give(a, 1), wait_and_give(b, 2));
        co_return got.index == 0 ? std::get<0>(got.value) : std::get<1>(got.value);
    };
    started_task<int> a(first, std::ref(one), std::ref(other));
    a.start();
    model::parallel([&] { one.set(); }, [&] { other.set(); });
    model::check(a.has_ended(), "ended");
    int value = a.context().take();
    model::check(value == 1 || value == 2, "the value of one");
}

MODEL("first_success: one fails and one gives a value, or both fail", settings().preempt(3).stale(2)) {
    peal::event one, other;
    bool both_fail = model::choose(2) == 1;
    auto fail = [](peal::event& before) -> peal::task<int> {
        co_await before.wait();
        throw 5;
    };
    auto give_or_fail = [](peal::event& before, bool fails) -> peal::task<int> {
        co_await before.wait();
        if (fails) throw 6;
        co_return 1;
    };
    auto first = [](auto failing, auto giving, peal::event& a, peal::event& b, bool fails) -> peal::task<int> {
        try {
            auto got = co_await peal::first_success(failing(a), giving(b, fails));
            co_return static_cast<int>(got.index);
        } catch (int thrown) {
            co_return thrown;
        }
    };
    started_task<int> a(first, fail, give_or_fail, std::ref(one), std::ref(other), both_fail);
    a.start();
    model::parallel([&] { one.set(); }, [&] { other.set(); });
    model::check(a.has_ended(), "ended");
    int value = a.context().take();
    model::check(both_fail ? value == 5 || value == 6 : value == 1, "the value, or the first failure");
}

MODEL("when_any: one is first, and the other never", settings().preempt(4).stale(2)) {
    peal::event one, never;
    auto first = [](peal::event& a, peal::event& b) -> peal::task<int> {
        auto got = co_await peal::when_any(wait_and_give(a, 1), wait_and_give(b, 2));
        co_return static_cast<int>(got.index);
    };
    started_task<int> a(first, std::ref(one), std::ref(never));
    model::parallel([&] { a.start(); }, [&] { one.set(); });
    model::check(a.has_ended() && a.context().take() == 0, "the other was stopped");
}

// ---- select ---------------------------------------------------------------------------------------------------------------------------

peal::task<int> receive_one_of(peal::channel<int>& a, peal::channel<int>& b) {
    auto got = co_await peal::select(a.receive(), b.receive());
    auto item = got.index == 0 ? std::get<0>(got.value) : std::get<1>(got.value);
    co_return *item;
}

MODEL("select: both channels get an item at the same time, one is taken", settings().preempt(2).stale(1)) {
    peal::channel<int> a(1), b(1);
    started_task<int> selecting(receive_one_of, std::ref(a), std::ref(b));
    selecting.start();
    int one = 1, other = 2;
    model::parallel([&] { static_cast<void>(a.try_send(one)); }, [&] { static_cast<void>(b.try_send(other)); });
    model::check(selecting.has_ended(), "ended");
    int taken = selecting.context().take();
    model::check(a.try_receive().value_or(0) + b.try_receive().value_or(0) + taken == 3, "the other is still there");
}

MODEL("select: the items come while it begins", settings().preempt(2).stale(0)) {
    peal::channel<int> a(1), b(1);
    started_task<int> selecting(receive_one_of, std::ref(a), std::ref(b));
    int one = 1, other = 2;
    model::parallel([&] { selecting.start(); }, [&] { static_cast<void>(a.try_send(one)); }, [&] { static_cast<void>(b.try_send(other)); });
    model::check(selecting.has_ended(), "ended");
    int taken = selecting.context().take();
    model::check(a.try_receive().value_or(0) + b.try_receive().value_or(0) + taken == 3, "the other is still there");
}

MODEL("select: two selects meet, one sends and one receives", settings().preempt(2).stale(0)) {
    peal::channel<int> a(0), b(0);
    auto send_one_of = [](peal::channel<int>& one, peal::channel<int>& other) -> peal::task<int> {
        auto got = co_await peal::select(one.send(1), other.send(2));
        co_return static_cast<int>(got.index) + 1;
    };
    started_task<int> sending(send_one_of, std::ref(a), std::ref(b));
    started_task<int> receiving(receive_one_of, std::ref(a), std::ref(b));
    model::parallel([&] { sending.start(); }, [&] { receiving.start(); });
    model::check(sending.has_ended() && receiving.has_ended() && sending.context().take() == receiving.context().take(), "the same one");
}

MODEL("select: stopped while an item comes", settings().preempt(2).stale(1)) {
    peal::channel<int> a(1), b(1);
    started_task<int> selecting(receive_one_of, std::ref(a), std::ref(b));
    selecting.start();
    int one = 1;
    model::parallel([&] { static_cast<void>(a.try_send(one)); }, [&] { selecting.request_stop(); });
    model::check(selecting.has_ended(), "ended");
    bool canceled = peal::is_canceled(selecting.context().failure());
    model::check(a.try_receive().has_value() == canceled, "taken, or still there");
}

}  // namespace
