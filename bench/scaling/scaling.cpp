// SPDX-License-Identifier: MIT

// Counts: cache lines that go from core to core for each task, on 1 to 256 workers, and where in the sources; by the library's own sources on a
// simulated machine (machine.hpp). Nothing here is a time of a real machine: `speed-up` is what the rules of that machine make of the counts.
//
//   hop          16 tasks per worker, each of which computes 0.5 us and yields, 100 times
//   in_shares    the same in two shares
//   one_line     as hop, and each time it adds to one variable of all: what one shared line costs, to compare with
//   spawn        a tree of 32,767 tasks: each computes 0.5 us, and spawns two in a scope that it joins
//   fork_join    the same tree by fork_join
//   outside      10,000 tasks of 20 us, from one thread that is no worker
//
//   scaling [--smoke] [WORKERS]...

#include <charconv>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <peal/parallel/fork_join.hpp>
#include <peal/task/scope.hpp>
#include <peal/task/yield.hpp>

#include <sched/scheduler.hpp>
#include <task/blocking_threads.hpp>

#include "machine.hpp"

namespace {

using namespace std::chrono_literals;

constexpr machine::nanoseconds work = 500;
bool is_smoke = false;

int scaled(int full, int smoke) { return is_smoke ? smoke : full; }

/// A worker's outside, where nothing ever happens but that somebody wakes it.
class quiet_driver final : public peal::rt::driver {
  public:
    explicit quiet_driver(peal::rt::blocking_pool& none) : driver(none) {}

    void reap(peal::detail::work_list& ready) noexcept override { take_messages(ready); }
    void poll(peal::detail::work_list& ready) noexcept override { take_messages(ready); }
    std::chrono::nanoseconds spin_limit() const noexcept override { return 50us; }
    void close(int) noexcept override {}
    peal::rt::time_point now() const noexcept override { return peal::rt::time_point(1h + std::chrono::nanoseconds(machine::now())); }

  private:
    void do_submit(peal::detail::operation&) noexcept override {}
    void do_wait(peal::detail::work_list&, peal::rt::time_point deadline) noexcept override {
        if (!is_told_) {
            bool forever = deadline == peal::rt::time_point::max();
            sleeper_.wait(forever ? machine::waiting_line::forever : (deadline - peal::rt::time_point(1h)).count());
        }
        is_told_ = false;
    }
    void interrupt() noexcept override {
        machine::compute(1'000);  // a system call
        is_told_ = true;
        sleeper_.wake_one(machine::wake);
    }
    void cancel_in_flight(peal::detail::operation&) noexcept override {}
    void resubmit(peal::detail::operation&) noexcept override {}
    void close_under_lock(int) noexcept override {}

    bool is_told_ = false;
    machine::waiting_line sleeper_;
};

struct outcome {
    std::int64_t tasks = 0;
    machine::nanoseconds elapsed = 0;
    std::uint64_t transfers = 0;
    std::vector<machine::count> places;
};

class measuring {
  public:
    measuring() noexcept : begin_(machine::now()) { machine::reset(); }
    outcome end(std::int64_t tasks) const {
        return {tasks, machine::now() - begin_, machine::transfers(), machine::transfers_by_place()};
    }

  private:
    machine::nanoseconds begin_;
};

// ---- what is run ------------------------------------------------------------------------------------------------------------------

/// `counter`: of all, or null.
peal::task<> hop(int times, peal::detail::atomic<std::int64_t>* counter) {
    for (; times != 0; --times) {
        machine::compute(work);
        if (counter != nullptr) counter->fetch_add(1, std::memory_order_relaxed);
        co_await peal::yield();
    }
}

peal::task<outcome> hops(peal::rt::scheduler& pool, peal::share even, peal::share odd, peal::detail::atomic<std::int64_t>* counter) {
    int tasks = 16 * static_cast<int>(pool.size());
    int times = scaled(100, 3);
    measuring measured;
    peal::scope all;
    for (int i = 0; i < tasks; ++i) {
        peal::spawn_options options("hop", i % 2 == 0 ? even : odd);
        all.spawn(options, hop, times, counter);
    }
    co_await all.join();
    co_return measured.end(std::int64_t{tasks} * times);
}
peal::task<outcome> in_none(peal::rt::scheduler& pool) {
    return hops(pool, peal::share(), peal::share(), nullptr);
}
peal::task<outcome> in_shares(peal::rt::scheduler& pool) {
    return hops(pool, peal::share(*pool.shares().make(&pool, 100)), peal::share(*pool.shares().make(&pool, 200)), nullptr);
}
peal::task<outcome> on_one_line(peal::rt::scheduler& pool) {
    peal::detail::atomic<std::int64_t> counter{0};
    co_return co_await hops(pool, peal::share(), peal::share(), &counter);
}

peal::task<> grow(int depth) {
    machine::compute(work);
    if (depth == 0) co_return;
    peal::scope children;
    children.spawn(grow, depth - 1);
    children.spawn(grow, depth - 1);
    co_await children.join();
}
peal::task<> fork(int depth) {
    machine::compute(work);
    if (depth == 0) co_return;
    co_await peal::fork_join(fork(depth - 1), fork(depth - 1));
}
template <auto Tree>
peal::task<outcome> tree(peal::rt::scheduler&) {
    int depth = scaled(14, 6);
    measuring measured;
    co_await Tree(depth);
    co_return measured.end((std::int64_t{2} << depth) - 1);
}

// ---- on what ------------------------------------------------------------------------------------------------------------------

/// A pool without rings.
class pool {
  public:
    explicit pool(unsigned workers) : none_("none", 1), scheduler_(with(workers)) {
        scheduler_.start([this](unsigned) { return std::make_unique<quiet_driver>(none_); });
    }
    ~pool() { scheduler_.shutdown(24h, 24h); }

    template <class Function, class... Arguments>
    auto spawn(Function function, Arguments&&... arguments) {
        return peal::detail::start_spawned(
            scheduler_, nullptr,
            peal::detail::make_spawned(peal::spawn_options("scaling"), &scheduler_, std::move(function), std::forward<Arguments>(arguments)...));
    }
    void drain() {
        while (scheduler_.counts().live() != 0) machine::compute(10'000);
    }
    peal::rt::scheduler& scheduler() noexcept { return scheduler_; }

  private:
    static peal::rt::scheduler_settings with(unsigned workers) {
        peal::rt::scheduler_settings settings;
        settings.workers = workers;
        settings.name = "scaling";
        return settings;
    }
    peal::rt::blocking_pool none_;
    peal::rt::scheduler scheduler_;
};

template <peal::task<outcome> (*Program)(peal::rt::scheduler&)>
outcome from_inside(pool& on) {
    std::optional<outcome> found;
    auto main = [](peal::rt::scheduler& its, std::optional<outcome>& into) -> peal::task<> { into = co_await Program(its); };
    on.spawn(main, std::ref(on.scheduler()), std::ref(found)).detach();
    on.drain();
    return *found;
}

outcome from_outside(pool& on) {
    auto compute = []() -> peal::task<> {
        machine::compute(40 * work);
        co_return;
    };
    int tasks = scaled(10'000, 200);
    measuring measured;
    for (int i = 0; i < tasks; ++i) on.spawn(compute).detach();
    on.drain();
    return measured.end(tasks);
}

struct workload {
    const char* name;
    outcome (*run)(pool&);
};
constexpr workload workloads[] = {
    {"hop", from_inside<in_none>},
    {"in_shares", from_inside<in_shares>},
    {"one_line", from_inside<on_one_line>},
    {"spawn", from_inside<tree<grow>>},
    {"fork_join", from_inside<tree<fork>>},
    {"outside", from_outside},
};

void report(const workload& each, unsigned workers, const outcome& found, double alone) {
    auto tasks = static_cast<double>(found.tasks);
    double length = static_cast<double>(found.elapsed) / tasks;
    std::printf("%-10s %7u %15.2f %11.1f %9.1f  ", each.name, workers, static_cast<double>(found.transfers) / tasks, length, alone / length);
    for (std::size_t i = 0; i < std::min<std::size_t>(4, found.places.size()); ++i) {
        std::printf(" %s %.2f", found.places[i].place.c_str(), static_cast<double>(found.places[i].transfers) / tasks);
    }
    std::printf("\n");
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<unsigned> sizes;
    for (int i = 1; i < argc; ++i) {
        unsigned workers = 0;
        const char* end = argv[i] + std::strlen(argv[i]);
        if (std::strcmp(argv[i], "--smoke") == 0) {
            is_smoke = true;
        } else if (std::from_chars(argv[i], end, workers).ptr == end && workers >= 1 && workers <= 512) {
            sizes.push_back(workers);
        } else {
            std::fprintf(stderr, "scaling: '%s' is neither --smoke nor a number of workers from 1 to 512\n", argv[i]);
            return 2;
        }
    }
    if (sizes.empty()) sizes = is_smoke ? std::vector<unsigned>{1, 4} : std::vector<unsigned>{1, 2, 16, 64, 256};

    std::printf("%-10s %7s %15s %11s %9s   %s\n", "workload", "workers", "transfers/task", "ns per task", "speed-up", "where, per task");
    for (const workload& each : workloads) {
        double alone = 0;
        for (unsigned workers : sizes) {
            outcome found;
            machine::run([&] {
                pool on(workers);
                found = each.run(on);
            });
            if (alone == 0) alone = static_cast<double>(found.elapsed) / static_cast<double>(found.tasks) * sizes.front();
            report(each, workers, found, alone);
        }
    }
}
