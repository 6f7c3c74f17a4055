// SPDX-License-Identifier: MIT

// Models of semaphore, event, auto_reset_event, latch, barrier, condition_variable, shared_mutex, channel and oneshot: tasks on threads of their own,
// against each other, against a stopper, and against the end of the object.

#include <optional>

#include <peal/sync/barrier.hpp>
#include <peal/sync/channel.hpp>
#include <peal/sync/condition_variable.hpp>
#include <peal/sync/event.hpp>
#include <peal/sync/mutex.hpp>
#include <peal/sync/oneshot.hpp>
#include <peal/sync/semaphore.hpp>
#include <peal/sync/shared_mutex.hpp>

#include "tasks.hpp"

namespace {

using model::settings;
using model::started_task;

// ---- semaphore ---------------------------------------------------------------------------------------------------------------------

peal::task<> use_permit(peal::semaphore& limit, int& uses) {
    peal::semaphore::permit permit = co_await limit.acquire();
    ++uses;  // with one permit: one at a time
}
peal::task<> use_or_leave(peal::semaphore& limit, std::size_t count, bool& canceled) {
    try {
        peal::semaphore::permit permit = co_await limit.acquire(count);
    } catch (const std::system_error&) {
        canceled = true;
    }
}

MODEL("semaphore: one permit, two tasks", settings().preempt(3).stale(3)) {
    peal::semaphore limit(1);
    int uses = 0;
    started_task a(use_permit, std::ref(limit), std::ref(uses)), b(use_permit, std::ref(limit), std::ref(uses));
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended() && uses == 2 && limit.available() == 1, "both had it, and it is back");
}

MODEL("semaphore: one permit, three tasks", settings().preempt(2).stale(1)) {
    peal::semaphore limit(1);
    int uses = 0;
    started_task a(use_permit, std::ref(limit), std::ref(uses)), b(use_permit, std::ref(limit), std::ref(uses)),
        c(use_permit, std::ref(limit), std::ref(uses));
    model::parallel([&] { a.start(); }, [&] { b.start(); }, [&] { c.start(); });
    model::check(a.has_ended() && b.has_ended() && c.has_ended() && uses == 3 && limit.available() == 1, "all had it, and it is back");
}

MODEL("semaphore: try_acquire against a task and a release", settings().preempt(3).stale(2)) {
    peal::semaphore limit(0);
    int uses = 0;
    started_task a(use_permit, std::ref(limit), std::ref(uses));
    model::parallel([&] { a.start(); },
                    [&] {
                        ++uses;
                        limit.release();
                    },
                    [&] {
                        if (auto permit = limit.try_acquire()) ++uses;
                    });
    model::check(a.has_ended() && limit.available() == 1, "nothing is lost, nothing is too much");
}

MODEL("semaphore: a stopped large request lets the small one behind it pass", settings().preempt(3).stale(2)) {
    peal::semaphore limit(1);
    bool large_canceled = false, small_canceled = false;
    started_task large(use_or_leave, std::ref(limit), std::size_t{2}, std::ref(large_canceled));
    started_task small(use_or_leave, std::ref(limit), std::size_t{1}, std::ref(small_canceled));
    large.start();
    model::parallel([&] { large.request_stop(); }, [&] { small.start(); });
    model::check(large.has_ended() && small.has_ended() && large_canceled && !small_canceled, "one leaves, the other passes");
    model::check(limit.available() == 1, "the permit is back");
}

MODEL("semaphore: a stop against the release that would serve it", settings().preempt(3).stale(2)) {
    peal::semaphore limit(0);
    bool canceled = false;
    started_task a(use_or_leave, std::ref(limit), std::size_t{1}, std::ref(canceled));
    model::parallel([&] { a.start(); }, [&] { limit.release(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && limit.available() == 1, "served or not, the permit is there");
}

MODEL("semaphore: released while somebody waits, and taken by who comes later", settings().preempt(3).stale(2)) {
    peal::semaphore limit(0);
    bool canceled = false;
    int data = 0, taken = 0;
    started_task a(use_or_leave, std::ref(limit), std::size_t{2}, std::ref(canceled));
    a.start();
    model::parallel(
        [&] {
            data = 1;
            limit.release();
        },
        [&] { a.request_stop(); },
        [&] {
            auto permit = limit.try_acquire();
            if (!permit) return;
            model::check(data == 1, "what was done before the release");
            permit->forget();
            taken = 1;
        });
    model::check(a.has_ended() && canceled && limit.available() == static_cast<std::size_t>(1 - taken), "counted");
}

MODEL("semaphore: two permits from two, for one that waits for both", settings().preempt(3).stale(2)) {
    peal::semaphore limit(0);
    int first = 0, second = 0;
    auto take_both = [](peal::semaphore& from, int& one, int& other) -> peal::task<> {
        peal::semaphore::permit both = co_await from.acquire(2);
        model::check(one == 1 && other == 1, "what was done before the releases");
        both.forget();
    };
    started_task a(take_both, std::ref(limit), std::ref(first), std::ref(second));
    model::parallel([&] { a.start(); }, [&] { first = 1, limit.release(); }, [&] { second = 1, limit.release(); });
    model::check(a.has_ended() && limit.available() == 0, "it has both");
    a.context().take();
}

// ---- events ------------------------------------------------------------------------------------------------------------------------

template <class Event>
peal::task<> pass(Event& awaited, int& data, int& passed) {
    co_await awaited.wait();
    model::check(data == 1, "what was done before set()");
    ++passed;
}
template <class Event>
peal::task<> pass_or_leave(Event& awaited, bool& canceled) {
    try {
        co_await awaited.wait();
    } catch (const std::system_error&) {
        canceled = true;
    }
}

MODEL("event: set against two that wait", settings().preempt(2).stale(2)) {
    peal::event happened;
    int data = 0, first = 0, second = 0;
    started_task a(pass<peal::event>, std::ref(happened), std::ref(data), std::ref(first));
    started_task b(pass<peal::event>, std::ref(happened), std::ref(data), std::ref(second));
    model::parallel([&] { a.start(); }, [&] { b.start(); },
                    [&] {
                        data = 1;
                        happened.set();
                    });
    model::check(a.has_ended() && b.has_ended() && first + second == 2, "both pass");
}

MODEL("event: set against a stop", settings().preempt(3).stale(2)) {
    peal::event happened;
    bool canceled = false;
    started_task a(pass_or_leave<peal::event>, std::ref(happened), std::ref(canceled));
    model::parallel([&] { a.start(); }, [&] { happened.set(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && happened.is_set(), "it goes on");
}

MODEL("event: destroyed by the one that passed", settings().preempt(4).stale(3)) {
    auto* happened = new peal::event;
    auto last = [](peal::event* its) -> peal::task<> {
        co_await its->wait();
        delete its;
    };
    started_task a(last, happened);
    a.start();
    model::parallel([&] { happened->set(); }, [] {});
    model::check(a.has_ended(), "passed");
}

MODEL("event: reset against set", settings().preempt(4).stale(4)) {
    peal::event happened;
    int data = 1, passed = 0;
    started_task a(pass<peal::event>, std::ref(happened), std::ref(data), std::ref(passed));
    a.start();
    model::parallel([&] { happened.set(); }, [&] { happened.reset(); });
    model::check(a.has_ended() && passed == 1, "who waited before has passed");
    happened.reset();
    model::check(!happened.is_set(), "reset");
}

MODEL("event: is_set() alone orders", settings().preempt(4).stale(4)) {
    peal::event happened;
    int data = 0;
    model::parallel(
        [&] {
            data = 1;
            happened.set();
        },
        [&] {
            if (happened.is_set()) model::check(data == 1, "seen");
        });
}

MODEL("auto_reset_event: two sets, two that wait", settings().preempt(2).stale(1)) {
    peal::auto_reset_event happened;
    int passed = 0;
    int data = 1;
    started_task a(pass<peal::auto_reset_event>, std::ref(happened), std::ref(data), std::ref(passed));
    started_task b(pass<peal::auto_reset_event>, std::ref(happened), std::ref(data), std::ref(passed));
    a.start();
    model::parallel([&] { b.start(); }, [&] { happened.set(); });
    happened.set();
    model::check(a.has_ended() && b.has_ended() && passed == 2, "each set lets one through");
}

MODEL("auto_reset_event: what was done before set() is seen by who passes without waiting", settings().preempt(4).stale(4)) {
    peal::auto_reset_event happened;
    int data = 0, passed = 0;
    started_task a(pass<peal::auto_reset_event>, std::ref(happened), std::ref(data), std::ref(passed));
    model::parallel([&] { a.start(); },
                    [&] {
                        data = 1;
                        happened.set();
                    });
    model::check(a.has_ended() && passed == 1, "passed");
}

MODEL("auto_reset_event: set once, two come", settings().preempt(3).stale(2)) {
    peal::auto_reset_event happened;
    int passed = 0;
    int data = 1;
    happened.set();
    started_task a(pass<peal::auto_reset_event>, std::ref(happened), std::ref(data), std::ref(passed));
    started_task b(pass<peal::auto_reset_event>, std::ref(happened), std::ref(data), std::ref(passed));
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() != b.has_ended(), "one passes");
    happened.set();
    model::check(a.has_ended() && b.has_ended() && passed == 2, "and then the other");
}

MODEL("auto_reset_event: a set that is spent on a stopped waiter is not lost", settings().preempt(3).stale(2)) {
    peal::auto_reset_event happened;
    bool a_canceled = false, b_canceled = false;
    started_task a(pass_or_leave<peal::auto_reset_event>, std::ref(happened), std::ref(a_canceled));
    a.start();
    model::parallel([&] { a.request_stop(); }, [&] { happened.set(); });
    started_task b(pass_or_leave<peal::auto_reset_event>, std::ref(happened), std::ref(b_canceled));
    b.start();
    model::check(a.has_ended(), "it goes on");
    model::check(b.has_ended() == a_canceled, "the set let one through, whom it met");
    b.request_stop();
}

MODEL("latch: counted down by two, awaited by two", settings().preempt(2).stale(1)) {
    peal::latch open(2);
    int first = 0, second = 0;
    auto wait = [](peal::latch& its, int& one, int& other) -> peal::task<> {
        co_await its.wait();
        model::check(one == 1 && other == 1, "what was done before");
    };
    started_task a(wait, std::ref(open), std::ref(first), std::ref(second));
    model::parallel([&] { a.start(); }, [&] { first = 1, open.count_down(); }, [&] { second = 1, open.count_down(); });
    model::check(a.has_ended() && open.is_open(), "open");
}

MODEL("latch: is_open() alone orders", settings().preempt(4).stale(4)) {
    peal::latch open(1);
    int data = 0;
    model::parallel(
        [&] {
            data = 1;
            open.count_down();
        },
        [&] {
            if (open.is_open()) model::check(data == 1, "seen");
        });
}

MODEL("barrier: two parties, two rounds", settings().preempt(2).stale(1)) {
    peal::barrier meeting(2);
    int done[2][2] = {};
    auto party = [](peal::barrier& its, int (&all)[2][2], int which) -> peal::task<> {
        for (int round = 0; round < 2; ++round) {
            all[which][round] = 1;
            co_await its.arrive_and_wait();
            model::check(all[1 - which][round] == 1, "the other has arrived");
        }
    };
    started_task a(party, std::ref(meeting), std::ref(done), 0), b(party, std::ref(meeting), std::ref(done), 1);
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended(), "both rounds");
}

MODEL("barrier: who passes stops the one that let it pass", settings().preempt(3).stale(2)) {
    // Without a pool the one that passes runs inside the arrival of the other: nothing may be locked there.
    peal::barrier meeting(2);
    started_task<>* other = nullptr;
    auto stop = [](peal::barrier& its, started_task<>*& stopped) -> peal::task<> {
        co_await its.arrive_and_wait();
        stopped->request_stop();
    };
    auto arrive = [](peal::barrier& its) -> peal::task<> { co_await its.arrive_and_wait(); };
    started_task a(stop, std::ref(meeting), std::ref(other)), b(arrive, std::ref(meeting));
    other = &b;
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended(), "both have passed");
    b.context().take();
}

// ---- condition_variable, shared_mutex -------------------------------------------------------------------------------------------------

MODEL("condition_variable: changed under the mutex, and told", settings().preempt(2).stale(1)) {
    peal::mutex mutex;
    peal::condition_variable changed;
    bool ready = false;
    auto wait = [](peal::mutex& its, peal::condition_variable& condition, bool& flag) -> peal::task<> {
        peal::mutex::guard guard = co_await its.lock();
        while (!flag) co_await condition.wait(guard);
    };
    auto tell = [](peal::mutex& its, peal::condition_variable& condition, bool& flag) -> peal::task<> {
        peal::mutex::guard guard = co_await its.lock();
        flag = true;
        condition.notify_one();
    };
    started_task a(wait, std::ref(mutex), std::ref(changed), std::ref(ready));
    started_task b(tell, std::ref(mutex), std::ref(changed), std::ref(ready));
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended(), "no notification is lost");
}

MODEL("shared_mutex: a reader and a writer", settings().preempt(2).stale(1)) {
    peal::shared_mutex mutex;
    int a_value = 0, b_value = 0;
    auto read = [](peal::shared_mutex& its, int& one, int& other) -> peal::task<> {
        auto guard = co_await its.lock_shared();
        model::check(one == other, "never in between");
    };
    auto write = [](peal::shared_mutex& its, int& one, int& other) -> peal::task<> {
        auto guard = co_await its.lock();
        ++one, ++other;
    };
    started_task a(read, std::ref(mutex), std::ref(a_value), std::ref(b_value)), b(write, std::ref(mutex), std::ref(a_value), std::ref(b_value)),
        c(read, std::ref(mutex), std::ref(a_value), std::ref(b_value));
    model::parallel([&] { a.start(); }, [&] { b.start(); }, [&] { c.start(); });
    model::check(a.has_ended() && b.has_ended() && c.has_ended(), "all had it");
}

// ---- channel -----------------------------------------------------------------------------------------------------------------------

struct parcel {  // an item with contents that only its receiver may read
    explicit parcel(int value) : contents(std::make_unique<int>(value)) {}
    std::unique_ptr<int> contents;
};

peal::task<> send(peal::channel<parcel>& to, int value) { co_await to.send(parcel(value)); }
peal::task<> receive(peal::channel<parcel>& from, int& sum, int& count) {
    if (auto item = co_await from.receive()) {
        sum += *item->contents;
        ++count;
    }
}

MODEL("channel: capacity 0, one sends, one receives", settings().preempt(3).stale(2)) {
    peal::channel<parcel> channel(0);
    int sum = 0, count = 0;
    started_task a(send, std::ref(channel), 5);
    started_task b(receive, std::ref(channel), std::ref(sum), std::ref(count));
    model::parallel([&] { a.start(); }, [&] { b.start(); });
    model::check(a.has_ended() && b.has_ended() && sum == 5, "handed over");
}

MODEL("channel: capacity 1, two send, two receive", settings().preempt(2).stale(0)) {
    peal::channel<parcel> channel(1);
    int first = 0, second = 0, first_count = 0, second_count = 0;
    started_task a(send, std::ref(channel), 1), b(send, std::ref(channel), 2);
    started_task c(receive, std::ref(channel), std::ref(first), std::ref(first_count));
    started_task d(receive, std::ref(channel), std::ref(second), std::ref(second_count));
    model::parallel([&] { a.start(); }, [&] { b.start(); }, [&] { c.start(); }, [&] { d.start(); });
    model::check(a.has_ended() && b.has_ended() && c.has_ended() && d.has_ended() && first + second == 3, "each item once");
}

MODEL("channel: closed while one sends and one receives", settings().preempt(2).stale(1)) {
    peal::channel<parcel> channel(0);
    int sum = 0, count = 0;
    bool refused = false;
    auto send_or_fail = [](peal::channel<parcel>& to, bool& failed) -> peal::task<> {
        try {
            co_await to.send(parcel(5));
        } catch (const std::system_error&) {
            failed = true;
        }
    };
    started_task a(send_or_fail, std::ref(channel), std::ref(refused));
    started_task b(receive, std::ref(channel), std::ref(sum), std::ref(count));
    model::parallel([&] { a.start(); }, [&] { b.start(); }, [&] { channel.close(); });
    model::check(a.has_ended() && b.has_ended(), "both are told");
    model::check(count == (refused ? 0 : 1), "sent is received, refused is not");
}

MODEL("channel: a stopped receiver takes nothing", settings().preempt(3).stale(1)) {
    peal::channel<parcel> channel(1);
    int sum = 0, count = 0;
    bool canceled = false;
    auto receive_or_leave = [](peal::channel<parcel>& from, int& total, bool& left) -> peal::task<> {
        try {
            if (auto item = co_await from.receive()) total += *item->contents;
        } catch (const std::system_error&) {
            left = true;
        }
    };
    started_task a(receive_or_leave, std::ref(channel), std::ref(sum), std::ref(canceled));
    started_task b(send, std::ref(channel), 5);
    model::parallel([&] { a.start(); }, [&] { b.start(); }, [&] { a.request_stop(); });
    model::check(a.has_ended() && b.has_ended() && sum == (canceled ? 0 : 5), "it has it, or has left");
    std::optional<parcel> left = channel.try_receive();
    model::check(left.has_value() == canceled, "and then it is still there");
    static_cast<void>(count);
}

MODEL("channel: a stopped sender has not sent", settings().preempt(3).stale(1)) {
    peal::channel<parcel> channel(0);
    bool canceled = false;
    auto send_or_leave = [](peal::channel<parcel>& to, bool& left) -> peal::task<> {
        try {
            co_await to.send(parcel(5));
        } catch (const std::system_error&) {
            left = true;
        }
    };
    started_task a(send_or_leave, std::ref(channel), std::ref(canceled));
    std::optional<parcel> got;
    model::parallel([&] { a.start(); }, [&] { got = channel.try_receive(); }, [&] { a.request_stop(); });
    if (!a.has_ended()) model::check(!got && !canceled, "nobody came: it waits");
    a.request_stop();
    model::check(a.has_ended() && got.has_value() != canceled, "sent or canceled");
}

// ---- oneshot -----------------------------------------------------------------------------------------------------------------------

MODEL("oneshot: destroyed by the receiver as soon as it has the value", settings().preempt(4).stale(3)) {
    auto* shot = new peal::oneshot<parcel>;
    auto take = [](peal::oneshot<parcel>* from) -> peal::task<int> {
        auto got = co_await from->receive();
        delete from;
        co_return *got->contents;
    };
    started_task<int> a(take, shot);
    model::parallel([&] { a.start(); }, [&] { model::check(shot->send(parcel(7)), "sent"); });
    model::check(a.has_ended() && a.context().take() == 7, "received");
}

MODEL("oneshot: two send, one is heard", settings().preempt(2).stale(1)) {
    peal::oneshot<parcel> shot;
    auto take = [](peal::oneshot<parcel>& from) -> peal::task<int> { co_return *(co_await from.receive())->contents; };
    started_task<int> a(take, std::ref(shot));
    bool first = false, second = false;
    model::parallel([&] { a.start(); }, [&] { first = shot.send(parcel(1)); }, [&] { second = shot.send(parcel(2)); });
    model::check(a.has_ended() && first != second && a.context().take() == (first ? 1 : 2), "the one that was told so");
}

MODEL("oneshot: a stopped receive may be tried again", settings().preempt(3).stale(2)) {
    peal::oneshot<parcel> shot;
    auto take = [](peal::oneshot<parcel>& from) -> peal::task<int> { co_return *(co_await from.receive())->contents; };
    started_task<int> a(take, std::ref(shot));
    a.start();
    model::parallel([&] { static_cast<void>(shot.send(parcel(1))); }, [&] { a.request_stop(); });
    model::check(a.has_ended(), "it goes on");
    bool canceled = false;
    try {
        model::check(a.context().take() == 1, "the value");
    } catch (const std::system_error&) {
        canceled = true;
    }
    model::check(shot.try_receive().has_value() == canceled, "taken once");
}

}  // namespace
