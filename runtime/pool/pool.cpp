// SPDX-License-Identifier: MIT

#include <peal/pool/pool.hpp>

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <string>

#include <peal/detail/this_thread.hpp>

#include "core.hpp"
#include "cpus.hpp"
#include "driver_choice.hpp"
#include "placement.hpp"
#include "topology.hpp"

namespace peal {

namespace {

constexpr unsigned workers_limit = 1024;

/// How many workers, and where.
void place_workers(const pool_options& options, rt::scheduler_settings& settings) {
    bool is_placed = options.placement != placement::anywhere;
    if (is_placed && !options.pin_to_cpus.empty()) {
        throw std::invalid_argument("pool_options: both `placement` and `pin_to_cpus` say where workers run: leave pin_to_cpus empty to "
                                    "have CPUs chosen, or placement at placement::anywhere to choose them yourself");
    }
    std::vector<int> cpus = rt::allowed_cpus();
    // The topology takes a while to read: only if somebody asks for it.
    if (is_placed || (options.workers == 0 && options.one_per == one_per::core)) {
        cpus = rt::in_order(rt::read_topology(cpus), options.one_per, options.placement);
    }
    settings.workers = options.workers != 0 ? options.workers : std::min(workers_limit, rt::within_quota(cpus.size()));
    if (settings.workers > workers_limit) {
        throw std::invalid_argument("pool_options: " + std::to_string(settings.workers) + " workers are more than a pool can have, " +
                                    std::to_string(workers_limit));
    }
    settings.pin_to_cpus = is_placed ? std::move(cpus) : options.pin_to_cpus;
    settings.pin_advice = is_placed ? "chosen by pool_options.placement; with placement::anywhere no worker is pinned"
                                    : "is it one that this process may use?";
}

rt::scheduler_settings settings_of(const pool_options& options) {
    rt::scheduler_settings settings;
    place_workers(options, settings);
    settings.name = options.name;
    settings.on_worker_start = options.on_worker_start;
    settings.on_worker_stop = options.on_worker_stop;
    settings.on_unhandled = options.on_unhandled;
    return settings;
}

}  // namespace

pool::core::core(pool& owner, const pool_options& options)
    : owner(owner),
      drain_timeout(options.drain_timeout),
      stop_timeout(options.stop_timeout),
      blocking(options.name, std::max(1u, options.blocking_threads)),
      scheduler(settings_of(options)) {
    scheduler.set_owner(this);
}

pool::core* pool::core::current() noexcept {
    rt::scheduler* scheduler = detail::current_scheduler();
    return scheduler != nullptr ? static_cast<core*>(scheduler->owner()) : nullptr;
}

pool::pool() : pool(pool_options()) {}

pool::pool(pool_options options) : core_(std::make_unique<core>(*this, options)), scheduler_(&core_->scheduler) {
    driver_choice choice = rt::driver_choice_for(options);
    core_->scheduler.start([this, choice, &options](unsigned) { return rt::make_driver(choice, options, core_->blocking); });
}

pool::pool(simulated_tag, pool_options options) : core_(std::make_unique<core>(*this, options)), scheduler_(&core_->scheduler) {}

pool::~pool() {
    const rt::end_report& report = scheduler_->shutdown(core_->drain_timeout, core_->stop_timeout);
    if (report.left == 0) {
        core_->blocking.finish();  // before the scheduler goes: the last job may still be telling it that it is done
        return;
    }
    std::fprintf(stderr, "peal: pool destroyed while %llu tasks did not stop; they are abandoned:\n", static_cast<unsigned long long>(report.left));
    for (const std::string& name : report.not_stopped) std::fprintf(stderr, "peal:   %s\n", name.c_str());
    // What is left may still be reached by handles and by the kernel: it stays allocated for ever.
    static_cast<void>(core_.release());
}

share pool::make_share(unsigned weight) {
    if (weight == 0 || weight > rt::shares::weight_limit) {
        throw std::invalid_argument("pool.make_share: the weight is " + std::to_string(weight) + ", it must be 1 to " +
                                    std::to_string(rt::shares::weight_limit) + "; tasks in no share weigh 100 together");
    }
    const rt::share_queue* made = scheduler_->shares().make(scheduler_, weight);
    if (made == nullptr) {
        throw std::length_error("pool.make_share: this pool has " + std::to_string(rt::shares::limit) +
                                " shares already, which is the limit; they last as long as the pool, so make them once");
    }
    return share(*made);
}

unsigned pool::size() const noexcept { return scheduler_->size(); }

std::optional<int> pool::cpu_of(unsigned index) const noexcept {
    PEAL_ASSERT(index < size(), "cpu_of(): the pool has no worker of this index");
    return scheduler_->cpu_of(index);
}

const char* pool::driver_of(unsigned index) const noexcept {
    PEAL_ASSERT(index < size(), "driver_of(): the pool has no worker of this index");
    return scheduler_->at(index).driver_name();
}

pool_counts pool::counts() const noexcept {
    rt::task_counts now = scheduler_->counts();
    pool_counts counts;
    counts.accepted = now.accepted;
    counts.completed = now.completed;
    counts.failed = now.failed;
    counts.canceled = now.canceled;
    counts.live = now.live();
    return counts;
}

shutdown_report pool::shutdown(std::chrono::milliseconds drain, std::chrono::milliseconds stop) {
    const rt::end_report& ended = scheduler_->shutdown(drain, stop);
    shutdown_report report;
    report.drained = ended.drained;
    report.canceled = ended.canceled;
    report.not_stopped = ended.not_stopped;
    return report;
}

void pool::request_stop() noexcept { scheduler_->request_stop_all(); }

pool* pool::current() noexcept {
    core* here = core::current();
    return here != nullptr ? &here->owner : nullptr;
}

namespace this_worker {

std::optional<unsigned> index() noexcept {
    rt::worker* worker = detail::this_thread.worker;
    if (worker == nullptr) return std::nullopt;
    return worker->index();
}

}  // namespace this_worker
}  // namespace peal
