// SPDX-License-Identifier: MIT

#include <peal/sim/simulation.hpp>

#include <algorithm>
#include <functional>
#include <vector>

#include <peal/detail/this_thread.hpp>

#include "../pool/core.hpp"
#include "simulated_driver.hpp"

namespace peal {

simulation_deadlock::~simulation_deadlock() = default;

class simulation::state {
  public:
    state(std::uint64_t seed, unsigned workers)
        : world(seed), pool(pool::simulated_tag(), options_for(workers)), scheduler(pool.scheduler()) {
        scheduler.start_without_threads([this](unsigned) -> std::unique_ptr<rt::driver> {
            return std::make_unique<rt::simulated_driver>(world, pool.core_->blocking);
        });
        scheduler.set_drive([this](const std::function<bool()>& done) { drive(done); });
    }

    void drive(const std::function<bool()>& done) {
        while (!done()) {
            if (step()) continue;
            if (advance_clock()) continue;
            std::string what = "simulation: nothing can go on, and the task has not ended. Waiting:";
            std::vector<std::string> names;
            for (unsigned i = 0; i < scheduler.size(); ++i) scheduler.at(i).tasks().append_names(names);
            scheduler.append_outside_names(names);
            for (const std::string& name : names) what += "\n  " + name;
            throw simulation_deadlock(what);
        }
    }

    /// Runs one ready task, chosen by the seed. False if none is ready.
    bool step() {
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
        while (!injected.empty()) {
            rt::worker& worker = scheduler.at(static_cast<unsigned>(world.draw(scheduler.size())));
            ready.push_back({&worker, &injected.pop_front()});
        }
        if (ready.empty()) return false;
        std::size_t chosen = world.draw(ready.size());
        ready_item item = ready[chosen];
        ready.erase(ready.begin() + static_cast<std::ptrdiff_t>(chosen));
        mix(chosen);
        mix(static_cast<std::uint64_t>(world.elapsed().count()));
        item.worker->enter_thread();
        item.worker->execute(*item.item);
        rt::worker::leave_thread();
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

    static pool_options options_for(unsigned workers) {
        pool_options options(workers);
        options.name = "sim";
        options.drain_timeout = std::chrono::milliseconds(0);
        options.stop_timeout = std::chrono::milliseconds(0);
        return options;
    }

    struct ready_item {
        rt::worker* worker;
        detail::work_item* item;
    };

    rt::simulated_world world;
    peal::pool pool;
    rt::scheduler& scheduler;
    std::vector<ready_item> ready;
    std::uint64_t hash = 0xcbf29ce484222325u;
};

simulation::simulation(std::uint64_t seed, unsigned workers)
    : state_(std::make_unique<state>(seed, workers == 0 ? 1 : workers)) {}

simulation::~simulation() {
    // Tasks that are left are asked to stop and run to their end; what does not end then is reported by the pool.
    state& s = *state_;
    auto run_dry = [&s] {
        while (s.scheduler.counts().live() != 0 && (s.step() || s.advance_clock())) {
        }
    };
    s.scheduler.request_stop_all();
    run_dry();
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
