// SPDX-License-Identifier: MIT

// Models of the queues between threads: run_queue, injection_queue, shares, mpsc_stack. Items carry a payload that is written before they are
// pushed and read by whoever takes them: an item that is taken without the order that its queue promises is a data race.

#include <peal/detail/work_item.hpp>

#include <base/mpsc_stack.hpp>
#include <sched/injection_queue.hpp>
#include <sched/run_queue.hpp>
#include <sched/shares.hpp>
#include <task/handover.hpp>

#include "runner.hpp"

namespace {

using model::settings;
using peal::detail::work_list;

struct item : peal::detail::work_item {
    model::var<int> payload;
    model::var<int> taken{0};  // by whom: written without a lock, so two takers are a data race, too

    void fill(int value) { payload.set(value); }
    void take(int value) {
        model::check(payload.get() == value, "the payload that was pushed");
        model::check(taken.get() == 0, "taken once");
        taken.set(1);
    }
};

template <std::size_t Count>
struct items {
    item all[Count];

    void take(peal::detail::work_item* taken) {
        auto& one = *static_cast<item*>(taken);
        one.take(static_cast<int>(&one - all) + 1);
    }
    std::size_t taken() {
        std::size_t count = 0;
        for (item& each : all) count += static_cast<std::size_t>(each.taken.get());
        return count;
    }
};

template <class Queue, std::size_t Count>
struct run_queue_state {
    Queue queue;
    Queue thief_queue;   // of the first thief
    Queue thief2_queue;  // of the second
    items<Count> work;

    void push(std::size_t i) {
        work.all[i].fill(static_cast<int>(i) + 1);
        model::check(queue.try_push(work.all[i]), "there is room");
    }
    bool pop_from(Queue& from) {
        peal::detail::work_item* got = from.try_pop();
        if (got != nullptr) work.take(got);
        return got != nullptr;
    }
    bool steal_into(Queue& own) {
        peal::detail::work_item* got = queue.steal_half(own);
        if (got != nullptr) work.take(got);
        return got != nullptr;
    }
    void check_all_taken() {
        for (Queue* each : {&queue, &thief_queue, &thief2_queue}) {
            while (pop_from(*each)) {
            }
        }
        model::check(work.taken() == Count, "nothing is lost");
    }
};

template <std::uint32_t Capacity>
using queue_of = peal::rt::basic_run_queue<Capacity>;

// ---- run queue ---------------------------------------------------------------------------------------------------------------------

MODEL("run queue: the last item, owner and one thief", settings().preempt(4).stale(4)) {
    run_queue_state<queue_of<4>, 1> s;
    s.push(0);
    model::parallel([&] { s.pop_from(s.queue); }, [&] { s.steal_into(s.thief_queue); });
    s.check_all_taken();
}

MODEL("run queue: the last item, owner and two thieves", settings().preempt(3).stale(3)) {
    run_queue_state<queue_of<4>, 1> s;
    s.push(0);
    model::parallel([&] { s.pop_from(s.queue); }, [&] { s.steal_into(s.thief_queue); }, [&] { s.steal_into(s.thief2_queue); });
    s.check_all_taken();
}

MODEL("run queue: pushed and popped while one steals", settings().preempt(3).stale(3)) {
    run_queue_state<queue_of<4>, 3> s;
    model::parallel(
        [&] {
            s.push(0);
            s.push(1);
            s.pop_from(s.queue);
            s.push(2);
            s.pop_from(s.queue);
        },
        [&] {
            s.steal_into(s.thief_queue);
            s.pop_from(s.thief_queue);
        });
    s.check_all_taken();
}

MODEL("run queue: two thieves while the owner pushes", settings().preempt(2).stale(2)) {
    run_queue_state<queue_of<4>, 3> s;
    s.push(0);
    s.push(1);
    model::parallel([&] { s.push(2); }, [&] { s.steal_into(s.thief_queue); }, [&] { s.steal_into(s.thief2_queue); });
    s.check_all_taken();
}

MODEL("run queue: the owner takes several at once while one steals", settings().preempt(3).stale(3)) {
    run_queue_state<queue_of<4>, 4> s;
    for (std::size_t i = 0; i < 3; ++i) s.push(i);
    model::parallel(
        [&] {
            work_list taken;
            s.queue.pop(taken, 2);
            while (!taken.empty()) s.work.take(&taken.pop_front());
            s.push(3);
        },
        [&] {
            s.steal_into(s.thief_queue);
            s.pop_from(s.thief_queue);
        });
    s.check_all_taken();
}

MODEL("run queue: slots are used again only when the thief has copied them", settings().preempt(3).stale(3)) {
    // Four slots, full; a thief claims two, and the owner pushes as soon as it may. What a thief still reads must not be written over.
    run_queue_state<queue_of<4>, 6> s;
    for (std::size_t i = 0; i < 4; ++i) s.push(i);
    std::size_t pushed = 4;
    model::parallel(
        [&] {
            for (int tries = 0; tries < 2 && pushed < 6; ++tries) {
                s.work.all[pushed].fill(static_cast<int>(pushed) + 1);
                if (s.queue.try_push(s.work.all[pushed])) ++pushed;
                s.pop_from(s.queue);
            }
        },
        [&] { s.steal_into(s.thief_queue); });
    for (; pushed < 6; ++pushed) s.push(pushed);
    s.check_all_taken();
}

MODEL("run queue: around the end of the ring", settings().preempt(3).stale(2)) {
    // Two slots: every position wraps after two items.
    run_queue_state<queue_of<2>, 5> s;
    s.push(0);
    s.pop_from(s.queue);
    s.push(1);
    std::size_t pushed = 2;
    model::parallel(
        [&] {
            while (pushed < 5) {
                s.work.all[pushed].fill(static_cast<int>(pushed) + 1);
                if (s.queue.try_push(s.work.all[pushed])) ++pushed;
                else if (!s.pop_from(s.queue)) break;
            }
        },
        [&] { s.steal_into(s.thief_queue); });
    for (; pushed < 5; ++pushed) s.push(pushed);
    s.check_all_taken();
}

MODEL("run queue: a thief is robbed while it steals", settings().preempt(3).stale(2)) {
    // The second thief takes from the first one's queue, whose slots it may still read when the first steals again.
    run_queue_state<queue_of<4>, 5> s;
    for (std::size_t i = 0; i < 3; ++i) s.push(i);
    s.steal_into(s.thief_queue);
    model::parallel(
        [&] {
            while (s.pop_from(s.thief_queue)) {
            }
            s.steal_into(s.thief_queue);
            s.pop_from(s.thief_queue);
        },
        [&] {
            peal::detail::work_item* got = s.thief_queue.steal_half(s.thief2_queue);
            if (got != nullptr) s.work.take(got);
        },
        [&] {
            s.push(3);
            s.push(4);
        });
    s.check_all_taken();
}

// ---- injection queue ---------------------------------------------------------------------------------------------------------------

MODEL("injection queue: two push, one pops", settings().preempt(3).stale(3)) {
    peal::rt::injection_queue queue;
    items<3> work;
    auto push = [&](std::size_t i) {
        work.all[i].fill(static_cast<int>(i) + 1);
        queue.push(work.all[i]);
    };
    auto pop = [&](std::size_t most) {
        work_list taken;
        queue.pop(taken, most);
        model::check(taken.size() <= most, "no more than asked for");
        while (!taken.empty()) work.take(&taken.pop_front());
    };
    model::parallel([&] { push(0), push(1); }, [&] { push(2); }, [&] { pop(2), pop(1); });
    model::check(queue.empty() == (work.taken() == 3), "its size");
    pop(3);
    model::check(work.taken() == 3 && queue.empty(), "nothing is lost");
}

MODEL("injection queue: a batch arrives at once, two pop", settings().preempt(3).stale(3)) {
    peal::rt::injection_queue queue;
    items<3> work;
    auto pop = [&](std::size_t most) {
        work_list taken;
        queue.pop(taken, most);
        while (!taken.empty()) work.take(&taken.pop_front());
    };
    model::parallel(
        [&] {
            work_list batch;
            for (std::size_t i = 0; i < 3; ++i) {
                work.all[i].fill(static_cast<int>(i) + 1);
                batch.push_back(work.all[i]);
            }
            queue.push_all(batch);
        },
        [&] { pop(2); }, [&] { pop(2); });
    pop(3);
    model::check(work.taken() == 3 && queue.empty(), "nothing is lost");
}

MODEL("shares: two push, one takes", settings().preempt(3).stale(3)) {
    peal::rt::shares all;
    peal::rt::share_queue* shares[] = {all.make(nullptr, 1), all.make(nullptr, 2)};
    items<3> work;
    auto push = [&](std::size_t i, std::size_t to) {
        work.all[i].fill(static_cast<int>(i) + 1);
        all.push(work.all[i], *shares[to]);
    };
    auto take = [&] {
        peal::rt::share_queue* turn = all.begin_turn(peal::rt::shares::may_be_others::no);
        if (turn == nullptr) return;
        work_list taken;
        all.pop(*turn, taken, 1, 1);
        if (!taken.empty()) work.take(&taken.pop_front());
        all.end_turn(*turn, std::chrono::microseconds(1));
    };
    model::parallel([&] { push(0, 0), push(1, 1); }, [&] { push(2, 0); }, [&] { take(), take(); });
    model::check(all.empty() == (work.taken() == 3), "what it says of itself");
    for (int i = 0; i < 3; ++i) take();
    model::check(work.taken() == 3 && all.empty(), "nothing is lost");
}

// ---- mpsc stack --------------------------------------------------------------------------------------------------------------------

using stack = peal::rt::mpsc_stack<peal::detail::work_item, &peal::detail::work_item::next>;

/// With the payload of an item.
struct submitted_item : peal::detail::operation {
    submitted_item() : operation(peal::detail::operation_kind::nop) {}
    item inside;
};

struct handover_state {
    peal::rt::handover queue;
    peal::detail::spin_lock lock;  // of the driver
    submitted_item all[3];

    void take() {
        std::lock_guard guard(lock);
        queue.take_all([](peal::detail::operation& taken) { static_cast<submitted_item&>(taken).inside.take(1); });
    }
};

MODEL("handover: the owner submits more than fits, and another takes, too", settings().preempt(3).stale(3)) {
    handover_state state;
    model::parallel(
        [&] {
            for (submitted_item& each : state.all) {
                each.inside.fill(1);
                while (!state.queue.try_push(each)) state.take();
            }
        },
        [&] { state.take(); });
    state.take();
    for (submitted_item& each : state.all) model::check(each.inside.taken.get() == 1, "each is taken");
    model::check(state.queue.empty(), "and nothing is left");
}

MODEL("mpsc stack: two push, one takes, in order", settings().preempt(4).stale(4).spurious(2)) {
    stack pushed;
    items<3> work;
    int last_of_first = 0;
    auto take = [&] {
        for (peal::detail::work_item* got = pushed.take_all(); got != nullptr;) {
            peal::detail::work_item* next = got->next;
            auto number = static_cast<int>(static_cast<item*>(got) - work.all) + 1;
            work.take(got);
            if (number <= 2) {
                model::check(number == last_of_first + 1, "those of one thread come in the order in which it pushed them");
                last_of_first = number;
            }
            got = next;
        }
    };
    auto push = [&](std::size_t i) {
        work.all[i].fill(static_cast<int>(i) + 1);
        pushed.push(work.all[i]);
    };
    model::parallel([&] { push(0), push(1); }, [&] { push(2); }, [&] { take(), take(); });
    take();
    model::check(work.taken() == 3 && pushed.empty(), "nothing is lost");
}

MODEL("mpsc stack: a node that was taken is pushed again", settings().preempt(4).stale(4).spurious(2)) {
    // What would be the ABA problem if single nodes were popped.
    stack pushed;
    items<2> work;
    model::var<int> passes{0};
    pushed.push(work.all[0]);
    model::parallel(
        [&] {
            for (int round = 0; round < 2; ++round) {
                for (peal::detail::work_item* got = pushed.take_all(); got != nullptr;) {
                    peal::detail::work_item* next = got->next;
                    if (got == &work.all[0] && passes.get() == 0) {
                        passes.set(1);
                        pushed.push(*got);
                    } else {
                        static_cast<item*>(got)->taken.set(1);
                    }
                    got = next;
                }
            }
        },
        [&] { pushed.push(work.all[1]); });
    while (peal::detail::work_item* got = pushed.take_all()) {
        while (got != nullptr) {
            peal::detail::work_item* next = got->next;
            static_cast<item*>(got)->taken.set(1);
            got = next;
        }
    }
    model::check(work.taken() == 2, "nothing is lost");
}

}  // namespace
