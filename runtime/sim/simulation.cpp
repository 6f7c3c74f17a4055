// SPDX-License-Identifier: MIT

#include <peal/sim/simulation.hpp>

#include <algorithm>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include <peal/detail/this_thread.hpp>

#include "../pool/core.hpp"
#include "simulated_driver.hpp"

namespace peal {

simulation_deadlock::~simulation_deadlock() = default;

class simulation::state {
  public:
    struct ready_item {
        rt::worker* worker;
        detail::work_item* item;
    };
    /// A scope's destructor on the stack: its worker runs tasks of the list and no others.
    struct wait {
        rt::worker* waiting;
        const detail::task_list* list;
    };

    state(std::uint64_t seed, pool_options options)
        : world(seed), pool(pool::simulated_tag(), options_for(std::move(options))), scheduler(pool.scheduler()) {
        scheduler.start_without_threads([this](unsigned) -> std::unique_ptr<rt::driver> {
            return std::make_unique<rt::simulated_driver>(world, pool.core_->blocking);
        });
        scheduler.set_drive([this](const std::function<bool()>& done, rt::worker* waiting, const detail::task_list* list) {
            if (waiting == nullptr) return drive(done);
            waits.push_back({waiting, list});
            drive(done);
            waits.pop_back();
        });
    }

    void drive(const std::function<bool()>& done) {
        while (!done()) {
            if (step() || advance_clock() || step_patiently()) continue;
            std::string what = "simulation: nothing can go on, and the task has not ended. Waiting:";
            std::vector<std::string> names;
            for (unsigned i = 0; i < scheduler.size(); ++i) scheduler.at(i).tasks().append_names(names);
            scheduler.append_outside_names(names);
            for (const std::string& name : names) what += "\n  " + name;
            throw simulation_deadlock(what);
        }
    }

    /// Runs one ready task, chosen by the seed. False if none is ready. What blocking threads do is waited for.
    bool step() {
        for (;;) {
            bool busy = pool.core_->blocking.is_busy();  // asked first: what they have done since is collected
            collect();
            std::vector<std::size_t> able;
            for (std::size_t i = 0; !waits.empty() && i < ready.size(); ++i) {
                if (may_run(ready[i])) able.push_back(i);
            }
            std::size_t count = waits.empty() ? ready.size() : able.size();
            if (count != 0) {
                std::size_t chosen = world.draw(count);
                run(waits.empty() ? chosen : able[chosen]);
                return true;
            }
            if (!busy) return false;
            std::this_thread::sleep_for(std::chrono::microseconds(20));
        }
    }

    /// When nothing else helps, a worker whose task waits for a list runs other tasks, too: one of them may be what holds it up.
    bool step_patiently() {
        if (ready.empty()) return false;
        run(world.draw(ready.size()));
        return true;
    }

    void collect() {
        for (unsigned i = 0; i < scheduler.size(); ++i) {
            rt::worker& worker = scheduler.at(i);
            worker.enter_thread();
            detail::work_list found;
            worker.collect(found);
            worker.leave_thread();
            while (!found.empty()) ready.push_back({&worker, &found.pop_front()});
        }
        detail::work_list injected;
        scheduler.injected().pop(injected, ~std::size_t{0});
        scheduler.shares().take_all(injected);
        while (!injected.empty()) {
            rt::worker& worker = scheduler.at(static_cast<unsigned>(world.draw(scheduler.size())));
            ready.push_back({&worker, &injected.pop_front()});
        }
    }

    void run(std::size_t chosen) {
        ready_item item = ready[chosen];
        ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(chosen));
        mix(chosen);
        mix(static_cast<std::uint64_t>(world.elapsed().count()));
        item.worker->enter_thread();
        item.worker->execute(*item.item);
        rt::worker::leave_thread();
    }

    bool may_run(const ready_item& item) const {
        for (const wait& each : waits) {
            if (item.worker == each.waiting && !rt::worker::belongs_to(*item.item, *each.list)) return false;
        }
        return true;
    }

    bool advance_clock() {
        rt::time_point next = world.next_due();
        for (unsigned i = 0; i < scheduler.size(); ++i) next = std::min(next, scheduler.at(i).timers().next_advance());
        if (next == rt::time_point::max()) return false;
        world.advance_to(next);
        return true;
    }

    void mix(std::uint64_t value) noexcept { hash = (hash ^ value) * 0x100000001b3u; }

    static pool_options options_for(pool_options options) {
        if (options.workers == 0) options.workers = 2;
        options.drain_timeout = std::chrono::milliseconds(0);
        options.stop_timeout = std::chrono::milliseconds(0);
        return options;
    }

    rt::simulated_world world;
    peal::pool pool;
    rt::scheduler& scheduler;
    std::vector<ready_item> ready;
    std::vector<wait> waits;
    std::uint64_t hash = 0xcbf29ce484222325u;
};

namespace {

pool_options named(unsigned workers) {
    pool_options options(std::max(workers, 1u));
    options.name = "sim";
    return options;
}

}  // namespace

simulation::simulation(std::uint64_t seed, unsigned workers) : simulation(seed, named(workers)) {}

simulation::simulation(std::uint64_t seed, pool_options options) : state_(std::make_unique<state>(seed, std::move(options))) {}

simulation::~simulation() {
    // Tasks that are left are asked to stop and run to their end; what does not end then is reported by the pool.
    state& s = *state_;
    auto run_dry = [&s] {
        while (s.scheduler.counts().live() != 0 && (s.step() || s.advance_clock())) {
        }
    };
    s.scheduler.request_stop_all();
    run_dry();
    // And so is what receivers have left underway, in whatever order they go.
    auto is_underway = [&s] {
        bool found = false;
        for (unsigned i = 0; i < s.scheduler.size(); ++i) {
            rt::driver& driver = s.scheduler.at(i).driver();
            if (driver.underway() != 0) driver.end_arrivals();
            found |= driver.underway() != 0;
        }
        return found;
    };
    while (is_underway() && (s.step() || s.advance_clock())) {
    }
}

pool& simulation::pool() noexcept { return state_->pool; }
std::chrono::nanoseconds simulation::elapsed() const noexcept { return state_->world.elapsed(); }
std::uint64_t simulation::trace_hash() const noexcept { return state_->hash; }

std::pair<net::tcp_stream, net::tcp_stream> simulation::stream_pair() {
    int other = -1;
    int one = state_->world.make_pair(other);
    return {net::tcp_stream(one), net::tcp_stream(other)};
}

}  // namespace peal
