// SPDX-License-Identifier: MIT

// Models of what fork_join() and join() leave for others: fork_queue by itself, and forked children on the frames of a parent, begun by their
// line or by a thief.

#include <system_error>

#include <peal/detail/fork.hpp>
#include <peal/parallel/fork_join.hpp>
#include <peal/sync/semaphore.hpp>

#include "tasks.hpp"

namespace {

using model::settings;
using model::started_task;
using peal::detail::fork_queue;
using peal::detail::fork_record;

/// Carries a payload that is written before it is pushed, and a mark that two takers would both write.
struct record : fork_record {
    record() noexcept : fork_record(&record::begin_nothing, kind::call) {}
    static peal::detail::work_item* begin_nothing(fork_record&) noexcept { return nullptr; }

    void fill() { payload.set(1); }
    void take() {
        model::check(payload.get() == 1, "the payload that was pushed");
        model::check(taken.get() == 0, "taken once");
        taken.set(1);
    }
    model::var<int> payload;
    model::var<int> taken{0};
};

/// The owner forks and takes back as lines of children do; thieves take what they find.
template <std::size_t Count>
struct forks {
    fork_queue queue;
    record all[Count];

    void push(std::size_t i) {
        all[i].fill();
        model::check(queue.push(all[i]), "there is room");
    }
    void take_back(std::size_t i) {
        if (queue.take_back(all[i])) all[i].take();
    }
    void steal() {
        if (auto* stolen = queue.steal(fork_queue::wanted::any)) static_cast<record*>(stolen)->take();
    }
    /// What nobody took is still there.
    void finish() {
        while (auto* left = queue.pop()) static_cast<record*>(left)->take();
        for (record& each : all) model::check(each.taken.get() == 1, "taken by somebody");
    }
};

MODEL("fork_queue: one forked and taken back, a thief", settings().preempt(4).stale(4)) {
    forks<1> work;
    model::parallel([&] { work.push(0); work.take_back(0); }, [&] { work.steal(); });
    work.finish();
}

MODEL("fork_queue: three forked and taken back, a thief takes two", settings().preempt(3).stale(2)) {
    forks<3> work;
    model::parallel(
        [&] {
            for (std::size_t i : {0u, 1u, 2u}) work.push(i);
            for (std::size_t i : {2u, 1u, 0u}) work.take_back(i);
        },
        [&] { work.steal(); work.steal(); });
    work.finish();
}

MODEL("fork_queue: the same place forked anew while a thief hesitates", settings().preempt(3).stale(3)) {
    forks<3> work;
    model::parallel(
        [&] {
            for (std::size_t i : {0u, 1u, 2u}) {
                work.push(i);
                work.take_back(i);
            }
        },
        [&] { work.steal(); });
    work.finish();
}

MODEL("fork_queue: two thieves", settings().preempt(2).stale(2)) {
    forks<3> work;
    model::parallel(
        [&] {
            for (std::size_t i : {0u, 1u, 2u}) work.push(i);
            work.take_back(2);
        },
        [&] { work.steal(); }, [&] { work.steal(); });
    work.finish();
}

MODEL("fork_queue: all is public while others are idle", settings().preempt(3).stale(2)) {
    peal::detail::atomic<std::uint64_t> idle{1};
    forks<3> work;
    work.queue.watch(idle);
    model::parallel(
        [&] {
            for (std::size_t i : {0u, 1u, 2u}) work.push(i);
            idle.store(0, std::memory_order_relaxed);
            for (std::size_t i : {2u, 1u, 0u}) work.take_back(i);
        },
        [&] { work.steal(); work.steal(); });
    work.finish();
}

// ---- children of fork_join() --------------------------------------------------------------------------------------------------------

peal::task<int> child(model::var<int>& seen, int value) {
    seen.set(value);
    co_return value;
}
peal::task<int> failing_child(model::var<int>& seen, int value) {
    seen.set(value);
    throw std::runtime_error("child");
    co_return value;
}

/// Runs on the owner's thread with a fork queue, as on a worker.
class with_queue {
  public:
    explicit with_queue(fork_queue& queue) noexcept { peal::detail::this_thread.forks = &queue; }
    ~with_queue() { peal::detail::this_thread.forks = nullptr; }
};

/// A thief: takes one child, and runs it and whatever goes on after it.
void steal_one(fork_queue& from) {
    fork_record* stolen = from.steal(fork_queue::wanted::any);
    if (stolen == nullptr) return;
    peal::detail::work_item* item = stolen->begin();
    if (item == nullptr) return;
    peal::context* before = std::exchange(peal::detail::this_thread.current, item->owner);
    peal::detail::resume_chain(item->handle);
    peal::detail::this_thread.current = before;
}

MODEL("fork_join: two children, a thief: the parent goes on once, and sees both", settings().preempt(3).stale(2)) {
    fork_queue queue;
    model::var<int> a{0}, b{0};
    int sum = 0;
    auto parent = [](model::var<int>& first, model::var<int>& second, int& result) -> peal::task<> {
        auto [x, y] = co_await peal::fork_join(child(first, 1), child(second, 2));
        result = x + y + first.get() + second.get();
    };
    started_task task(parent, std::ref(a), std::ref(b), std::ref(sum));
    model::parallel(
        [&] {
            with_queue here(queue);
            task.start();
        },
        [&] { steal_one(queue); });
    model::check(task.has_ended(), "the parent has ended");
    model::check(sum == 6, "it saw what both did");
}

MODEL("fork_join: three children, two thieves", settings().preempt(2).stale(1).at_most(100'000).at_random(50'000)) {
    fork_queue queue;
    model::var<int> a{0}, b{0}, c{0};
    int sum = 0;
    auto parent = [](model::var<int>& first, model::var<int>& second, model::var<int>& third, int& result) -> peal::task<> {
        auto [x, y, z] = co_await peal::fork_join(child(first, 1), child(second, 2), child(third, 4));
        result = x + y + z + first.get() + second.get() + third.get();
    };
    started_task task(parent, std::ref(a), std::ref(b), std::ref(c), std::ref(sum));
    model::parallel(
        [&] {
            with_queue here(queue);
            task.start();
        },
        [&] { steal_one(queue); }, [&] { steal_one(queue); });
    model::check(task.has_ended(), "the parent has ended");
    model::check(sum == 14, "it saw what all did");
}

MODEL("fork_join: the first child fails while a thief takes the second", settings().preempt(3).stale(2)) {
    fork_queue queue;
    model::var<int> a{0}, b{0};
    bool caught = false;
    auto parent = [](model::var<int>& first, model::var<int>& second, bool& failed) -> peal::task<> {
        try {
            co_await peal::fork_join(failing_child(first, 1), child(second, 2));
        } catch (const std::runtime_error&) {
            failed = true;
        }
        first.get();
        second.get();
    };
    started_task task(parent, std::ref(a), std::ref(b), std::ref(caught));
    model::parallel(
        [&] {
            with_queue here(queue);
            task.start();
        },
        [&] { steal_one(queue); });
    model::check(task.has_ended() && caught, "the parent has caught it");
}

MODEL("fork_join: a stop while a thief begins the second", settings().preempt(2).stale(1).at_most(100'000).at_random(50'000)) {
    fork_queue queue;
    model::var<int> a{0}, b{0};
    int sum = 0;
    auto parent = [](model::var<int>& first, model::var<int>& second, int& result) -> peal::task<> {
        auto [x, y] = co_await peal::fork_join(child(first, 1), child(second, 2));
        result = x + y;
    };
    started_task task(parent, std::ref(a), std::ref(b), std::ref(sum));
    model::parallel(
        [&] {
            with_queue here(queue);
            task.start();
        },
        [&] { steal_one(queue); }, [&] { task.request_stop(); });
    model::check(task.has_ended() && sum == 3, "children that never wait take no notice");
}

peal::task<int> waits(peal::semaphore& limit) {
    auto permit = co_await limit.acquire();
    co_return 1;
}

MODEL("fork_join: a child that a thief runs waits, against a stop and against what it waits for",
      settings().preempt(2).stale(1).at_most(100'000).at_random(50'000)) {
    fork_queue queue;
    model::var<int> a{0};
    peal::semaphore limit(0);
    bool canceled = false;
    auto parent = [](model::var<int>& first, peal::semaphore& wanted, bool& stopped) -> peal::task<> {
        try {
            co_await peal::fork_join(child(first, 1), waits(wanted));
        } catch (const std::system_error&) {
            stopped = true;
        }
    };
    started_task task(parent, std::ref(a), limit, std::ref(canceled));
    model::parallel(
        [&] {
            {
                with_queue here(queue);
                task.start();
            }
            limit.release();
        },
        [&] { steal_one(queue); }, [&] { task.request_stop(); });
    model::check(task.has_ended() && limit.available() == 1, "served or not, the permit is there");
}

/// What schedule(priority) does to the context.
class set_low {
  public:
    bool await_ready() const noexcept { return false; }
    template <peal::detail::peal_promise Promise>
    bool await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
        awaiting.promise().owner().set_priority(peal::priority::low);
        return false;
    }
    void await_resume() const noexcept {}
};
peal::task<int> turns_low() {
    co_await set_low();
    co_return 1;
}

MODEL("fork_join: the first child changes its priority while a thief begins the second", settings().preempt(2).stale(1)) {
    fork_queue queue;
    model::var<int> b{0};
    auto parent = [](model::var<int>& second) -> peal::task<> { co_await peal::fork_join(turns_low(), child(second, 2)); };
    started_task task(parent, std::ref(b));
    model::parallel(
        [&] {
            with_queue here(queue);
            task.start();
        },
        [&] { steal_one(queue); });
    model::check(task.has_ended(), "the parent has ended");
}

}  // namespace
